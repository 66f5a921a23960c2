/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-wire-private.h"

#include "pool-error.h"
#include "pool-packed-private.h"
#include "pool-value-private.h"

/* A PoolSharePlace in a message. */
#define POOL_WIRE_PLACE 16

/* --- bytes --- */

static void
put_u32 (guint8 *p, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (p, &value, sizeof value);
}

static guint32
get_u32 (const guint8 *p)
{
  guint32 value;

  memcpy (&value, p, sizeof value);
  return GUINT32_FROM_LE (value);
}

/* Between this machine's order of bytes and that of the wire; the same both ways. */
static void
swap_record (PoolWireRecord *record)
{
#if G_BYTE_ORDER != G_LITTLE_ENDIAN
  record->type = GUINT16_FROM_LE (record->type);
  record->part = GUINT16_FROM_LE (record->part);
  record->worker = GUINT32_FROM_LE (record->worker);
  record->handle = GUINT64_FROM_LE (record->handle);
  record->id = GUINT64_FROM_LE (record->id);
  record->kind = GUINT32_FROM_LE (record->kind);
  record->flags = GUINT32_FROM_LE (record->flags);
  record->n_items = GUINT32_FROM_LE (record->n_items);
  record->item = GUINT32_FROM_LE (record->item);
  record->time = GINT64_FROM_LE (record->time);
  record->size = GUINT64_FROM_LE (record->size);
#endif
}

/* --- writing --- */

void
pool_wire_writer_init (PoolWireWriter *self)
{
  *self = (PoolWireWriter){ .parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref) };
  pool_wire_writer_reset (self);
}

void
pool_wire_writer_clear (PoolWireWriter *self)
{
  pool_buffer_clear (&self->head);
  g_clear_pointer (&self->parts, g_ptr_array_unref);
}

void
pool_wire_writer_reset (PoolWireWriter *self)
{
  pool_buffer_reset (&self->head);
  memset (pool_buffer_reserve (&self->head, POOL_WIRE_HEAD), 0, POOL_WIRE_HEAD);
  g_ptr_array_set_size (self->parts, 0);
  self->n_records = 0;
}

/* The beginning of a record, with room for @more bytes, which are returned. */
static guint8 *
begin_record (PoolWireWriter *self, const PoolWireRecord *record, guint16 part, gsize size, gsize more)
{
  guint8 *place = pool_buffer_reserve (&self->head, POOL_WIRE_RECORD + more);
  PoolWireRecord copy = *record;

  copy.size = size;
  copy.part = part;
  swap_record (&copy);
  memcpy (place, &copy, POOL_WIRE_RECORD);
  self->n_records++;
  return place + POOL_WIRE_RECORD;
}

static void
write_data (PoolWireWriter *self, const PoolWireRecord *record, gconstpointer data, gsize size, GBytes *bytes,
            gboolean is_part)
{
  gsize padded = is_part ? 0 : (size + 7) & ~(gsize) 7;
  guint8 *place = begin_record (self, record, is_part ? self->parts->len + 1 : 0, size, padded);

  if (is_part)
    {
      if (bytes == NULL)
        g_ptr_array_add (self->parts, g_bytes_new (data, size));
      else if (g_bytes_get_size (bytes) == size)
        g_ptr_array_add (self->parts, g_bytes_ref (bytes));
      else
        g_ptr_array_add (self->parts, g_bytes_new_from_bytes (
                                          bytes, (const guint8 *) data - (const guint8 *) g_bytes_get_data (bytes, NULL), size));
    }
  else if (size > 0)
    {
      memcpy (place, data, size);
      memset (place + size, 0, padded - size);
    }
}

/* TRUE: the other side finds the data where they are. */
static gboolean
write_place (PoolWireWriter *self, const PoolWireRecord *record, gconstpointer data, gsize size, GBytes *bytes)
{
  PoolSharePlace place;
  gboolean is_theirs;
  guint8 *to;

  if (self->share == NULL || !pool_share_lend (self->share, data, size, bytes, &place, &is_theirs))
    return FALSE;
  to = begin_record (self, record, is_theirs ? POOL_WIRE_OURS : POOL_WIRE_THEIRS, size, POOL_WIRE_PLACE);
  pool_packed_write (to, place.block);
  pool_packed_write (to + 8, place.skip);
  return TRUE;
}

void
pool_wire_write (PoolWireWriter *self, const PoolWireRecord *record, gconstpointer data, gsize size, GBytes *bytes)
{
  gboolean is_part = size >= POOL_WIRE_PART_MIN;

  if (!is_part || !write_place (self, record, data, size, bytes))
    write_data (self, record, data, size, bytes, is_part);
}

void
pool_wire_write_returns (PoolWireWriter *self)
{
  guint64 block;

  while (self->share != NULL && self->share->view != NULL && pool_share_view_pop_returned (self->share->view, &block))
    pool_wire_write (self, &(PoolWireRecord){ .type = POOL_WIRE_RETURN, .handle = block }, NULL, 0, NULL);
}

void
pool_wire_finish (PoolWireWriter *self, guint64 session, guint32 serial)
{
  guint8 *head = self->head.data;

  put_u32 (head, POOL_WIRE_MAGIC);
  put_u32 (head + 4, serial);
  pool_packed_write (head + 8, session);
  put_u32 (head + 16, self->n_records);
  put_u32 (head + 20, self->parts->len);
}

/* --- reading --- */

static gboolean
refuse (GError **error, const char *what)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL, "This is no message of a pool: %s", what);
  return FALSE;
}

static gboolean
may_say (guint type, gboolean from_agent)
{
  if (type >= POOL_WIRE_PING)
    return type <= POOL_WIRE_LAST;
  return from_agent ? type >= POOL_WIRE_HELLO && type <= POOL_WIRE_BYE
                    : type >= POOL_WIRE_WELCOME && type <= POOL_WIRE_STOP;
}

static gboolean
is_shared (const PoolWireRecord *record)
{
  return record->part >= POOL_WIRE_OURS;
}

/* Data that are in memory of this side's or of the sender's. */
static gboolean
find_shared (PoolWireReader *self, const PoolWireRecord *record, const guint8 *bytes, PoolShare *share, GError **error)
{
  const PoolSharePlace place = { pool_packed_read (bytes), pool_packed_read (bytes + 8) };
  GBytes *data = share != NULL ? pool_share_resolve (share, &place, record->size, record->part == POOL_WIRE_OURS) : NULL;

  if (data == NULL)
    return refuse (error, "data are where they cannot be");
  if (self->shared == NULL)
    self->shared = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_ptr_array_add (self->shared, data);
  return TRUE;
}

static gboolean
check_record (const PoolWireReader *self, const PoolWireRecord *record, gsize left, gboolean from_agent,
              GError **error)
{
  if (!may_say (record->type, from_agent))
    return refuse (error, "it says what its sender has not to say");
  if (is_shared (record))
    return (record->size >= POOL_WIRE_PART_MIN && left >= POOL_WIRE_PLACE) || refuse (error, "data are cut off");
  if (record->part == 0)
    return (record->size < POOL_WIRE_PART_MIN && record->size <= left) || refuse (error, "data are cut off");
  if (record->part >= self->n_parts)
    return refuse (error, "a part is missing");
  return record->size == g_bytes_get_size (self->parts[record->part]) || refuse (error, "a part has another size");
}

static gsize
take_record (const guint8 *head, gsize offset, PoolWireRecord *record)
{
  memcpy (record, head + offset, POOL_WIRE_RECORD);
  swap_record (record);
  if (is_shared (record))
    return POOL_WIRE_RECORD + POOL_WIRE_PLACE;
  return record->part == 0 ? POOL_WIRE_RECORD + ((record->size + 7) & ~(guint64) 7) : POOL_WIRE_RECORD;
}

/* The beginning of a message. */
static gboolean
parse_head (PoolWireReader *self, GBytes *const *parts, guint n_parts, GError **error)
{
  const guint8 *head;
  gsize size;

  if (n_parts == 0)
    return refuse (error, "it is empty");
  head = g_bytes_get_data (parts[0], &size);
  if (size < POOL_WIRE_HEAD || get_u32 (head) != POOL_WIRE_MAGIC)
    return refuse (error, "it does not begin like one");
  if (size > POOL_WIRE_HEAD_MAX || n_parts > POOL_WIRE_PARTS_MAX + 1)
    return refuse (error, "it is too long");
  *self = (PoolWireReader){ .session = pool_packed_read (head + 8), .serial = get_u32 (head + 4),
                            .n_records = get_u32 (head + 16), .parts = parts, .n_parts = n_parts,
                            .offset = POOL_WIRE_HEAD };
  return get_u32 (head + 20) == n_parts - 1 || refuse (error, "the number of its parts is another one");
}

gboolean
pool_wire_parse (PoolWireReader *self, GBytes *const *parts, guint n_parts, gboolean from_agent, PoolShare *share,
                 GError **error)
{
  const guint8 *head;
  gsize size, offset = POOL_WIRE_HEAD;

  *self = (PoolWireReader){ 0 };
  if (!parse_head (self, parts, n_parts, error))
    return FALSE;
  head = g_bytes_get_data (parts[0], &size);
  for (guint32 i = 0; i < self->n_records; i++)
    {
      PoolWireRecord record;
      gsize step;

      if (size - offset < POOL_WIRE_RECORD)
        return refuse (error, "records are missing");
      step = take_record (head, offset, &record);
      if (!check_record (self, &record, size - offset - POOL_WIRE_RECORD, from_agent, error))
        return FALSE;
      if (step > size - offset)
        return refuse (error, "data are cut off");
      if (is_shared (&record) && !find_shared (self, &record, head + offset + POOL_WIRE_RECORD, share, error))
        return FALSE;
      offset += step;
    }
  return offset == size || refuse (error, "there is something behind its end");
}

gboolean
pool_wire_next (PoolWireReader *self, PoolWireRecord *record, const guint8 **data, GBytes **bytes)
{
  gsize size, offset = self->offset;
  const guint8 *head = g_bytes_get_data (self->parts[0], &size);

  if (self->n_records == 0)
    return FALSE;
  self->n_records--;
  self->offset += take_record (head, offset, record);
  *bytes = is_shared (record) ? self->shared->pdata[self->n_shared++] : self->parts[record->part];
  *data = record->part == 0 ? head + offset + POOL_WIRE_RECORD : g_bytes_get_data (*bytes, NULL);
  return TRUE;
}

void
pool_wire_reader_clear (PoolWireReader *self)
{
  g_clear_pointer (&self->shared, g_ptr_array_unref);
}

/* --- values --- */

void
pool_wire_write_value (PoolWireWriter *self, const PoolWireRecord *record, GVariant *value)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (value);
  gsize size = pool_value_size (sunk, FALSE);
  /* encoded at an aligned place */
  guint8 *data = g_malloc (size);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, size);

  pool_value_encode (sunk, FALSE, data);
  pool_wire_write (self, record, data, size, bytes);
}

GVariant *
pool_wire_read_value (const guint8 *data, gsize size, const char *type, GError **error)
{
  g_autoptr (GBytes) copy = g_bytes_new (data, size);
  g_autoptr (GVariant) value = pool_value_decode (copy, FALSE, error);

  if (value == NULL)
    return NULL;
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE (type)))
    {
      refuse (error, "a value is of another type");
      return NULL;
    }
  return g_steal_pointer (&value);
}
