/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * peer-glib: what GLib itself offers for work in other threads: GThreadPool with a reply per task,
 * and g_task_run_in_thread(). Every result is checked.
 */

#include "bench-common.h"

#include <gio/gio.h>

#define WINDOW 1024

/* The task 2x + 1. Nothing is allocated for it: the peer is to look as good as it can. */
typedef struct
{
  gint64 x;
  gint64 result;
} Job;

typedef struct
{
  GAsyncQueue *replies;
  GMutex mutex;
  GCond cond;
  Job *done; /* under the mutex */
} Desk;

static void
desk_init (Desk *self)
{
  self->replies = g_async_queue_new ();
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
  self->done = NULL;
}

static void
desk_clear (Desk *self)
{
  g_async_queue_unref (self->replies);
  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->cond);
}

static void
work_and_queue (gpointer data, gpointer user_data)
{
  Job *job = data;
  Desk *desk = user_data;

  job->result = 2 * job->x + 1;
  g_async_queue_push (desk->replies, job);
}

static void
work_and_signal (gpointer data, gpointer user_data)
{
  Job *job = data;
  Desk *desk = user_data;

  job->result = 2 * job->x + 1;
  g_mutex_lock (&desk->mutex);
  desk->done = job;
  g_cond_signal (&desk->cond);
  g_mutex_unlock (&desk->mutex);
}

static guint
n_threads (const BenchRun *run)
{
  return run->workers > 0 ? run->workers : 2;
}

static gboolean
check_job (const Job *job, GError **error)
{
  return job->result == 2 * job->x + 1 || bench_fail (error, "A result is wrong");
}

/* At most so many replies outstanding. What comes back is sent again. */
static gboolean
pool_window (BenchRun *run, GThreadPool *pool, Desk *desk, gsize window, GError **error)
{
  g_autofree Job *jobs = g_new0 (Job, window);
  gint64 start = bench_now (), now = start;
  gint64 end = start + (gint64) (run->seconds * 1e9);
  guint64 taken = 0;
  gboolean ok = TRUE;

  for (gsize i = 0; i < window; i++)
    {
      jobs[i].x = (gint64) i;
      g_thread_pool_push (pool, &jobs[i], NULL);
    }
  for (gsize outstanding = window; outstanding > 0;)
    {
      Job *job = g_async_queue_pop (desk->replies);

      ok = ok && check_job (job, error);
      if (++taken % WINDOW == 0)
        now = bench_now ();
      if (now < end && ok)
        {
          job->x++;
          g_thread_pool_push (pool, job, NULL);
        }
      else
        outstanding--;
    }
  if (ok)
    bench_record (run, NULL, (double) taken * 1e9 / (double) (bench_now () - start), "task/s");
  return ok;
}

/* All tasks are queued, then all replies are taken. */
static gboolean
pool_bulk (BenchRun *run, GThreadPool *pool, Desk *desk, gsize n, GError **error)
{
  g_autofree Job *jobs = g_new0 (Job, n);
  guint64 taken = 0;
  gint64 elapsed = 0;

  while (elapsed < run->seconds * 1e9)
    {
      gint64 start = bench_now ();

      for (gsize i = 0; i < n; i++)
        {
          jobs[i].x = (gint64) i;
          g_thread_pool_push (pool, &jobs[i], NULL);
        }
      for (gsize i = 0; i < n; i++)
        if (!check_job (g_async_queue_pop (desk->replies), error))
          return FALSE;
      taken += n;
      elapsed += bench_now () - start;
    }
  bench_record (run, NULL, (double) taken * 1e9 / (double) elapsed, "task/s");
  return TRUE;
}

static gboolean
pool_throughput (BenchRun *run, GError **error)
{
  gboolean bulk = run->figure->variant != 0, ok;
  GThreadPool *pool;
  Desk desk;

  desk_init (&desk);
  pool = g_thread_pool_new (work_and_queue, &desk, (int) n_threads (run), TRUE, error);
  if (pool == NULL)
    return FALSE;
  if (bulk)
    ok = pool_bulk (run, pool, &desk, run->items > 0 ? run->items : run->figure->n, error);
  else
    ok = pool_window (run, pool, &desk, WINDOW, error);
  g_thread_pool_free (pool, FALSE, TRUE);
  desk_clear (&desk);
  return ok;
}

static gboolean
call_queue (GThreadPool *pool, Desk *desk, Job *job, GError **error)
{
  g_thread_pool_push (pool, job, NULL);
  return g_async_queue_pop (desk->replies) == job && check_job (job, error);
}

static gboolean
call_cond (GThreadPool *pool, Desk *desk, Job *job, GError **error)
{
  g_thread_pool_push (pool, job, NULL);
  g_mutex_lock (&desk->mutex);
  while (desk->done == NULL)
    g_cond_wait (&desk->cond, &desk->mutex);
  desk->done = NULL;
  g_mutex_unlock (&desk->mutex);
  return check_job (job, error);
}

static gboolean
pool_calls (BenchRun *run, GThreadPool *pool, Desk *desk, BenchSamples *samples, GError **error)
{
  gint64 start = bench_now (), last = start, now;
  gboolean cond = run->figure->variant != 0;
  Job job = { 0 };

  /* as the round trip of a pool: the first tenth warms up */
  while (!bench_samples_full (samples) && last < start + run->seconds * 1.1e9)
    {
      job.x++;
      if (!(cond ? call_cond (pool, desk, &job, error) : call_queue (pool, desk, &job, error)))
        return FALSE;
      now = bench_now ();
      if (now > start + run->seconds * 0.1e9)
        bench_samples_add (samples, now - last);
      last = now;
    }
  bench_samples_record (samples, run);
  return TRUE;
}

static gboolean
pool_rtt (BenchRun *run, GError **error)
{
  GThreadPool *pool;
  BenchSamples samples;
  Desk desk;
  gboolean ok;

  desk_init (&desk);
  pool = g_thread_pool_new (run->figure->variant != 0 ? work_and_signal : work_and_queue, &desk,
                            (int) n_threads (run), TRUE, error);
  if (pool == NULL)
    return FALSE;
  bench_samples_init (&samples);
  ok = pool_calls (run, pool, &desk, &samples, error);
  bench_samples_clear (&samples);
  g_thread_pool_free (pool, FALSE, TRUE);
  desk_clear (&desk);
  return ok;
}

/* What the callbacks of GTasks count. */
typedef struct
{
  guint64 done;
  guint64 wrong;
} Counter;

static void
work_in_task (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_task_return_int (task, 2 * GPOINTER_TO_SIZE (data) + 1);
}

static void
task_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Counter *counter = user_data;
  gssize x = (gssize) GPOINTER_TO_SIZE (g_task_get_task_data (G_TASK (result)));

  counter->done++;
  if (g_task_propagate_int (G_TASK (result), NULL) != 2 * x + 1)
    counter->wrong++;
}

static void
submit_task (Counter *counter, gsize x)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, task_done, counter);

  g_task_set_task_data (task, GSIZE_TO_POINTER (x), NULL);
  g_task_run_in_thread (task, work_in_task);
}

static gboolean
task_throughput (BenchRun *run, GError **error)
{
  Counter counter = { 0 };
  guint64 submitted = 0;
  gint64 start = bench_now ();
  gint64 end = start + (gint64) (run->seconds * 1e9);

  while (bench_now () < end)
    {
      while (submitted < counter.done + WINDOW)
        submit_task (&counter, submitted++);
      g_main_context_iteration (NULL, TRUE);
    }
  while (counter.done < submitted)
    g_main_context_iteration (NULL, TRUE);

  bench_record (run, NULL, (double) submitted * 1e9 / (double) (bench_now () - start), "task/s");
  return counter.wrong == 0 || bench_fail (error, "A result is wrong");
}

static gboolean
task_rtt (BenchRun *run, GError **error)
{
  Counter counter = { 0 };
  BenchSamples samples;
  gint64 start = bench_now (), last = start, now;

  bench_samples_init (&samples);
  while (!bench_samples_full (&samples) && last < start + run->seconds * 1.1e9)
    {
      guint64 before = counter.done;

      submit_task (&counter, before);
      while (counter.done == before)
        g_main_context_iteration (NULL, TRUE);
      now = bench_now ();
      if (now > start + run->seconds * 0.1e9)
        bench_samples_add (&samples, now - last);
      last = now;
    }
  bench_samples_record (&samples, run);
  bench_samples_clear (&samples);
  return counter.wrong == 0 || bench_fail (error, "A result is wrong");
}

/* The most that a caller can reach who has a GVariant made for each task and each result read. */
static gboolean
variant_cap (BenchRun *run, GError **error)
{
  gint64 start = bench_now ();
  gint64 end = start + (gint64) (run->seconds * 1e9);
  guint64 done = 0;

  for (; done % WINDOW != 0 || bench_now () < end; done++)
    {
      g_autoptr (GVariant) args =
          g_variant_ref_sink (g_variant_new ("(ix)", (gint32) 1, (gint64) done));
      gsize size = g_variant_get_size (args);
      guint8 *data = g_malloc (size);
      g_autoptr (GVariant) result = NULL;
      gint32 i;
      gint64 x;

      g_variant_store (args, data);
      result = g_variant_ref_sink (
          g_variant_new_from_data (G_VARIANT_TYPE ("(ix)"), data, size, FALSE, g_free, data));
      g_variant_get (result, "(ix)", &i, &x);
      if (i != 1 || x != (gint64) done)
        return bench_fail (error, "A value is wrong");
    }
  bench_record (run, NULL, (double) done * 1e9 / (double) (bench_now () - start), "task/s");
  return TRUE;
}

static const BenchFigure figures[] = {
  { "threadpool", "GThreadPool, 1024 replies outstanding", pool_throughput, 1, 0, 0 },
  { "threadpool-bulk", "GThreadPool, all tasks queued first", pool_throughput, 1, 200000, 1 },
  { "threadpool-rtt", "round trip, GThreadPool and GAsyncQueue", pool_rtt, 1, 0, 0 },
  { "threadpool-rtt-cond", "round trip, GThreadPool and GCond", pool_rtt, 1, 0, 1 },
  { "gtask", "g_task_run_in_thread(), 1024 outstanding", task_throughput, 1, 0, 0 },
  { "gtask-rtt", "round trip, g_task_run_in_thread()", task_rtt, 1, 0, 0 },
  { "variant-cap", "GVariants made, stored and read by a caller", variant_cap, 1, 0, 0 },
};

int
main (int argc, char **argv)
{
  return bench_main (argc, argv, "glib", figures, G_N_ELEMENTS (figures));
}
