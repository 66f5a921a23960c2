/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-log-private.h"

#include <string.h>

/*
 * A log record as bytes, numbers in little endian:
 *
 *   header, length of the name, name, 0, fields
 *   field: length of the value (32 bits), whether it is a string (8), length of the key (8), key, 0, value, 0
 *
 * The zeros are there so that a parsed record needs no copies. Nothing here looks at anything but its arguments: the
 * bytes come from a worker, which may have been told by anybody what to write.
 */

#define MAGIC 0x31524c50 /* "PLR1" */
#define KEY_MAX 255
#define NAME_MAX_BYTES 255
#define FIELD_OVERHEAD 8

/* Values up to this length are kept when long ones are cut. */
#define SHORT_VALUE 1024

typedef struct
{
  guint32 magic;
  guint32 level;
  guint32 attempt;
  guint32 lost;
  guint64 pid;
  guint64 task;
  guint64 cut;
  guint32 n_fields;
  guint32 name_len;
} Header;

G_STATIC_ASSERT (sizeof (Header) == 48);

/* --- encode --- */

static gsize
value_len (const GLogField *field)
{
  if (field->value == NULL)
    return 0;
  return field->length < 0 ? strlen (field->value) : (gsize) field->length;
}

static gsize
name_len (const PoolLogRecord *self)
{
  return self->task_name != NULL ? strnlen (self->task_name, NAME_MAX_BYTES) : 0;
}

/* A field with such a key is left out. */
static gboolean
key_fits (const GLogField *field)
{
  gsize len = strnlen (field->key, KEY_MAX + 1);

  return len > 0 && len <= KEY_MAX;
}

typedef struct
{
  gsize fixed; /* all but the values */
  gsize n_short, short_bytes;
  gsize n_long, long_bytes;
  guint n_fields;
} Sizes;

static void
measure (const PoolLogRecord *self, Sizes *sizes)
{
  *sizes = (Sizes){ .fixed = sizeof (Header) + name_len (self) + 1 };
  for (guint i = 0; i < self->n_fields && sizes->n_fields < POOL_LOG_FIELDS_MAX; i++)
    {
      gsize len = value_len (&self->fields[i]);

      if (!key_fits (&self->fields[i]))
        continue;
      sizes->n_fields++;
      sizes->fixed += FIELD_OVERHEAD + strlen (self->fields[i].key);
      if (len <= SHORT_VALUE)
        {
          sizes->n_short++;
          sizes->short_bytes += len;
        }
      else
        {
          sizes->n_long++;
          sizes->long_bytes += len;
        }
    }
}

gsize
pool_log_record_size (const PoolLogRecord *self)
{
  Sizes sizes;

  measure (self, &sizes);
  return MIN (sizes.fixed + sizes.short_bytes + sizes.long_bytes, POOL_LOG_RECORD_MAX);
}

/* How many bytes of each value may be kept. */
static gsize
value_limit (const Sizes *sizes, gsize size)
{
  gsize room = size > sizes->fixed ? size - sizes->fixed : 0;

  if (sizes->short_bytes + sizes->long_bytes <= room)
    return G_MAXSIZE;
  if (sizes->n_long > 0 && sizes->short_bytes + sizes->n_long * SHORT_VALUE <= room)
    return (room - sizes->short_bytes) / sizes->n_long;
  return room / MAX (sizes->n_fields, 1);
}

/* Not within a character. */
static gsize
cut_string (const char *value, gsize limit)
{
  gsize n = limit;

  while (n > 0 && limit - n < 4 && ((guint8) value[n] & 0xc0) == 0x80)
    n--;
  return n;
}

static guint8 *
put_u32 (guint8 *out, guint32 number)
{
  number = GUINT32_TO_LE (number);
  memcpy (out, &number, sizeof number);
  return out + sizeof number;
}

/* A key that the other side takes: the system journal has a field in each line and a '=' after its key. */
static guint8 *
put_key (guint8 *out, const char *key)
{
  for (; *key != '\0'; key++)
    *out++ = *key > ' ' && *key <= '~' && *key != '=' ? *key : '_';
  *out++ = '\0';
  return out;
}

static guint8 *
put_field (guint8 *out, const GLogField *field, gsize limit, guint64 *cut)
{
  gsize len = value_len (field);
  gsize n = len;
  gboolean is_string = field->length < 0;

  if (n > limit)
    n = is_string ? cut_string (field->value, limit) : limit;
  *cut += len - n;
  out = put_u32 (out, n);
  *out++ = is_string;
  *out++ = strlen (field->key);
  out = put_key (out, field->key);
  if (n > 0)
    memcpy (out, field->value, n);
  out += n;
  *out++ = '\0';
  return out;
}

gsize
pool_log_record_encode (const PoolLogRecord *self, guint8 *out, gsize size)
{
  gsize len = name_len (self), limit;
  guint64 cut = self->cut;
  guint8 *p = out + sizeof (Header);
  guint n = 0;
  Header header;
  Sizes sizes;

  measure (self, &sizes);
  limit = value_limit (&sizes, size);
  if (len > 0)
    memcpy (p, self->task_name, len);
  p += len;
  *p++ = '\0';
  for (guint i = 0; i < self->n_fields; i++)
    {
      const GLogField *field = &self->fields[i];

      if (n == POOL_LOG_FIELDS_MAX || !key_fits (field) ||
          (gsize) (out + size - p) <
              FIELD_OVERHEAD + strlen (field->key) + MIN (limit, value_len (field)))
        {
          cut += strlen (field->key) + value_len (field);
          continue;
        }
      p = put_field (p, field, limit, &cut);
      n++;
    }

  header = (Header){ GUINT32_TO_LE (MAGIC),
                     GUINT32_TO_LE ((guint32) self->level),
                     GUINT32_TO_LE (self->attempt),
                     GUINT32_TO_LE (self->lost),
                     GUINT64_TO_LE ((guint64) self->pid),
                     GUINT64_TO_LE (self->task),
                     GUINT64_TO_LE (cut),
                     GUINT32_TO_LE (n),
                     GUINT32_TO_LE ((guint32) len) };
  memcpy (out, &header, sizeof header);
  return p - out;
}

/* --- parse --- */

typedef struct
{
  const guint8 *at, *end;
} Reader;

/* @len bytes and a zero; NULL if they are not there. @is_string: without another zero in them */
static const char *
take (Reader *self, gsize len, gboolean is_string)
{
  const guint8 *start = self->at;

  if (len >= (gsize) (self->end - start) || start[len] != '\0' ||
      (is_string && memchr (start, '\0', len) != NULL))
    return NULL;
  self->at += len + 1;
  return (const char *) start;
}

static gboolean
is_key (const char *key)
{
  for (const char *p = key; *p != '\0'; p++)
    if (*p <= ' ' || *p > '~' || *p == '=')
      return FALSE;
  return *key != '\0';
}

static gboolean
take_field (Reader *self, GLogField *field)
{
  guint32 len;
  guint8 is_string, key_len;

  if (self->end - self->at < FIELD_OVERHEAD)
    return FALSE;
  memcpy (&len, self->at, sizeof len);
  len = GUINT32_FROM_LE (len);
  is_string = self->at[4];
  key_len = self->at[5];
  self->at += 6;
  if (is_string > 1 || len > POOL_LOG_RECORD_MAX)
    return FALSE;

  field->key = take (self, key_len, TRUE);
  if (field->key == NULL || !is_key (field->key))
    return FALSE;
  field->value = take (self, len, is_string);
  field->length = is_string ? -1 : (gssize) len;
  return field->value != NULL;
}

gboolean
pool_log_record_parse (PoolLogRecord *self, const guint8 *data, gsize size)
{
  Reader reader = { data + sizeof (Header), data + size };
  g_autofree GLogField *fields = NULL;
  Header header;
  guint n;

  if (size < sizeof header || size > POOL_LOG_RECORD_MAX)
    return FALSE;
  memcpy (&header, data, sizeof header);
  n = GUINT32_FROM_LE (header.n_fields);
  if (GUINT32_FROM_LE (header.magic) != MAGIC || n > POOL_LOG_FIELDS_MAX ||
      GUINT32_FROM_LE (header.name_len) > NAME_MAX_BYTES)
    return FALSE;

  self->level = GUINT32_FROM_LE (header.level) & G_LOG_LEVEL_MASK;
  self->attempt = GUINT32_FROM_LE (header.attempt);
  self->lost = GUINT32_FROM_LE (header.lost);
  self->pid = (gint64) GUINT64_FROM_LE (header.pid);
  self->task = GUINT64_FROM_LE (header.task);
  self->cut = GUINT64_FROM_LE (header.cut);
  self->task_name = take (&reader, GUINT32_FROM_LE (header.name_len), TRUE);
  if (self->task_name == NULL || !g_utf8_validate (self->task_name, -1, NULL))
    return FALSE;

  fields = g_new (GLogField, n + 1);
  for (guint i = 0; i < n; i++)
    if (!take_field (&reader, &fields[i]))
      return FALSE;
  if (reader.at != reader.end)
    return FALSE;
  self->fields = g_steal_pointer (&fields);
  self->n_fields = n;
  return TRUE;
}
