/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-block-private.h"

#include "pool-error.h"

/**
 * PoolBlock:
 *
 * Memory for one large argument where workers see it: the caller writes the argument there, and
 * [method@Manager.apply_block_async] sends it without a copy. It is for a language binding that can write to
 * memory by its address, and made by [method@Manager.reserve].
 *
 * A block is of use once: then its memory belongs to the call, and is not to be looked at any more. One that is not used
 * gives its memory back with its last reference, also when the pool has ended; until then it keeps what a pool has open.
 *
 * Since: 1.0
 */
struct _PoolBlock
{
  GObject parent_instance;

  PoolEngine *engine;
  PoolBackend *backend; /* whose memory it is, or NULL: the heap's */
  guint life;           /* the pool's, when it was made */
  guint8 *data;         /* NULL: a call has it */
  gsize size;
};

G_DEFINE_FINAL_TYPE (PoolBlock, pool_block, G_TYPE_OBJECT)

static void
give_back (PoolBlock *self)
{
  if (self->backend == NULL)
    {
      g_free (self->data);
      return;
    }
  pool_engine_lock (self->engine);
  /* in a child of the program it is still the program's */
  if (!self->engine->orphan)
    POOL_BACKEND_GET_CLASS (self->backend)->free_payload (self->backend, self->data);
  pool_engine_unlock (self->engine);
}

static void
pool_block_finalize (GObject *object)
{
  PoolBlock *self = POOL_BLOCK (object);

  if (self->data != NULL)
    give_back (self);
  g_clear_object (&self->backend);
  g_clear_pointer (&self->engine, pool_engine_unref);
  G_OBJECT_CLASS (pool_block_parent_class)->finalize (object);
}

static void
pool_block_class_init (PoolBlockClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = pool_block_finalize;
}

static void
pool_block_init (PoolBlock *self)
{
}

static gboolean
allocate_locked (PoolBlock *self, gsize size, GError **error)
{
  guint8 owner;

  /* one without bytes has a place, too: that tells it from one that was used */
  self->data = pool_engine_alloc_memory (self->engine, MAX (size, 1), &owner);
  if (self->data == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "There is no memory for a block of %" G_GSIZE_FORMAT " bytes", size);
      return FALSE;
    }
  if (owner == 2)
    self->backend = g_object_ref (self->engine->backend);
  self->life = self->engine->life;
  self->size = size;
  return TRUE;
}

PoolBlock *
pool_block_new (PoolEngine *engine, gsize size, GError **error)
{
  g_autoptr (PoolBlock) self = g_object_new (POOL_TYPE_BLOCK, NULL);
  gboolean ok;

  self->engine = pool_engine_ref (engine);
  pool_engine_lock (engine);
  ok = pool_engine_check_submit (engine, error) && allocate_locked (self, size, error);
  pool_engine_unlock (engine);
  return ok ? g_steal_pointer (&self) : NULL;
}

gboolean
pool_block_give_locked (PoolBlock *self, PoolEngine *engine, PoolRecord *record, GError **error)
{
  if (self->engine != engine)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                           "The block was reserved in another pool");
      return FALSE;
    }
  if (self->data == NULL)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                           "The block was used before: its memory went with another call");
      return FALSE;
    }
  if (self->life != engine->life || (self->backend != NULL && self->backend != engine->backend))
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                           "The block was reserved before the pool was restarted, which has other memory "
                           "now: reserve one anew");
      return FALSE;
    }

  record->data = g_steal_pointer (&self->data);
  record->size = self->size;
  record->owns_payload = self->backend != NULL ? 2 : 1;
  self->size = 0;
  g_clear_object (&self->backend);
  return TRUE;
}

/**
 * pool_block_get_address:
 * @self: a block
 *
 * Tells where the block is. Its contents are undefined until they are written; one of 4 KiB or more that workers
 * share begins at a page.
 *
 * Returns: the address of the block's first byte; 0 if it was used
 *
 * Since: 1.0
 */
guint64
pool_block_get_address (PoolBlock *self)
{
  g_return_val_if_fail (POOL_IS_BLOCK (self), 0);

  return GPOINTER_TO_SIZE (self->data);
}

/**
 * pool_block_get_size:
 * @self: a block
 *
 * Tells how large the block is: all of it is the argument.
 *
 * Returns: the number of bytes; 0 if it was used
 *
 * Since: 1.0
 */
gsize
pool_block_get_size (PoolBlock *self)
{
  g_return_val_if_fail (POOL_IS_BLOCK (self), 0);

  return self->size;
}
