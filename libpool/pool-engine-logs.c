/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-log-private.h"

#include <string.h>

/*
 * What workers log and tasks write, on its way from the backend to the program. Records wait for the dispatcher as the
 * bytes that they came as: the lock is held for no longer than it takes to copy them.
 */

/* Beyond this, records that wait for a context that nobody iterates are dropped and counted. */
#define WAITING_MAX (16 * 1024 * 1024)

#define EXTRA_FIELDS 8

typedef struct
{
  PoolEngine *engine;
  guint worker;
  guint lost;
  gsize size;
  guint8 data[];
} LogEvent;

/* The fields of a record as they come out here, and the texts of those that are added. */
typedef struct
{
  GLogField fields[POOL_LOG_FIELDS_MAX + EXTRA_FIELDS];
  gsize n_fields;
  char numbers[EXTRA_FIELDS][24];
  guint n_numbers;
} Fields;

static void
add_text (Fields *self, const char *key, const char *value)
{
  self->fields[self->n_fields++] = (GLogField){ key, value, -1 };
}

static void
add_number (Fields *self, const char *key, guint64 number)
{
  char *text = self->numbers[self->n_numbers++];

  g_snprintf (text, sizeof self->numbers[0], "%" G_GUINT64_FORMAT, number);
  add_text (self, key, text);
}

static void
collect_fields (Fields *self, const LogEvent *event, const PoolLogRecord *record)
{
  guint lost = event->lost + record->lost;

  self->n_fields = self->n_numbers = 0;
  /* with this first, GLib's writer leaves it to who logged to end the program over a record: that was the worker */
  if (record->n_fields == 0 || strcmp (record->fields[0].key, "GLIB_OLD_LOG_API") != 0 ||
      strcmp (record->fields[0].value, "1") != 0)
    add_text (self, "GLIB_OLD_LOG_API", "1");
  for (guint i = 0; i < record->n_fields; i++)
    self->fields[self->n_fields++] = record->fields[i];

  add_number (self, "POOL_WORKER", event->worker);
  add_number (self, "POOL_WORKER_PID", record->pid);
  if (record->task != 0)
    {
      add_number (self, "POOL_TASK", record->task);
      add_number (self, "POOL_ATTEMPT", record->attempt);
    }
  if (*record->task_name != '\0')
    add_text (self, "POOL_TASK_NAME", record->task_name);
  if (record->cut > 0)
    add_number (self, "POOL_TRUNCATED", record->cut);
  if (lost > 0)
    add_number (self, "POOL_LOST", lost);
}

static const char *
get_domain (const PoolLogRecord *record)
{
  for (guint i = 0; i < record->n_fields; i++)
    if (strcmp (record->fields[i].key, "GLIB_DOMAIN") == 0 && record->fields[i].length < 0)
      return record->fields[i].value;
  return "";
}

static void
write_record (const LogEvent *event, const PoolLogRecord *record)
{
  PoolEngine *engine = event->engine;
  const char *const *domains = engine->settings.backend.log_domains;
  const char *domain = get_domain (record);
  GLogLevelFlags level = record->level;
  Fields fields;

  if (domains == NULL || !g_strv_contains (domains, domain))
    return;
  collect_fields (&fields, event, record);
  if (engine->log_event != NULL)
    engine->log_event (level, domain, fields.fields, fields.n_fields, engine->event_data);

  /* an error would end the program, which has made none; PRIORITY still says what it was */
  if (level & G_LOG_LEVEL_ERROR)
    level = G_LOG_LEVEL_CRITICAL;
  g_log_structured_array (level != 0 ? level : G_LOG_LEVEL_MESSAGE, fields.fields, fields.n_fields);
}

static void
run_log_event (gpointer data)
{
  LogEvent *event = data;
  PoolLogRecord record;

  if (pool_log_record_parse (&record, event->data, event->size))
    {
      write_record (event, &record);
      g_free ((gpointer) record.fields);
    }
  else
    g_debug ("worker %u sent a log record that is none", event->worker);
  atomic_fetch_sub (&event->engine->log_bytes, event->size);
  pool_engine_unref (event->engine);
  g_free (event);
}

void
pool_engine_log (PoolEngine *self, guint worker, const guint8 *record, gsize size)
{
  LogEvent *event = NULL;

  if (size > POOL_LOG_RECORD_MAX)
    return;
  event = atomic_load (&self->log_bytes) + size <= WAITING_MAX ? g_try_malloc (sizeof *event + size)
                                                               : NULL;
  if (event == NULL)
    {
      self->n_logs_lost++;
      return;
    }

  atomic_fetch_add (&self->log_bytes, size);
  event->engine = pool_engine_ref (self);
  event->worker = worker;
  event->lost = self->n_logs_lost;
  event->size = size;
  if (size > 0)
    memcpy (event->data, record, size);
  self->n_logs_lost = 0;
  pool_dispatcher_push (self->dispatcher, run_log_event, event);
}

/* A task is given up that a worker is still in: what it has written up to now. */
void
pool_engine_take_output_locked (PoolEngine *self, PoolRecord *record)
{
  PoolBackendClass *klass;

  if (G_LIKELY ((record->flags & POOL_CALL_CAPTURE) == 0) || record->serial == 0 ||
      self->backend == NULL)
    return;
  klass = POOL_BACKEND_GET_CLASS (self->backend);
  if (klass->take_output != NULL)
    klass->take_output (self->backend, pool_record_get_handle (record));
}

void
pool_engine_output (PoolEngine *self, guint64 handle, const PoolBackendOutput *output)
{
  PoolRecord *record = pool_ledger_find (&self->ledger, handle);

  if (record != NULL && record->job->klass->output != NULL)
    record->job->klass->output (record->job, record, output);
}
