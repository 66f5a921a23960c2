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

#define VERSION 1

enum
{
  BEGIN,
  COMMIT,
  ROLLBACK,
  ADD_POOL,
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
  [REMOVE_POOL] = "DELETE FROM pools WHERE id = ?",
  [LIST_POOLS] = "SELECT id, uid, backend, options, created_at FROM pools ORDER BY id",
  [ADD_JOB] = "INSERT INTO jobs (id, uid, pool, kind, task, args, options, submitted_at, runs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
  [BEGIN_JOB] = "UPDATE jobs SET runs = ? WHERE id = ?",
  [END_JOB] = "UPDATE jobs SET ended_at = ?, value = ?, failure = ?, args = NULL WHERE id = ? AND ended_at IS NULL",
  [REMOVE_JOB] = "DELETE FROM jobs WHERE id = ?",
  [LIST_JOBS] = "SELECT id, uid, pool, kind, task, args, options, submitted_at, runs, ended_at, failure IS NOT NULL FROM jobs ORDER BY id",
  [READ_RESULT] = "SELECT value, failure FROM jobs WHERE id = ? AND ended_at IS NOT NULL",
};

static const char schema[] = "CREATE TABLE IF NOT EXISTS pools ("
                             "  id INTEGER PRIMARY KEY, uid INTEGER NOT NULL, backend TEXT NOT NULL,"
                             "  options BLOB NOT NULL, created_at INTEGER NOT NULL) STRICT;"
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
  sqlite3 *db;
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

static gboolean
check_version (PoolServiceStore *self, GError **error)
{
  sqlite3_stmt *statement = NULL;
  int version = -1;

  if (sqlite3_prepare_v2 (self->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step (statement) == SQLITE_ROW)
    version = sqlite3_column_int (statement, 0);
  sqlite3_finalize (statement);
  if (version == 0)
    version = sqlite3_exec (self->db, "PRAGMA user_version = " G_STRINGIFY (VERSION), NULL, NULL, NULL) == SQLITE_OK ? VERSION : -1;
  if (version == VERSION)
    return TRUE;
  g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE,
               "Durable jobs are kept in the form %d, and this service knows " G_STRINGIFY (VERSION), version);
  return FALSE;
}

static gboolean
prepare (PoolServiceStore *self, const char *path, GError **error)
{
  if (sqlite3_open_v2 (path, &self->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
    return store_error (self, path, error);
  if (sqlite3_exec (self->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", NULL, NULL, NULL) != SQLITE_OK)
    return store_error (self, path, error);
  if (!check_version (self, error))
    return FALSE;
  if (sqlite3_exec (self->db, schema, NULL, NULL, NULL) != SQLITE_OK)
    return store_error (self, path, error);
  for (guint i = 0; i < N_STATEMENTS; i++)
    if (sqlite3_prepare_v3 (self->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &self->prepared[i], NULL) != SQLITE_OK)
      return store_error (self, statements[i], error);
  return TRUE;
}

PoolServiceStore *
pool_service_store_open (const char *directory, double patience, GError **error)
{
  PoolServiceStore *self = g_new0 (PoolServiceStore, 1);
  g_autofree char *path = g_build_filename (directory, "jobs.sqlite", NULL);
  g_autofree char *lock_path = g_build_filename (directory, "lock", NULL);
  mode_t mask;
  gboolean ok;

  self->lock_fd = -1;
  self->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  if (g_mkdir_with_parents (directory, 0700) != 0)
    {
      g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE, "%s: %s", directory, g_strerror (errno));
      pool_service_store_close (self);
      return NULL;
    }
  mask = umask (0077);
  ok = lock (self, lock_path, patience, error) && prepare (self, path, error);
  umask (mask);
  if (ok)
    return self;
  pool_service_store_close (self);
  return NULL;
}

void
pool_service_store_close (PoolServiceStore *self)
{
  if (self == NULL)
    return;
  if (self->db != NULL)
    pool_service_store_flush (self);
  for (guint i = 0; i < N_STATEMENTS; i++)
    sqlite3_finalize (self->prepared[i]);
  sqlite3_close (self->db);
  if (self->lock_fd >= 0)
    close (self->lock_fd);
  g_array_unref (self->waiters);
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

void
pool_service_store_flush (PoolServiceStore *self)
{
  g_autoptr (GArray) waiters = NULL;
  g_autoptr (GError) error = NULL;

  if (self->commit != NULL)
    g_source_destroy (self->commit);
  g_clear_pointer (&self->commit, g_source_unref);
  if (!self->in_transaction)
    return;
  self->in_transaction = FALSE;
  if (!run (self, COMMIT, &error))
    run (self, ROLLBACK, NULL);
  waiters = g_steal_pointer (&self->waiters);
  self->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  for (guint i = 0; i < waiters->len; i++)
    {
      const Waiter *waiter = &g_array_index (waiters, Waiter, i);

      waiter->func (error, waiter->user_data);
    }
}

static gboolean
commit (gpointer user_data)
{
  pool_service_store_flush (user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
begin (PoolServiceStore *self, GError **error)
{
  if (self->in_transaction)
    return TRUE;
  if (!run (self, BEGIN, error))
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
  sqlite3_stmt *statement = self->prepared[ADD_POOL];

  if (!begin (self, error) || !bind_value (self, ADD_POOL, 4, pool->options, error))
    return FALSE;
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
pool_service_store_remove_pool (PoolServiceStore *self, guint64 id, GError **error)
{
  return run_with_id (self, REMOVE_POOL, id, error);
}

gboolean
pool_service_store_each_pool (PoolServiceStore *self,
                              gboolean (*func) (const PoolServiceStoredPool *pool, gpointer user_data, GError **error),
                              gpointer user_data, GError **error)
{
  sqlite3_stmt *statement = self->prepared[LIST_POOLS];
  gboolean ok = TRUE;
  int status;

  while (ok && (status = sqlite3_step (statement)) == SQLITE_ROW)
    {
      PoolServiceStoredPool pool = { 0 };

      pool.id = (guint64) sqlite3_column_int64 (statement, 0);
      pool.uid = (guint32) sqlite3_column_int64 (statement, 1);
      pool.backend = (const char *) sqlite3_column_text (statement, 2);
      pool.options = read_value (statement, 3, error);
      pool.created_at = sqlite3_column_int64 (statement, 4);
      ok = pool.options != NULL && func (&pool, user_data, error);
      g_clear_pointer (&pool.options, g_variant_unref);
    }
  if (ok && status != SQLITE_DONE)
    ok = store_error (self, "pools", error);
  sqlite3_reset (statement);
  return ok;
}

/* --- jobs --- */

gboolean
pool_service_store_add_job (PoolServiceStore *self, const PoolServiceStoredJob *job, GError **error)
{
  sqlite3_stmt *statement = self->prepared[ADD_JOB];

  if (!begin (self, error) || !bind_value (self, ADD_JOB, 6, job->args, error) ||
      !bind_value (self, ADD_JOB, 7, job->options, error))
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
  sqlite3_stmt *statement = self->prepared[END_JOB];

  if (!begin (self, error) ||
      !(value != NULL ? bind_value (self, END_JOB, 2, value, error) : bind_failure (self, 3, failure, error)))
    return FALSE;
  sqlite3_bind_int64 (statement, 1, ended_at);
  sqlite3_bind_int64 (statement, 4, (gint64) id);
  return run (self, END_JOB, error);
}

gboolean
pool_service_store_remove_job (PoolServiceStore *self, guint64 id, GError **error)
{
  return run_with_id (self, REMOVE_JOB, id, error);
}

gboolean
pool_service_store_each_job (PoolServiceStore *self,
                             gboolean (*func) (const PoolServiceStoredJob *job, gpointer user_data, GError **error),
                             gpointer user_data, GError **error)
{
  sqlite3_stmt *statement = self->prepared[LIST_JOBS];
  gboolean ok = TRUE;
  int status;

  while (ok && (status = sqlite3_step (statement)) == SQLITE_ROW)
    {
      PoolServiceStoredJob job = { 0 };

      job.id = (guint64) sqlite3_column_int64 (statement, 0);
      job.uid = (guint32) sqlite3_column_int64 (statement, 1);
      job.pool = (guint64) sqlite3_column_int64 (statement, 2);
      job.kind = (guint) sqlite3_column_int (statement, 3);
      job.task = (const char *) sqlite3_column_text (statement, 4);
      job.submitted_at = sqlite3_column_int64 (statement, 7);
      job.runs = (guint) sqlite3_column_int64 (statement, 8);
      job.ended = sqlite3_column_type (statement, 9) != SQLITE_NULL;
      job.ended_at = sqlite3_column_int64 (statement, 9);
      job.failed = sqlite3_column_int (statement, 10);
      job.options = read_value (statement, 6, error);
      if (job.options != NULL && !job.ended)
        job.args = read_value (statement, 5, error);
      ok = job.options != NULL && (job.ended || job.args != NULL) && func (&job, user_data, error);
      g_clear_pointer (&job.args, g_variant_unref);
      g_clear_pointer (&job.options, g_variant_unref);
    }
  if (ok && status != SQLITE_DONE)
    ok = store_error (self, "jobs", error);
  sqlite3_reset (statement);
  return ok;
}

GVariant *
pool_service_store_read_result (PoolServiceStore *self, guint64 id, gboolean *failed, GError **error)
{
  sqlite3_stmt *statement = self->prepared[READ_RESULT];
  GVariant *value = NULL;

  *failed = FALSE;
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
