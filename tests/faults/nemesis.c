/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#include <locale.h>
#include <sys/prctl.h>

NemesisOptions nemesis_options = { .seconds = 8, .seed = -1 };
gboolean nemesis_isolates, nemesis_has_agents, nemesis_is_rank, nemesis_may_start;
int nemesis_root;

static const GOptionEntry entries[] = {
  { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &nemesis_options.seconds, "How long", "S" },
  { "seed", 0, 0, G_OPTION_ARG_INT64, &nemesis_options.seed, "What the draws start from; else the time", "N" },
  { "backend", 0, 0, G_OPTION_ARG_STRING, &nemesis_options.backend, "fork (the default), threads, zmq or mpi", "NAME" },
  { "start-method", 0, 0, G_OPTION_ARG_STRING, &nemesis_options.method, "fork, forkserver, spawn, or copy", "METHOD" },
  { "processes", 0, 0, G_OPTION_ARG_INT, &nemesis_options.processes, "Workers of each pool; else one to four", "N" },
  { "actors", 0, 0, G_OPTION_ARG_INT, &nemesis_options.actors, "Threads that use the pools; else one to three", "N" },
  { "workload", 0, 0, G_OPTION_ARG_NONE, &nemesis_options.workload, "A fixed workload instead, figures as JSON", NULL },
  { "verbose", 'v', 0, G_OPTION_ARG_NONE, &nemesis_options.verbose, "The history as it happens", NULL },
  { NULL, 0, 0, 0, NULL, NULL, NULL },
};

/* --- a round --- */

typedef struct
{
  NemesisRound round;
  GRand *rand;
  NemesisActor actors[8];
  guint n_actors;
  GMainLoop *main_loop;
  _Atomic guint n_acting;
} Play;

static gboolean
end_loop (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

static gpointer
run_actor (gpointer data)
{
  gpointer *args = data;
  NemesisActor *actor = args[0];
  Play *play = args[1];

  g_free (args);
  nemesis_actor_thread (actor);
  if (--play->n_acting == 0 && play->main_loop != NULL)
    g_idle_add (end_loop, play->main_loop);
  return NULL;
}

static void
begin_round (Play *self, guint number)
{
  NemesisRound *round = &self->round;

  self->rand = g_rand_new_with_seed_array ((guint32[]){ nemesis_options.seed, number }, 2);
  round->number = number;
  g_mutex_init (&round->lock);
  round->loop = g_rand_boolean (self->rand);
  if (round->loop)
    self->main_loop = g_main_loop_new (NULL, FALSE);
  self->n_acting = self->n_actors =
      nemesis_options.actors > 0 ? nemesis_options.actors : g_rand_int_range (self->rand, 1, 4);
  for (guint i = 0; i < self->n_actors; i++)
    self->actors[i] = (NemesisActor){
      .number = i + 1,
      .round = round,
      .rand = g_rand_new_with_seed_array ((guint32[]){ nemesis_options.seed, number, i + 1 }, 3),
      .calls = g_ptr_array_new (),
      .ended = g_ptr_array_new_with_free_func ((GDestroyNotify) nemesis_call_free),
    };
  nemesis_note (NEMESIS_ANYBODY, "round %u: %u actors, %s", number, self->n_actors, round->loop ? "a main loop" : "no main loop");
  nemesis_watch_round (round, self->actors, self->n_actors);
}

static void
start_pools (Play *self)
{
  NemesisRound *round = &self->round;
  guint n = nemesis_is_rank ? 1 : g_rand_int_range (self->rand, 1, NEMESIS_MAX_POOLS + 1);

  /* threads of the last round that have been joined may still be there for the kernel */
  while (!nemesis_may_start && nemesis_count_threads () > 1)
    g_usleep (100);
  while (round->n_pools < n)
    round->pools[round->n_pools++] = nemesis_pool_start (self->rand);
  round->end = g_get_monotonic_time () + g_rand_int_range (self->rand, 100000, 1200000);
}

static void
act (Play *self)
{
  GThread *threads[G_N_ELEMENTS (self->actors)], *faults = NULL;

  if (nemesis_isolates)
    faults = g_thread_new ("faults", nemesis_faults_thread, &self->round);
  for (guint i = 0; i < self->n_actors; i++)
    {
      gpointer *args = g_new (gpointer, 2);

      args[0] = &self->actors[i];
      args[1] = self;
      threads[i] = g_thread_new ("actor", run_actor, args);
    }
  if (self->main_loop != NULL)
    g_main_loop_run (self->main_loop);
  for (guint i = 0; i < self->n_actors; i++)
    g_thread_join (threads[i]);
  nemesis_note (NEMESIS_ANYBODY, "actors have ended, %u callbacks are due", nemesis_n_callbacks_due);
  while (nemesis_n_callbacks_due > 0)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (200);
  self->round.over = TRUE;
  if (faults != NULL)
    g_thread_join (faults);
}

/* Whatever it has been through, a pool that runs runs tasks. */
static void
check_usable (NemesisPool *pool, PoolManager *manager)
{
  const NemesisItem item = { .number = 1 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_manager_apply (manager, "nemesis.value", g_variant_new ("(xuu)", item.number, 0, 0),
                                                   NULL, NULL, &error);

  nemesis_judge_value (pool, NULL, &item, value, error);
}

static void
end_pool (Play *self, NemesisPool *pool)
{
  g_autoptr (PoolManager) manager = nemesis_pool_dup_manager (pool);
  g_autoptr (GError) error = NULL;

  nemesis_note (NEMESIS_ANYBODY, "pool %u ends", pool->number);
  if (manager != NULL && pool_manager_get_state (manager) == POOL_STATE_RUN)
    check_usable (pool, manager);
  if (manager != NULL && !nemesis_pool_may_end_tasks (pool) && !pool->fragile)
    nemesis_pool_empty_bag (pool);
  if (manager != NULL && !nemesis_pool_is_over (pool))
    {
      if (g_rand_boolean (self->rand))
        nemesis_pool_close (pool);
      else if (g_rand_boolean (self->rand))
        nemesis_pool_terminate (pool);
    }
  if (manager != NULL && nemesis_pool_is_over (pool) && g_rand_boolean (self->rand) &&
      !pool_manager_join (manager, -1, &error))
    nemesis_found ("pool %u cannot be joined: %s", pool->number, error->message);
  nemesis_note (NEMESIS_ANYBODY, "pool %u goes", pool->number);
  g_clear_object (&manager);
  nemesis_pool_drop (pool);
}

static void
check_callbacks (NemesisActor *actor)
{
  for (guint i = 0; i < actor->ended->len; i++)
    {
      NemesisCall *call = actor->ended->pdata[i];

      if (call->n_callbacks != (call->has_callback ? 1 : 0))
        nemesis_found ("call %u: %u callbacks", call->id, call->n_callbacks);
    }
}

static void
end_round (Play *self)
{
  NemesisRound *round = &self->round;

  for (guint i = 0; i < round->n_pools; i++)
    end_pool (self, round->pools[i]);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  nemesis_watch_round (NULL, NULL, 0);
  for (guint i = 0; i < self->n_actors; i++)
    {
      check_callbacks (&self->actors[i]);
      g_ptr_array_unref (self->actors[i].calls);
      g_ptr_array_unref (self->actors[i].ended);
      g_rand_free (self->actors[i].rand);
    }
  for (guint i = 0; i < round->n_pools; i++)
    nemesis_pool_unref (round->pools[i]);
  g_clear_pointer (&self->main_loop, g_main_loop_unref);
  g_rand_free (self->rand);
  g_mutex_clear (&round->lock);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  nemesis_watch_leaks (round);
}

static void
play_round (guint number)
{
  g_autofree Play *play = g_new0 (Play, 1);

  begin_round (play, number);
  start_pools (play);
  act (play);
  end_round (play);
}

/* --- the program --- */

static gpointer
idle_thread (gpointer data)
{
  for (;;)
    g_usleep (G_USEC_PER_SEC * 1000);
  return NULL;
}

/* The tasks lie where this program does. */
static void
find_tasks (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *directory = g_path_get_dirname (program);
  const char *others = g_getenv ("POOL_TASK_PATH");
  g_autofree char *path = g_strconcat (directory, others != NULL ? ":" : NULL, others, NULL);

  g_setenv ("POOL_TASK_PATH", path, TRUE);
}

static void
set_up (void)
{
  gboolean copy = g_strcmp0 (nemesis_options.method, "copy") == 0;
  g_autoptr (GError) error = NULL;

  if (nemesis_options.backend == NULL)
    nemesis_options.backend = g_strdup ("fork");
  if (nemesis_options.seed < 0)
    nemesis_options.seed = g_get_real_time () % 1000000;
  nemesis_isolates = !g_str_equal (nemesis_options.backend, "threads");
  nemesis_has_agents = g_str_equal (nemesis_options.backend, "zmq") || g_str_equal (nemesis_options.backend, "mpi");
  nemesis_is_rank = pool_count_ranks () > 1;
  nemesis_root = nemesis_is_rank ? getppid () : getpid ();
  nemesis_may_start = g_strcmp0 (nemesis_options.method, "fork") != 0;
  nemesis_options.actors = MIN (nemesis_options.actors, 8);
  find_tasks ();
  prctl (PR_SET_CHILD_SUBREAPER, 1);
  /* of several ranks the first goes on */
  if ((copy || nemesis_is_rank) && !pool_init (&error))
    nemesis_found ("pool_init(): %s", error->message);
  /* a program with threads has its workers from the copy */
  if (copy)
    g_thread_unref (g_thread_new ("idle", idle_thread, NULL));
}

static gpointer
no_thread (gpointer data)
{
  return NULL;
}

static void
warm_up (void)
{
  guint n_threads;
  g_autoptr (GRand) rand = g_rand_new_with_seed (0);
  NemesisPool *pool;

  /* a sanitizer makes one of its own with the first, and keeps it */
  if (!nemesis_isolates)
    g_thread_join (g_thread_new ("none", no_thread, NULL));
  n_threads = nemesis_count_threads ();
  pool = nemesis_pool_start (rand);
  g_variant_unref (pool_manager_apply (pool->manager, "nemesis.value", g_variant_new ("(xuu)", (gint64) 0, 0, 0), NULL,
                                       NULL, NULL));
  nemesis_pool_close (pool);
  pool_manager_join (pool->manager, -1, NULL);
  nemesis_pool_unref (pool);
  while (g_main_context_iteration (NULL, FALSE) || nemesis_count_threads () > n_threads)
    ;
  nemesis_watch_begin ();
}

static void
report (guint n_rounds)
{
  const NemesisCounts *counts = &nemesis_counts;

  g_print ("%s%s%s, seed %" G_GINT64_FORMAT ": %u rounds, %u pools, %" G_GUINT64_FORMAT " calls of %" G_GUINT64_FORMAT
           " items\n",
           nemesis_options.backend, nemesis_options.method != NULL ? " by " : "",
           nemesis_options.method != NULL ? nemesis_options.method : "", nemesis_options.seed, n_rounds, nemesis_n_pools,
           counts->n_calls, counts->n_items);
  g_print ("ended right: %" G_GUINT64_FORMAT "; as they had to with their own error: %" G_GUINT64_FORMAT
           ", cancelled: %" G_GUINT64_FORMAT ", with their pool: %" G_GUINT64_FORMAT ", lost with their worker: %" G_GUINT64_FORMAT
           ", over a limit: %" G_GUINT64_FORMAT ", terminated: %" G_GUINT64_FORMAT ", in a broken pool: %" G_GUINT64_FORMAT
           "; %u workers killed, %u stopped\n",
           counts->n_right, counts->n_raised, counts->n_cancelled, counts->n_ended, counts->n_lost, counts->n_late,
           counts->n_terminated, counts->n_broken, nemesis_n_kills, nemesis_n_stops);
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  gint64 end;
  guint n = 0;

  setlocale (LC_ALL, "");
  g_option_context_set_summary (context, "Does to pools all that can be done to them, at random, and checks what comes of it.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("nemesis: %s\n", error->message);
      return 2;
    }
  set_up ();
  if (nemesis_options.workload)
    return nemesis_workload_run ();

  nemesis_watch_start ();
  warm_up ();
  end = g_get_monotonic_time () + nemesis_options.seconds * G_USEC_PER_SEC;
  while (g_get_monotonic_time () < end)
    play_round (++n);
  report (n);
  nemesis_watch_memory ();
  g_free (nemesis_options.backend);
  g_free (nemesis_options.method);
  return 0;
}
