/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libpool.h>

#include <locale.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * A pool with tasks whose results are known, for tests in other languages. It prints lines of JSON: where agents
 * connect, how far it is, and what came of the tasks.
 */

typedef struct
{
  char *backend, *endpoint, *launcher, *kind, *file, *key_file, *allowed_keys, *agent_key_file, *agent_command;
  int workers, tasks, nap, size, each, retries, progress, nofile, restarts;
  double heartbeat, seconds, wait;
  gboolean at_most_once, holds, no_loop, no_threads;
} Options;

static Options options = { .workers = 2, .tasks = 100, .size = 100000, .retries = -1, .restarts = -1, .seconds = 50 };

static const GOptionEntry entries[] = {
  { "backend", 0, 0, G_OPTION_ARG_STRING, &options.backend, "zmq, if not said otherwise", "NAME" },
  { "endpoint", 0, 0, G_OPTION_ARG_STRING, &options.endpoint, "Where agents connect", "ENDPOINT" },
  { "launcher", 0, 0, G_OPTION_ARG_STRING, &options.launcher, "Who starts agents", "LAUNCHER" },
  { "agent-command", 0, 0, G_OPTION_ARG_STRING, &options.agent_command, "The agents' program", "PROGRAM" },
  { "key-file", 0, 0, G_OPTION_ARG_STRING, &options.key_file, "The pool's keys", "FILE" },
  { "allowed-keys", 0, 0, G_OPTION_ARG_STRING, &options.allowed_keys, "Those of agents", "FILE" },
  { "agent-key-file", 0, 0, G_OPTION_ARG_STRING, &options.agent_key_file, "Where agents have theirs", "FILE" },
  { "heartbeat", 0, 0, G_OPTION_ARG_DOUBLE, &options.heartbeat, "Of the pool", "SECONDS" },
  { "workers", 'j', 0, G_OPTION_ARG_INT, &options.workers, "Of the pool", "N" },
  { "per-agent", 0, 0, G_OPTION_ARG_INT, &options.each, "Workers of each agent", "N" },
  { "tasks", 'n', 0, G_OPTION_ARG_INT, &options.tasks, "How many tasks", "N" },
  { "kind", 0, 0, G_OPTION_ARG_STRING, &options.kind, "remote.work, if not said otherwise; bytes; or another function of (xus)", "KIND" },
  { "nap", 0, 0, G_OPTION_ARG_INT, &options.nap, "For how long each sleeps", "µs" },
  { "size", 0, 0, G_OPTION_ARG_INT, &options.size, "Of the argument of each, for bytes", "BYTES" },
  { "file", 0, 0, G_OPTION_ARG_FILENAME, &options.file, "Where each notes its number", "FILE" },
  { "max-retries", 0, 0, G_OPTION_ARG_INT, &options.retries, "Of a task", "N" },
  { "max-restarts", 0, 0, G_OPTION_ARG_INT, &options.restarts, "Of the pool", "N" },
  { "at-most-once", 0, 0, G_OPTION_ARG_NONE, &options.at_most_once, "No task is run again", NULL },
  { "progress", 0, 0, G_OPTION_ARG_INT, &options.progress, "Tell of each N tasks that have ended", "N" },
  { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds, "How long it may take", "SECONDS" },
  { "wait", 0, 0, G_OPTION_ARG_DOUBLE, &options.wait, "Nobody looks after the pool for so long", "SECONDS" },
  { "hold", 0, 0, G_OPTION_ARG_NONE, &options.holds, "Keep the pool until the input ends, and do the same again", NULL },
  { "nofile", 0, 0, G_OPTION_ARG_INT, &options.nofile, "RLIMIT_NOFILE", "N" },
  { "without-loop", 0, 0, G_OPTION_ARG_NONE, &options.no_loop, "Wait for results in their order", NULL },
  { "without-threads", 0, 0, G_OPTION_ARG_NONE, &options.no_threads, "Nobody looks after the pool but who waits", NULL },
  { NULL, 0, 0, 0, NULL, NULL, NULL },
};

typedef struct
{
  PoolManager *pool;
  PoolAsyncResult **results;
  guint *n_ends;
  gboolean *is_noted;
  GMainLoop *loop;
  guint n_ended, late;
  gint64 start, last, stall; /* monotonic µs */
  guint n_right, n_wrong, n_open;
  GHashTable *errors; /* text → count */
  char *example;
} Drive;

static void
say_error (const GError *error)
{
  g_autofree char *text = g_strescape (error->message, NULL);

  g_print ("{\"error\": \"%s %d\", \"message\": \"%s\"}\n", g_quark_to_string (error->domain), error->code, text);
}

static PoolManager *
make_pool (GError **error)
{
  g_autoptr (PoolManager) pool =
      g_object_new (POOL_TYPE_MANAGER, "backend", options.backend != NULL ? options.backend : "zmq", "processes",
                    options.workers, "resilient", !options.at_most_once, "threads", !options.no_threads, NULL);
  const struct
  {
    const char *name, *value;
  } strings[] = { { "endpoint", options.endpoint },         { "launcher", options.launcher },
                  { "key-file", options.key_file },         { "allowed-keys", options.allowed_keys },
                  { "agent-key-file", options.agent_key_file },
                  { "agent-command", options.agent_command } };

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    if (strings[i].value != NULL)
      g_object_set (pool, strings[i].name, strings[i].value, NULL);
  if (options.heartbeat > 0)
    g_object_set (pool, "heartbeat", options.heartbeat, NULL);
  if (options.each > 0)
    g_object_set (pool, "processes-per-agent", options.each, NULL);
  if (options.retries >= 0)
    g_object_set (pool, "max-retries", options.retries, NULL);
  if (options.restarts >= 0)
    g_object_set (pool, "max-restarts", options.restarts, NULL);
  return pool_manager_start (pool, error) ? g_steal_pointer (&pool) : NULL;
}

/* --- tasks --- */

static void
note_end (Drive *self)
{
  gint64 now = g_get_monotonic_time ();

  self->stall = MAX (self->stall, now - self->last);
  self->last = now;
  self->n_ended++;
  if (options.progress > 0 && self->n_ended % options.progress == 0)
    g_print ("{\"ended\": %u}\n", self->n_ended);
}

static void
on_completed (PoolAsyncResult *result, Drive *self)
{
  guint i = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (result), "index"));

  self->n_ends[i]++;
  if (!self->is_noted[i])
    note_end (self);
  self->is_noted[i] = TRUE;
  if (self->n_ended == (guint) options.tasks)
    g_main_loop_quit (self->loop);
}

static guint8 *
make_bytes (guint number)
{
  guint8 *data = g_malloc (options.size + 1);

  for (int i = 0; i < options.size; i++)
    data[i] = number + i;
  return data;
}

static gboolean
is_bytes (void)
{
  return g_strcmp0 (options.kind, "bytes") == 0;
}

static PoolAsyncResult *
submit (Drive *self, guint number)
{
  g_autofree guint8 *bytes = NULL;

  if (!is_bytes ())
    return POOL_ASYNC_RESULT (pool_manager_apply_async (
        self->pool, options.kind != NULL ? options.kind : "remote.work",
        g_variant_new ("(xus)", (gint64) number, options.nap, options.file != NULL ? options.file : ""), NULL, NULL, NULL,
        NULL));
  bytes = make_bytes (number);
  return POOL_ASYNC_RESULT (pool_manager_apply_bytes_async (self->pool, "remote.bytes", bytes, options.size, NULL, NULL,
                                                            NULL, NULL));
}

static void
count_error (Drive *self, const GError *error)
{
  g_autofree char *name = g_strdup_printf ("%s %d", g_quark_to_string (error->domain), error->code);
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (self->errors, name));

  g_hash_table_insert (self->errors, g_steal_pointer (&name), GUINT_TO_POINTER (n + 1));
  if (self->example == NULL)
    self->example = g_strescape (error->message, NULL);
}

static gboolean
are_right (GBytes *bytes, guint number)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  if (size != (gsize) options.size)
    return FALSE;
  for (gsize i = 0; i < size; i++)
    if (data[i] != (guint8) (number + i + 1))
      return FALSE;
  return TRUE;
}

static void
judge (Drive *self, guint number, double left)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GBytes) bytes = NULL;
  gboolean right;

  if (is_bytes ())
    bytes = pool_async_result_get_bytes (self->results[number], left, &error);
  else
    value = pool_async_result_get (self->results[number], left, &error);
  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT))
    self->n_open++;
  else if (error != NULL)
    count_error (self, error);
  else
    {
      right = bytes != NULL ? are_right (bytes, number) : g_variant_get_int64 (value) == 3 * (gint64) number + 1;
      self->n_right += right;
      self->n_wrong += !right;
    }
}

static gboolean
give_up (gpointer data)
{
  Drive *self = data;

  self->late = 0;
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static void
run_tasks (Drive *self)
{
  self->start = self->last = g_get_monotonic_time ();
  for (int i = 0; i < options.tasks; i++)
    {
      self->results[i] = submit (self, i);
      g_object_set_data (G_OBJECT (self->results[i]), "index", GINT_TO_POINTER (i));
      if (options.no_loop)
        continue;
      g_signal_connect (self->results[i], "completed", G_CALLBACK (on_completed), self);
      /* it may have been over before, and then nothing is told */
      self->is_noted[i] = pool_async_result_ready (self->results[i]);
      if (self->is_noted[i])
        note_end (self);
    }
  g_print ("{\"submitted\": %d}\n", options.tasks);
  if (options.wait > 0)
    g_usleep (options.wait * G_USEC_PER_SEC);
  /* while nobody iterated the loop others have told of their ends */
  if (!options.no_loop && self->n_ended < (guint) options.tasks)
    {
      self->late = g_timeout_add (options.seconds * 1000, give_up, self);
      g_main_loop_run (self->loop);
      if (self->late != 0)
        g_source_remove (self->late);
      self->late = 0;
    }
  for (int i = 0; i < options.tasks; i++)
    {
      double left = options.seconds - (g_get_monotonic_time () - self->start) / 1e6;

      judge (self, i, options.no_loop ? MAX (left, 0) : 0);
      if (options.no_loop)
        note_end (self);
    }
}

static void
begin (Drive *self)
{
  self->results = g_new0 (PoolAsyncResult *, options.tasks);
  self->n_ends = g_new0 (guint, options.tasks);
  self->is_noted = g_new0 (gboolean, options.tasks);
  self->errors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->n_ended = self->n_right = self->n_wrong = self->n_open = 0;
  self->stall = 0;
}

static void
forget (Drive *self)
{
  for (int i = 0; i < options.tasks; i++)
    g_object_unref (self->results[i]);
  g_clear_pointer (&self->results, g_free);
  g_clear_pointer (&self->n_ends, g_free);
  g_clear_pointer (&self->is_noted, g_free);
  g_clear_pointer (&self->example, g_free);
  g_clear_pointer (&self->errors, g_hash_table_unref);
}

static guint64
get_peak_memory (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

static void
report (Drive *self)
{
  guint64 n_retried, n_restarts;
  guint n_workers, n_wanted, n_twice = 0;
  GHashTableIter iter;
  gpointer name, n;
  gboolean first = TRUE;

  g_object_get (self->pool, "n-retried", &n_retried, "n-restarts", &n_restarts, "n-workers", &n_workers, "n-wanted",
                &n_wanted, NULL);
  for (int i = 0; i < options.tasks; i++)
    n_twice += self->n_ends[i] > 1;
  g_print ("{\"tasks\": %d, \"right\": %u, \"wrong\": %u, \"open\": %u, \"twice\": %u, \"errors\": {", options.tasks,
           self->n_right, self->n_wrong, self->n_open, n_twice);
  g_hash_table_iter_init (&iter, self->errors);
  for (; g_hash_table_iter_next (&iter, &name, &n); first = FALSE)
    g_print ("%s\"%s\": %u", first ? "" : ", ", (char *) name, GPOINTER_TO_UINT (n));
  g_print ("}, \"example\": \"%s\", \"n_retried\": %" G_GUINT64_FORMAT ", \"n_restarts\": %" G_GUINT64_FORMAT
           ", \"workers\": %u, \"wanted\": %u, \"stall\": %.3f, \"seconds\": %.3f, \"memory_kib\": %" G_GUINT64_FORMAT "}\n",
           self->example != NULL ? self->example : "", n_retried, n_restarts, n_workers, n_wanted, self->stall / 1e6,
           (self->last - self->start) / 1e6, get_peak_memory ());
}

/* --- the program --- */

static gboolean
on_input (GIOChannel *channel, GIOCondition condition, gpointer loop)
{
  char data[64];

  if (read (STDIN_FILENO, data, sizeof data) > 0)
    return G_SOURCE_CONTINUE;
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

static void
hold (Drive *self)
{
  GIOChannel *channel = g_io_channel_unix_new (STDIN_FILENO);

  g_io_add_watch (channel, G_IO_IN | G_IO_HUP, on_input, self->loop);
  g_io_channel_unref (channel);
  g_main_loop_run (self->loop);
}

static void
limit_descriptors (void)
{
  struct rlimit limit = { options.nofile, options.nofile };

  if (options.nofile > 0)
    setrlimit (RLIMIT_NOFILE, &limit);
}

static int
end (Drive *self)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();
  gboolean joined;

  pool_manager_close (self->pool, NULL);
  joined = pool_manager_join (self->pool, 10, &error);
  if (!joined)
    say_error (error);
  g_object_unref (self->pool);
  g_print ("{\"end_seconds\": %.3f}\n", (g_get_monotonic_time () - start) / 1e6);
  forget (self);
  g_main_loop_unref (self->loop);
  return joined ? 0 : 1;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *endpoint = NULL;
  Drive self = { 0 };

  setlocale (LC_ALL, "");
  setlinebuf (stdout);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("drive: %s\n", error->message);
      return 2;
    }
  /* of several ranks the first goes on */
  if (g_getenv ("POOL_TEST_RANKS") != NULL && !pool_init (&error))
    {
      say_error (error);
      return 1;
    }
  limit_descriptors ();
  /* no other thread is to emit signals */
  g_main_context_acquire (NULL);
  self.pool = make_pool (&error);
  if (self.pool == NULL)
    {
      say_error (error);
      return 1;
    }
  self.loop = g_main_loop_new (NULL, FALSE);
  begin (&self);
  g_object_get (self.pool, "endpoint", &endpoint, NULL);
  g_print ("{\"endpoint\": \"%s\", \"pid\": %d}\n", endpoint != NULL ? endpoint : "", (int) getpid ());
  run_tasks (&self);
  report (&self);
  if (options.holds)
    {
      hold (&self);
      forget (&self);
      begin (&self);
      run_tasks (&self);
      report (&self);
    }
  return end (&self);
}
