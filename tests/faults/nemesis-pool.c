/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Atomic guint nemesis_n_pools, nemesis_n_kills, nemesis_n_stops;

/* --- pools --- */

static PoolStartMethod
choose_method (void)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_START_METHOD);
  GEnumValue *value =
      nemesis_options.method != NULL ? g_enum_get_value_by_nick (klass, nemesis_options.method) : NULL;

  return value != NULL ? (PoolStartMethod) value->value : POOL_START_METHOD_AUTO;
}

NemesisPool *
nemesis_pool_start (GRand *rand)
{
  NemesisPool *self = g_new0 (NemesisPool, 1);
  g_autoptr (GError) error = NULL;

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->number = ++nemesis_n_pools;
  self->bag = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->recalled = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->resilient = g_rand_int_range (rand, 0, 5) > 0;
  self->threads = g_rand_int_range (rand, 0, 3) > 0;
  self->max_retries = g_rand_int_range (rand, 0, 3) > 0 ? 1000 : g_rand_int_range (rand, 0, 4);
  self->fragile = g_rand_int_range (rand, 0, 15) == 0;
  self->manager = g_object_new (
      POOL_TYPE_MANAGER, "backend", nemesis_options.backend, "start-method", choose_method (), "processes",
      nemesis_options.processes > 0 ? nemesis_options.processes : g_rand_int_range (rand, 1, 5), "max-restarts",
      self->fragile ? 5 : 1000000, "resilient", self->resilient, "threads", self->threads, "max-retries",
      self->max_retries, "target", "nemesis.value", "ordered", g_rand_boolean (rand), "queue-size",
      g_rand_int_range (rand, 0, 20), NULL);
  if (nemesis_has_agents)
    g_object_set (self->manager, "heartbeat", 0.3, NULL);
  nemesis_control_choose_settings (self, rand);
  nemesis_note (NEMESIS_ANYBODY, "pool %u starts: %s, %s, %u retries", self->number, self->resilient ? "resilient" : "not resilient",
                self->threads ? "threads" : "no threads", self->max_retries);
  if (!pool_manager_start (self->manager, &error))
    nemesis_found ("pool %u does not start: %s", self->number, error->message);
  return self;
}

gboolean
nemesis_pool_is_over (NemesisPool *self)
{
  g_autoptr (PoolManager) manager = nemesis_pool_dup_manager (self);

  return manager == NULL || pool_manager_get_state (manager) > POOL_STATE_RUN;
}

/* It has been terminated, or may have been: one that was closed is when it starts anew. */
gboolean
nemesis_pool_may_end_tasks (NemesisPool *self)
{
  return self->terminating || (self->closing && self->restarted);
}

NemesisPool *
nemesis_pool_ref (NemesisPool *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
nemesis_pool_unref (NemesisPool *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  self->terminating = TRUE;
  g_clear_object (&self->manager);
  g_hash_table_unref (self->bag);
  g_hash_table_unref (self->recalled);
  g_mutex_clear (&self->lock);
  g_free (self);
}

PoolManager *
nemesis_pool_dup_manager (NemesisPool *self)
{
  PoolManager *manager = NULL;

  g_mutex_lock (&self->lock);
  if (self->manager != NULL)
    manager = g_object_ref (self->manager);
  g_mutex_unlock (&self->lock);
  return manager;
}

void
nemesis_pool_close (NemesisPool *self)
{
  g_autoptr (PoolManager) manager = nemesis_pool_dup_manager (self);
  g_autoptr (GError) error = NULL;

  self->closing = TRUE;
  /* while it starts anew there is nothing to close */
  if (manager != NULL && !pool_manager_close (manager, &error) &&
      !(self->restarted && g_error_matches (error, POOL_ERROR, POOL_ERROR_NOT_STARTED)))
    nemesis_found ("pool %u cannot be closed: %s", self->number, error->message);
}

void
nemesis_pool_terminate (NemesisPool *self)
{
  g_autoptr (PoolManager) manager = nemesis_pool_dup_manager (self);
  g_autoptr (GError) error = NULL;

  self->terminating = TRUE;
  if (manager != NULL && !pool_manager_terminate (manager, &error))
    nemesis_found ("pool %u cannot be terminated: %s", self->number, error->message);
}

/* The last reference may be that of somebody who is in a call. */
void
nemesis_pool_drop (NemesisPool *self)
{
  PoolManager *manager;

  self->terminating = TRUE;
  g_mutex_lock (&self->lock);
  manager = g_steal_pointer (&self->manager);
  g_mutex_unlock (&self->lock);
  g_clear_object (&manager);
}

/* How many of those that are missing may have been asked back from an agent. */
static guint
count_recalled (NemesisPool *self)
{
  GHashTableIter iter;
  gpointer key;
  guint n = 0;

  g_hash_table_iter_init (&iter, self->bag);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    n += g_hash_table_contains (self->recalled, key);
  return n;
}

/* Takes all results that are to come: each item that was put and not got must be among them. */
void
nemesis_pool_empty_bag (NemesisPool *self)
{
  g_autoptr (PoolManager) manager = nemesis_pool_dup_manager (self);
  guint n_missing;

  while (manager != NULL)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = pool_manager_get (manager, -1, &error);
      gint64 number;

      if (g_error_matches (error, POOL_ERROR, POOL_ERROR_NOTHING_PUT))
        break;
      if (value == NULL)
        {
          nemesis_judge_value (self, NULL, NULL, NULL, error);
          self->n_missing++;
          continue;
        }
      number = (g_variant_get_int64 (value) - 1) / 3;
      if (!g_hash_table_remove (self->bag, &number))
        nemesis_found ("pool %u: get() gives the result of %" G_GINT64_FORMAT " twice, or unasked", self->number, number);
    }
  n_missing = g_hash_table_size (self->bag);
  if (manager != NULL && (n_missing < self->n_missing || n_missing > self->n_missing + count_recalled (self)))
    nemesis_found ("pool %u: %u results of put() are missing, but %u failed or were cleared, and at most %u asked back",
                   self->number, n_missing, self->n_missing, count_recalled (self));
}

/* --- what happens to workers --- */

/* How many processes there may be above a worker, up to this program. */
#define DEPTH_MAX 8

typedef struct
{
  NemesisRound *round;
  GRand *rand;
  GArray *stopped; /* pids */
} Faults;

static int
get_parent (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? atoi (strrchr (text, ')') + 4) : 0;
}

/* What Open MPI starts agents by. */
static gboolean
is_orted (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/comm", pid);
  g_autofree char *name = NULL;

  return g_file_get_contents (path, &name, NULL, NULL) && g_str_has_prefix (name, "orted");
}

/* A pool that nobody looks after does not hear of deaths, and the pid may be somebody else's by now. */
static gboolean
signal_descendant (int pid, gboolean is_agent, int signum)
{
  int fd = syscall (SYS_pidfd_open, pid, 0), ancestor = pid;
  gboolean sent = FALSE;

  if (fd < 0)
    return FALSE;
  /* with agents: of this program, the agent, its zygote; those of an MPI have some more */
  for (guint i = 0; i < DEPTH_MAX && ancestor > 1 && ancestor != nemesis_root; i++)
    ancestor = get_parent (ancestor);
  /* the zygote, or the copy of this program, or a stranger; but an agent is a child of this program */
  if (ancestor == nemesis_root && (is_agent || get_parent (pid) != nemesis_root))
    sent = syscall (SYS_pidfd_send_signal, fd, signum, NULL, 0) == 0;
  close (fd);
  return sent;
}

static gboolean
signal_worker (int pid, int signum)
{
  return signal_descendant (pid, FALSE, signum);
}

/* The agent that a worker is of, or 0. */
static int
find_agent (int pid)
{
  for (guint i = 0; i < DEPTH_MAX && pid > 1; i++)
    {
      int parent = get_parent (pid);

      if (parent == nemesis_root || is_orted (parent))
        return pid;
      pid = parent;
    }
  return 0;
}

static int
choose_worker (Faults *self, PoolManager *manager)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (manager);

  return workers->len > 0
             ? pool_worker_info_get_pid (workers->pdata[g_rand_int_range (self->rand, 0, workers->len)])
             : 0;
}

static void
kill_one (Faults *self, PoolManager *manager)
{
  static const int signals[] = { SIGKILL, SIGKILL, SIGTERM, SIGSEGV };
  int signum = signals[g_rand_int_range (self->rand, 0, G_N_ELEMENTS (signals))];
  int pid = choose_worker (self, manager);

  if (pid > 0 && signal_worker (pid, signum))
    {
      nemesis_n_kills++;
      nemesis_note (NEMESIS_FAULTS, "signal %d to %d", signum, pid);
    }
}

static void
kill_all (Faults *self, PoolManager *manager)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (manager);

  for (guint i = 0; i < workers->len; i++)
    nemesis_n_kills += signal_worker (pool_worker_info_get_pid (workers->pdata[i]), SIGKILL);
  nemesis_note (NEMESIS_FAULTS, "signal 9 to all %u", workers->len);
}

static void
fault_agent (Faults *self, PoolManager *manager, int signum)
{
  int pid = nemesis_has_agents ? find_agent (choose_worker (self, manager)) : 0;

  if (pid == 0 || (nemesis_is_rank && signum != SIGSTOP) || !signal_descendant (pid, TRUE, signum))
    return;
  nemesis_note (NEMESIS_FAULTS, "signal %d to agent %d", signum, pid);
  if (signum == SIGSTOP)
    g_array_append_val (self->stopped, pid);
  nemesis_n_stops += signum == SIGSTOP;
  nemesis_n_kills += signum != SIGSTOP;
}

static void
kill_agent (Faults *self, PoolManager *manager)
{
  /* it drains at SIGUSR1, and at the second SIGTERM it does not */
  static const int signals[] = { SIGKILL, SIGTERM, SIGUSR1, SIGSEGV };

  fault_agent (self, manager, signals[g_rand_int_range (self->rand, 0, G_N_ELEMENTS (signals))]);
}

static void
stop_agent (Faults *self, PoolManager *manager)
{
  fault_agent (self, manager, SIGSTOP);
}

static void
stop_one (Faults *self, PoolManager *manager)
{
  int pid = choose_worker (self, manager);

  if (pid > 0 && signal_worker (pid, SIGSTOP))
    {
      g_array_append_val (self->stopped, pid);
      nemesis_n_stops++;
      nemesis_note (NEMESIS_FAULTS, "stopped %d", pid);
    }
}

static void
continue_one (Faults *self, PoolManager *manager)
{
  guint i;

  if (self->stopped->len == 0)
    return;
  i = g_rand_int_range (self->rand, 0, self->stopped->len);
  signal_descendant (g_array_index (self->stopped, int, i), nemesis_has_agents, SIGCONT);
  nemesis_note (NEMESIS_FAULTS, "continued %d", g_array_index (self->stopped, int, i));
  g_array_remove_index_fast (self->stopped, i);
}

static const struct
{
  const char *name;
  guint weight;
  void (*func) (Faults *self, PoolManager *manager);
} faults[] = {
  { "kill", 10, kill_one },
  { "kill-all", 1, kill_all },
  { "stop", 3, stop_one },
  { "continue", 6, continue_one },
  { "kill-agent", 2, kill_agent },
  { "stop-agent", 1, stop_agent },
};

static void
do_one_fault (Faults *self)
{
  g_autoptr (PoolManager) manager = NULL;
  NemesisRound *round = self->round;
  guint total = 0, luck, i = 0;

  g_mutex_lock (&round->lock);
  if (round->n_pools > 0)
    manager = nemesis_pool_dup_manager (round->pools[g_rand_int_range (self->rand, 0, round->n_pools)]);
  g_mutex_unlock (&round->lock);
  for (guint k = 0; k < G_N_ELEMENTS (faults); k++)
    total += faults[k].weight;
  luck = g_rand_int_range (self->rand, 0, total);
  while (luck >= faults[i].weight)
    luck -= faults[i++].weight;
  if (manager != NULL || faults[i].func == continue_one)
    faults[i].func (self, manager);
}

gpointer
nemesis_faults_thread (gpointer data)
{
  Faults self = { data, NULL,
                  g_array_new (FALSE, FALSE, sizeof (int)) };

  self.rand = g_rand_new_with_seed_array ((guint32[]){ nemesis_options.seed, self.round->number, 0 }, 3);
  while (!self.round->over)
    {
      /* when nothing new begins, what is left must come to its end between two deaths */
      gboolean late = g_get_monotonic_time () > self.round->end;

      g_usleep (g_rand_int_range (self.rand, 100, late ? 200000 : 30000));
      do_one_fault (&self);
    }
  while (self.stopped->len > 0)
    continue_one (&self, NULL);
  g_array_unref (self.stopped);
  g_rand_free (self.rand);
  return NULL;
}
