/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-log-private.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Records that are made in a worker. GLib has one log writer for a process, and aborts when it is set twice; the process
 * is ours, so it is set here, unless the program that the worker was forked from has set one. Records of g_log() and
 * its macros are caught by a handler in any case.
 */

/* A record that is too long for the way to the manager is tried again at half its length, down to this. */
#define SHORTEST ((gsize) 4096)

#define ALL_LEVELS (G_LOG_LEVEL_MASK | G_LOG_FLAG_FATAL | G_LOG_FLAG_RECURSION)

static struct
{
  gboolean has_writer; /* ours is set */
  GLogLevelFlags fatal;
  char **domains; /* NULL: nothing is sent */
  PoolTask *task;
  PoolLogSendFunc send;
  gpointer user_data;
  _Atomic guint lost;
} worker;

static gboolean
is_ours (const char *domain)
{
  return worker.domains != NULL &&
         g_strv_contains ((const char *const *) worker.domains, domain != NULL ? domain : "");
}

static const char *
get_domain (const GLogField *fields, gsize n_fields)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "GLIB_DOMAIN") == 0 && fields[i].length < 0)
      return fields[i].value;
  return NULL;
}

/* Any thread. The running task may change meanwhile when another than the worker's own logs: then it is one of the two. */
static void
send_record (GLogLevelFlags level, const GLogField *fields, gsize n_fields)
{
  int saved_errno = errno;
  PoolLogRecord record = { .level = level & G_LOG_LEVEL_MASK,
                           .pid = getpid (),
                           .task = worker.task->id,
                           .attempt = worker.task->attempt,
                           .task_name = worker.task->name,
                           .fields = fields,
                           .n_fields = MIN (n_fields, G_MAXUINT) };
  gsize size = MAX (pool_log_record_size (&record), SHORTEST);
  g_autofree guint8 *data = g_try_malloc (size);
  gboolean sent = FALSE;

  record.lost = atomic_exchange (&worker.lost, 0);
  for (; data != NULL && !sent && size >= SHORTEST; size /= 2)
    {
      sent = worker.send (data, pool_log_record_encode (&record, data, size), worker.user_data);
      if (!sent && errno != EMSGSIZE)
        break;
    }
  if (!sent)
    atomic_fetch_add (&worker.lost, record.lost + 1);
  errno = saved_errno;
}

/**
 * pool_log_writer:
 * @log_level: the level
 * @fields: (array length=n_fields): the fields
 * @n_fields: how many
 * @user_data: not used
 *
 * A log writer for programs that set one of their own with g_log_set_writer_func(): in a worker it takes records of the
 * domains that were named with [method@Manager.add_logger], which come out in the manager's process; everywhere else it
 * takes none. Call it first in the own writer, and return if it has handled the record:
 *
 * ```c
 * if (pool_log_writer (log_level, fields, n_fields, NULL) == G_LOG_WRITER_HANDLED)
 *   return G_LOG_WRITER_HANDLED;
 * ```
 *
 * A program that sets no writer need not call it.
 *
 * Returns: %G_LOG_WRITER_HANDLED if the record was taken, else %G_LOG_WRITER_UNHANDLED
 *
 * Since: 1.0
 */
GLogWriterOutput
pool_log_writer (GLogLevelFlags log_level, const GLogField *fields, gsize n_fields,
                 gpointer user_data)
{
  if (!is_ours (get_domain (fields, n_fields)))
    return G_LOG_WRITER_UNHANDLED;
  send_record (log_level, fields, n_fields);
  return G_LOG_WRITER_HANDLED;
}

/* g_log() ends the process by itself where that is wanted; for other records it is the writer's part */
static gboolean
is_of_g_log (const GLogField *fields, gsize n_fields)
{
  return n_fields > 0 && strcmp (fields[0].key, "GLIB_OLD_LOG_API") == 0;
}

static GLogWriterOutput
write_record (GLogLevelFlags log_level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  if (pool_log_writer (log_level, fields, n_fields, NULL) != G_LOG_WRITER_HANDLED)
    return g_log_writer_default (log_level, fields, n_fields, NULL);
  if ((log_level & worker.fatal) && !is_of_g_log (fields, n_fields))
    abort ();
  return G_LOG_WRITER_HANDLED;
}

static const char *
priority_of (GLogLevelFlags level)
{
  if (level & G_LOG_LEVEL_ERROR)
    return "3";
  if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING))
    return "4";
  if (level & G_LOG_LEVEL_INFO)
    return "6";
  return level & G_LOG_LEVEL_DEBUG ? "7" : "5";
}

/* A record of g_log(), with the fields that GLib gives it. */
static void
handle_message (const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
  const GLogField fields[] = { { "GLIB_OLD_LOG_API", "1", -1 },
                               { "MESSAGE", message != NULL ? message : "(NULL) message", -1 },
                               { "PRIORITY", priority_of (level), -1 },
                               { "GLIB_DOMAIN", domain, -1 } };

  if ((level & G_LOG_FLAG_RECURSION) || !is_ours (domain))
    g_log_default_handler (domain, level, message, NULL);
  else
    send_record (level, fields, G_N_ELEMENTS (fields) - (domain == NULL));
}

static void
end_probe (const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
  _exit (1);
}

/* GLib does not tell; but a second writer is an error of the domain "GLib", whose handler need not return. */
gboolean
pool_log_writer_is_free (void)
{
  int status = 0;
  pid_t pid;

  if (worker.has_writer)
    return TRUE;
  pid = fork ();
  if (pid == 0)
    {
      g_log_set_handler ("GLib", ALL_LEVELS, end_probe, NULL);
      g_log_set_writer_func (write_record, NULL, NULL);
      _exit (0);
    }
  while (pid > 0 && waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  return pid > 0 && WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

void
pool_log_worker_begin (char **domains, gboolean writer, PoolTask *task, PoolLogSendFunc send,
                       gpointer user_data)
{
  /* what a worker of a pool inherits that a task of another pool has started */
  worker.domains = NULL;
  worker.task = task;
  worker.send = send;
  worker.user_data = user_data;
  atomic_store (&worker.lost, 0);
  if (domains == NULL)
    return;

  worker.fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_log_set_always_fatal (worker.fatal);
  worker.domains = domains;
  for (char **domain = domains; *domain != NULL; domain++)
    g_log_set_handler (*domain, ALL_LEVELS, handle_message, NULL);
  if (!writer || worker.has_writer)
    return;
  g_log_set_writer_func (write_record, NULL, NULL);
  worker.has_writer = TRUE;
}
