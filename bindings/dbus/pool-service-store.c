/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-store.h"

#include "pool-service-error.h"

#include "libpool/pool-value-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

/* Values are as they travel: data, zero, type; failures, too. */

#define VERSION 2

enum
{
  BEGIN,
  COMMIT,
  ROLLBACK,
  ADD_POOL,
  CLOSE_POOL,
  REMOVE_POOL,
  LIST_POOLS,
  ADD_JOB,
  BEGIN_JOB,
  END_JOB,
  REMOVE_JOB,
  LIST_JOBS,
  READ_RESULT,
  N_STATEMENTS
};

static const char *const statements[N_STATEMENTS] = {
  [BEGIN] = "BEGIN IMMEDIATE",
  [COMMIT] = "COMMIT",
  [ROLLBACK] = "ROLLBACK",
  [ADD_POOL] = "INSERT INTO pools (id, uid, backend, options, created_at) VALUES (?, ?, ?, ?, ?)",
  [CLOSE_POOL] = "UPDATE pools SET is_closed = 1 WHERE id = ?",
  [REMOVE_POOL] = "DELETE FROM pools WHERE id = ?",
  [LIST_POOLS] = "SELECT id, uid, backend, options, created_at, is_closed FROM pools ORDER BY id",
  [ADD_JOB] = "INSERT INTO jobs (id, uid, pool, kind, task, args, options, submitted_at, runs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
  [BEGIN_JOB] = "UPDATE jobs SET runs = ? WHERE id = ?",
  [END_JOB] = "UPDATE jobs SET ended_at = ?, value = ?, failure = ?, args = NULL WHERE id = ? AND ended_at IS NULL",
  [REMOVE_JOB] = "DELETE FROM jobs WHERE id = ?",
  [LIST_JOBS] = "SELECT id, uid, pool, kind, task, args, options, submitted_at, runs, ended_at, failure IS NOT NULL FROM jobs ORDER BY id",
  [READ_RESULT] = "SELECT value, failure FROM jobs WHERE id = ? AND ended_at IS NOT NULL",
};

static const char schema[] = "CREATE TABLE IF NOT EXISTS pools ("
                             "  id INTEGER PRIMARY KEY, uid INTEGER NOT NULL, backend TEXT NOT NULL,"
                             "  options BLOB NOT NULL, created_at INTEGER NOT NULL,"
                             "  is_closed INTEGER NOT NULL DEFAULT 0) STRICT;"
                             "CREATE TABLE IF NOT EXISTS jobs ("
                             "  id INTEGER PRIMARY KEY, uid INTEGER NOT NULL, pool INTEGER NOT NULL, kind INTEGER NOT NULL,"
                             "  task TEXT NOT NULL, args BLOB, options BLOB NOT NULL, submitted_at INTEGER NOT NULL,"
                             "  runs INTEGER NOT NULL, ended_at INTEGER, value BLOB, failure BLOB) STRICT;";

typedef struct
{
  PoolServiceCommitFunc func;
  gpointer user_data;
} Waiter;

struct _PoolServiceStore
{
  char *path;
  sqlite3 *db; /* NULL: there is nothing in it, and it has not been made */
  sqlite3_stmt *prepared[N_STATEMENTS];
  int lock_fd;
  gboolean in_transaction;
  GSource *commit;
  GArray *waiters;
};

static gboolean
store_error (PoolServiceStore *self, const char *what, GError **error)
{
  g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE, "Durable jobs: %s: %s", what,
               sqlite3_errmsg (self->db));
  return FALSE;
}

/* --- opening --- */

/* The lock of a predecessor that is about to leave is worth waiting for. */
static gboolean
lock (PoolServiceStore *self, const char *path, double patience, GError **error)
{
  gint64 until = g_get_monotonic_time () + (gint64) (patience * G_USEC_PER_SEC);

  self->lock_fd = g_open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  while (self->lock_fd >= 0 && flock (self->lock_fd, LOCK_EX | LOCK_NB) != 0)
    {
      /* at the start only: there is nothing to be woken by */
      if (g_get_monotonic_time () > until)
        {
          g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE, "%s: another service has it", path);
          return FALSE;
        }
      g_usleep (5000);
    }
  if (self->lock_fd >= 0)
    return TRUE;
  g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE, "%s: %s", path, g_strerror (errno));
  return FALSE;
}

/* From 1 to 2 pools came to be closed. */
static const char upgrade[] = "BEGIN; ALTER TABLE pools ADD COLUMN is_closed INTEGER NOT NULL DEFAULT 0;"
                              "PRAGMA user_version = " G_STRINGIFY (VERSION) "; COMMIT;";

static gboolean
check_version (PoolServiceStore *self, GError **error)
{
  static const char make[] = "PRAGMA user_version = " G_STRINGIFY (VERSION);
  sqlite3_stmt *statement = NULL;
  int version = -1;

  if (sqlite3_prepare_v2 (self->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step (statement) == SQLITE_ROW)
    version = sqlite3_column_int (statement, 0);
  sqlite3_finalize (statement);
  if (version == 0 || version == 1)
    version = sqlite3_exec (self->db, version == 0 ? make : upgrade, NULL, NULL, NULL) == SQLITE_OK ? VERSION : -1;
  if (version == VERSION)
    return TRUE;
  g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE,
               "Durable jobs are kept in the form %d, and this service knows " G_STRINGIFY (VERSION), version);
  return FALSE;
}

static gboolean
open_database (PoolServiceStore *self, GError **error)
{
  mode_t mask = umask (0077);
  int status = sqlite3_open_v2 (self->path, &self->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
  gboolean ok = status == SQLITE_OK &&
                sqlite3_exec (self->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", NULL, NULL, NULL) == SQLITE_OK;

  umask (mask);
  return ok || store_error (self, self->path, error);
}

static gboolean
prepare (PoolServiceStore *self, GError **error)
{
  if (!open_database (self, error) || !check_version (self, error))
    return FALSE;
  if (sqlite3_exec (self->db, schema, NULL, NULL, NULL) != SQLITE_OK)
    return store_error (self, self->path, error);
  for (guint i = 0; i < N_STATEMENTS; i++)
    if (sqlite3_prepare_v3 (self->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &self->prepared[i], NULL) != SQLITE_OK)
      return store_error (self, statements[i], error);
  return TRUE;
}

static void
close_database (PoolServiceStore *self)
{
  for (guint i = 0; i < N_STATEMENTS; i++)
    sqlite3_finalize (g_steal_pointer (&self->prepared[i]));
  sqlite3_close (g_steal_pointer (&self->db));
}

/* To make it takes several writes to the disk, which a service that nobody asks to keep anything does without. */
static gboolean
ensure_open (PoolServiceStore *self, GError **error)
{
  if (self->db != NULL || prepare (self, error))
    return TRUE;
  close_database (self);
  return FALSE;
}

PoolServiceStore *
pool_service_store_open (const char *directory, double patience, GError **error)
{
  PoolServiceStore *self = g_new0 (PoolServiceStore, 1);
  g_autofree char *lock_path = g_build_filename (directory, "lock", NULL);

  self->path = g_build_filename (directory, "jobs.sqlite", NULL);
  self->lock_fd = -1;
  self->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  if (g_mkdir_with_parents (directory, 0700) != 0)
    {
      g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE, "%s: %s", directory, g_strerror (errno));
      pool_service_store_close (self);
      return NULL;
    }
  if (lock (self, lock_path, patience, error) && (!g_file_test (self->path, G_FILE_TEST_EXISTS) || ensure_open (self, error)))
    return self;
  pool_service_store_close (self);
  return NULL;
}

void
pool_service_store_close (PoolServiceStore *self)
{
  if (self == NULL)
    return;
  pool_service_store_flush (self, NULL);
  close_database (self);
  if (self->lock_fd >= 0)
    close (self->lock_fd);
  g_array_unref (self->waiters);
  g_free (self->path);
  g_free (self);
}

/* --- transactions --- */

static gboolean
run (PoolServiceStore *self, int which, GError **error)
{
  sqlite3_stmt *statement = self->prepared[which];
  int status = sqlite3_step (statement);
  gboolean ok = status == SQLITE_DONE || status == SQLITE_ROW;

  if (!ok)
    store_error (self, statements[which], error);
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  return ok;
}

gboolean
pool_service_store_flush (PoolServiceStore *self, GError **error)
{
  g_autoptr (GArray) waiters = NULL;
  GError *failure = NULL;

  if (self->commit != NULL)
    g_source_destroy (self->commit);
  g_clear_pointer (&self->commit, g_source_unref);
  if (!self->in_transaction)
    return TRUE;
  self->in_transaction = FALSE;
  if (!run (self, COMMIT, &failure))
    run (self, ROLLBACK, NULL);
  waiters = g_steal_pointer (&self->waiters);
  self->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  for (guint i = 0; i < waiters->len; i++)
    {
      const Waiter *waiter = &g_array_index (waiters, Waiter, i);

      waiter->func (failure, waiter->user_data);
    }
  if (failure == NULL)
    return TRUE;
  g_propagate_error (error, failure);
  return FALSE;
}

static gboolean
commit (gpointer user_data)
{
  pool_service_store_flush (user_data, NULL);
  return G_SOURCE_REMOVE;
}

static gboolean
begin (PoolServiceStore *self, GError **error)
{
  if (self->in_transaction)
    return TRUE;
  if (!ensure_open (self, error) || !run (self, BEGIN, error))
    return FALSE;
  self->in_transaction = TRUE;
  /* when all messages that are there have been dealt with: one write to the disk for all of them */
  self->commit = g_idle_source_new ();
  g_source_set_priority (self->commit, G_PRIORITY_DEFAULT + 10);
  g_source_set_callback (self->commit, commit, self, NULL);
  g_source_attach (self->commit, NULL);
  return TRUE;
}

void
pool_service_store_when_committed (PoolServiceStore *self, PoolServiceCommitFunc func, gpointer user_data)
{
  const Waiter waiter = { func, user_data };

  if (self->in_transaction)
    g_array_append_val (self->waiters, waiter);
  else
    func (NULL, user_data);
}

/* --- values --- */

static gboolean
bind_value (PoolServiceStore *self, int which, int column, GVariant *value, GError **error)
{
  gsize size = pool_value_size (value, FALSE);
  guint8 *data = size <= G_MAXINT ? g_try_malloc (size) : NULL;

  if (data == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_ENCODING, "A value of %" G_GSIZE_FORMAT " bytes is too large to be kept", size);
      return FALSE;
    }
  pool_value_encode (value, FALSE, data);
  return sqlite3_bind_blob64 (self->prepared[which], column, data, size, g_free) == SQLITE_OK ||
         store_error (self, "value", error);
}

static GVariant *
read_value (sqlite3_stmt *statement, int column, GError **error)
{
  gsize size = (gsize) sqlite3_column_bytes (statement, column);
  g_autoptr (GBytes) bytes = g_bytes_new (sqlite3_column_blob (statement, column), size);

  return pool_value_decode (bytes, FALSE, error);
}

/* --- pools --- */

gboolean
pool_service_store_add_pool (PoolServiceStore *self, const PoolServiceStoredPool *pool, GError **error)
{
  sqlite3_stmt *statement;

  if (!begin (self, error) || !bind_value (self, ADD_POOL, 4, pool->options, error))
    return FALSE;
  statement = self->prepared[ADD_POOL];
  sqlite3_bind_int64 (statement, 1, (gint64) pool->id);
  sqlite3_bind_int64 (statement, 2, pool->uid);
  sqlite3_bind_text (statement, 3, pool->backend, -1, SQLITE_TRANSIENT);
  sqlite3_bind_int64 (statement, 5, pool->created_at);
  return run (self, ADD_POOL, error);
}

static gboolean
run_with_id (PoolServiceStore *self, int which, guint64 id, GError **error)
{
  if (!begin (self, error))
    return FALSE;
  sqlite3_bind_int64 (self->prepared[which], 1, (gint64) id);
  return run (self, which, error);
}

gboolean
pool_service_store_close_pool (PoolServiceStore *self, guint64 id, GError **error)
{
  return run_with_id (self, CLOSE_POOL, id, error);
}

gboolean
pool_service_store_remove_pool (PoolServiceStore *self, guint64 id, GError **error)
{
  return run_with_id (self, REMOVE_POOL, id, error);
}

typedef struct
{
  int which;        /* statement */
  const char *what; /* for people */
  /* both are one of what each_pool() and each_job() are given */
  PoolServicePoolFunc pool_func;
  PoolServiceJobFunc job_func;
  gpointer user_data;
} Walk;

static gboolean
walk (PoolServiceStore *self, const Walk *walk, gboolean (*take_row) (sqlite3_stmt *row, const Walk *walk, GError **error), GError **error)
{
  sqlite3_stmt *statement = self->prepared[walk->which];
  gboolean ok = TRUE;
  int status;

  if (self->db == NULL)
    return TRUE;
  while (ok && (status = sqlite3_step (statement)) == SQLITE_ROW)
    ok = take_row (statement, walk, error);
  if (ok && status != SQLITE_DONE)
    ok = store_error (self, walk->what, error);
  sqlite3_reset (statement);
  return ok;
}

static gboolean
take_pool (sqlite3_stmt *row, const Walk *walk, GError **error)
{
  const PoolServiceStoredPool pool = { .id = (guint64) sqlite3_column_int64 (row, 0),
                                       .uid = (guint32) sqlite3_column_int64 (row, 1),
                                       .backend = (const char *) sqlite3_column_text (row, 2),
                                       .options = read_value (row, 3, error),
                                       .created_at = sqlite3_column_int64 (row, 4),
                                       .is_closed = sqlite3_column_int (row, 5) != 0 };
  g_autoptr (GVariant) options = pool.options;

  return options != NULL && walk->pool_func (&pool, walk->user_data, error);
}

gboolean
pool_service_store_each_pool (PoolServiceStore *self, PoolServicePoolFunc func, gpointer user_data, GError **error)
{
  return walk (self, &(Walk){ .which = LIST_POOLS, .what = "pools", .pool_func = func, .user_data = user_data }, take_pool, error);
}

/* --- jobs --- */

gboolean
pool_service_store_add_job (PoolServiceStore *self, const PoolServiceStoredJob *job, GError **error)
{
  sqlite3_stmt *statement;

  if (!begin (self, error))
    return FALSE;
  statement = self->prepared[ADD_JOB];
  if (!bind_value (self, ADD_JOB, 6, job->args, error) || !bind_value (self, ADD_JOB, 7, job->options, error))
    {
      sqlite3_clear_bindings (statement);
      return FALSE;
    }
  sqlite3_bind_int64 (statement, 1, (gint64) job->id);
  sqlite3_bind_int64 (statement, 2, job->uid);
  sqlite3_bind_int64 (statement, 3, (gint64) job->pool);
  sqlite3_bind_int (statement, 4, (int) job->kind);
  sqlite3_bind_text (statement, 5, job->task, -1, SQLITE_TRANSIENT);
  sqlite3_bind_int64 (statement, 8, job->submitted_at);
  return run (self, ADD_JOB, error);
}

gboolean
pool_service_store_begin_job (PoolServiceStore *self, guint64 id, guint runs, GError **error)
{
  if (!begin (self, error))
    return FALSE;
  sqlite3_bind_int64 (self->prepared[BEGIN_JOB], 1, runs);
  sqlite3_bind_int64 (self->prepared[BEGIN_JOB], 2, (gint64) id);
  return run (self, BEGIN_JOB, error);
}

static gboolean
bind_failure (PoolServiceStore *self, int column, const GError *failure, GError **error)
{
  PoolBuffer buffer = { 0 };
  gboolean ok = pool_error_encode (failure, &buffer);

  if (!ok)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY, "There is no memory to keep an error");
  else
    sqlite3_bind_blob64 (self->prepared[END_JOB], column, buffer.data, buffer.len, SQLITE_TRANSIENT);
  pool_buffer_clear (&buffer);
  return ok;
}

gboolean
pool_service_store_end_job (PoolServiceStore *self, guint64 id, GVariant *value, const GError *failure,
                            gint64 ended_at, GError **error)
{
  sqlite3_stmt *statement;

  if (!begin (self, error) ||
      !(value != NULL ? bind_value (self, END_JOB, 2, value, error) : bind_failure (self, 3, failure, error)))
    return FALSE;
  statement = self->prepared[END_JOB];
  sqlite3_bind_int64 (statement, 1, ended_at);
  sqlite3_bind_int64 (statement, 4, (gint64) id);
  return run (self, END_JOB, error);
}

gboolean
pool_service_store_remove_job (PoolServiceStore *self, guint64 id, GError **error)
{
  return run_with_id (self, REMOVE_JOB, id, error);
}

static gboolean
take_job (sqlite3_stmt *row, const Walk *walk, GError **error)
{
  PoolServiceStoredJob job = { .id = (guint64) sqlite3_column_int64 (row, 0),
                               .uid = (guint32) sqlite3_column_int64 (row, 1),
                               .pool = (guint64) sqlite3_column_int64 (row, 2),
                               .kind = (guint) sqlite3_column_int (row, 3),
                               .task = (const char *) sqlite3_column_text (row, 4),
                               .submitted_at = sqlite3_column_int64 (row, 7),
                               .runs = (guint) sqlite3_column_int64 (row, 8),
                               .ended = sqlite3_column_type (row, 9) != SQLITE_NULL,
                               .ended_at = sqlite3_column_int64 (row, 9),
                               .failed = sqlite3_column_int (row, 10) != 0 };
  g_autoptr (GVariant) options = read_value (row, 6, error);
  g_autoptr (GVariant) args = options != NULL && !job.ended ? read_value (row, 5, error) : NULL;

  job.options = options;
  job.args = args;
  return options != NULL && (job.ended || args != NULL) && walk->job_func (&job, walk->user_data, error);
}

gboolean
pool_service_store_each_job (PoolServiceStore *self, PoolServiceJobFunc func, gpointer user_data, GError **error)
{
  return walk (self, &(Walk){ .which = LIST_JOBS, .what = "jobs", .job_func = func, .user_data = user_data }, take_job, error);
}

GVariant *
pool_service_store_read_result (PoolServiceStore *self, guint64 id, gboolean *failed, GError **error)
{
  sqlite3_stmt *statement;
  GVariant *value = NULL;

  *failed = FALSE;
  if (!ensure_open (self, error))
    return NULL;
  statement = self->prepared[READ_RESULT];
  sqlite3_bind_int64 (statement, 1, (gint64) id);
  if (sqlite3_step (statement) != SQLITE_ROW)
    store_error (self, "there is no result", error);
  else if (sqlite3_column_type (statement, 0) != SQLITE_NULL)
    value = read_value (statement, 0, error);
  else
    {
      *failed = TRUE;
      g_propagate_error (error, pool_error_decode (sqlite3_column_blob (statement, 1),
                                                   (gsize) sqlite3_column_bytes (statement, 1)));
    }
  sqlite3_reset (statement);
  return value;
}
