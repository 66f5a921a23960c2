/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

/* Where arguments lie, and what becomes of them. */

/*
 * Memory for @size bytes of argument: the backend's, or the heap's. NULL: there is none. @owner: as PoolRecord says whose
 * a payload is.
 */
guint8 *
pool_engine_alloc_memory (PoolEngine *self, gsize size, guint8 *owner)
{
  PoolBackendClass *klass = self->backend != NULL ? POOL_BACKEND_GET_CLASS (self->backend) : NULL;
  guint8 *data = klass != NULL && klass->alloc_payload != NULL
                     ? klass->alloc_payload (self->backend, size)
                     : NULL;

  *owner = data != NULL ? 2 : 1;
  if (data == NULL && (data = g_try_malloc (size)) == NULL)
    *owner = 0;
  return data;
}

/* Where to write @size bytes of argument: in the record, in the backend's memory, or on the heap. NULL: nowhere. */
guint8 *
pool_engine_alloc_payload (PoolEngine *self, PoolRecord *record, gsize size)
{
  guint8 *data = record->bytes;

  record->owns_payload = 0;
  if (size > POOL_RECORD_INLINE)
    data = pool_engine_alloc_memory (self, size, &record->owns_payload);
  record->data = data;
  record->size = size;
  return data;
}

void
pool_engine_free_payload (PoolEngine *self, PoolRecord *record)
{
  if (record->owns_payload == 2)
    POOL_BACKEND_GET_CLASS (self->backend)->free_payload (self->backend, (guint8 *) record->data);
  else if (record->owns_payload == 1)
    g_free ((guint8 *) record->data);
  record->owns_payload = 0;
  record->data = NULL;
}

/* The record's argument, as bytes of their own: a task has replied with (part of) it. */
static GBytes *
steal_payload (PoolEngine *self, PoolRecord *record)
{
  guint8 *data = (guint8 *) record->data;
  GBytes *bytes;

  if (record->owns_payload == 2)
    bytes = POOL_BACKEND_GET_CLASS (self->backend)->wrap_payload (self->backend, data, record->size);
  else if (record->owns_payload == 1)
    bytes = g_bytes_new_take (data, record->size);
  else
    return g_bytes_new (data, record->size);
  record->owns_payload = 0;
  return bytes;
}

/* The result as bytes that may be kept. */
GBytes *
pool_engine_take_bytes (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result)
{
  g_autoptr (GBytes) argument = NULL;

  if (result->bytes != NULL)
    return g_bytes_ref (result->bytes);
  if (!result->is_reference)
    return g_bytes_new (result->data, result->size);

  argument = steal_payload (self, record);
  return g_bytes_new_from_bytes (argument, result->offset, result->size);
}
