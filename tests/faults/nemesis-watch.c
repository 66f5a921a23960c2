/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_EVENTS 8192
#define N_SHOWN 150
#define HANG_SECONDS 20
#define LEAK_PATIENCE_US (10 * G_TIME_SPAN_SECOND)

/* --- the history --- */

typedef struct
{
  gint64 time;
  guint actor;
  char text[96];
} Event;

static Event events[N_EVENTS];
static _Atomic guint n_events;
static _Atomic guint n_progress; /* events but faults */
static gint64 started_at;

static NemesisRound *watched_round;
static NemesisActor *watched_actors;
static guint n_watched_actors;

void
nemesis_note (guint actor, const char *format, ...)
{
  Event *event = &events[n_events++ % N_EVENTS];
  va_list args;

  n_progress += actor != NEMESIS_FAULTS;
  va_start (args, format);
  g_vsnprintf (event->text, sizeof event->text, format, args);
  va_end (args);
  event->actor = actor;
  event->time = g_get_monotonic_time () - started_at;
  if (nemesis_options.verbose)
    g_printerr ("%10.6f %u %s\n", event->time / 1e6, actor, event->text);
}

static void
show_history (void)
{
  guint end = n_events, begin = end > N_SHOWN ? end - N_SHOWN : 0;

  for (guint i = begin; i < end; i++)
    dprintf (STDERR_FILENO, "%10.6f %u %s\n", events[i % N_EVENTS].time / 1e6, events[i % N_EVENTS].actor,
             events[i % N_EVENTS].text);
}

/* --- the state of everything --- */

static void
show_process (int pid, const char *indent)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *wchan_path = g_strdup_printf ("/proc/%d/wchan", pid);
  g_autofree char *stat = NULL;
  g_autofree char *wchan = NULL;
  char *end;

  if (!g_file_get_contents (path, &stat, NULL, NULL) || (end = strrchr (stat, ')')) == NULL)
    return;
  g_file_get_contents (wchan_path, &wchan, NULL, NULL);
  end[3] = '\0';
  dprintf (STDERR_FILENO, "%s%s %s\n", indent, stat, wchan != NULL ? wchan : "");
}

static char **
list_children (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/children", pid, pid);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return g_new0 (char *, 1);
  return g_strsplit (g_strstrip (text), " ", -1);
}

static void
show_descendants (int pid, guint depth)
{
  g_auto (GStrv) children = list_children (pid);

  for (char **child = children; *child != NULL && **child != '\0' && depth < 4; child++)
    {
      show_process (atoi (*child), depth == 0 ? "  " : "    ");
      show_descendants (atoi (*child), depth + 1);
    }
}

static void
show_actor (NemesisActor *actor)
{
  dprintf (STDERR_FILENO, "actor %u: %s, %u calls not looked at\n", actor->number,
           actor->doing != NULL ? actor->doing : "not begun", actor->calls->len);
  for (guint i = 0; i < actor->calls->len; i++)
    {
      NemesisCall *call = actor->calls->pdata[i];

      if (call->result == NULL || pool_async_result_ready (call->result))
        continue;
      dprintf (STDERR_FILENO, "  call %u pends: kind %d, pool %u%s, %u items, the first: number %ld behaviour %u\n", call->id,
               call->kind, call->pool->number, call->cancelled ? ", cancelled" : "", call->n_items,
               call->n_items > 0 ? (long) call->items[0].number : 0L, call->n_items > 0 ? call->items[0].behaviour : 0);
    }
}

static void
show_stacks (void)
{
  g_autofree char *command =
      g_strdup_printf ("gdb -p %d -batch -ex 'thread apply all bt 18' 2>/dev/null | grep -v '^\\[New' >&2", (int) getpid ());

  if (system (command) != 0)
    dprintf (STDERR_FILENO, "(no gdb for the stacks)\n");
}

static void
show_state (void)
{
  dprintf (STDERR_FILENO, "\nhistory, its end:\n");
  show_history ();
  dprintf (STDERR_FILENO, "\nround %u, %s main loop; callbacks due: %u\n", watched_round != NULL ? watched_round->number : 0,
           watched_round != NULL && watched_round->loop ? "with a" : "no", nemesis_n_callbacks_due);
  for (guint i = 0; i < n_watched_actors; i++)
    show_actor (&watched_actors[i]);
  for (guint i = 0; watched_round != NULL && i < watched_round->n_pools; i++)
    dprintf (STDERR_FILENO, "pool %u: %s%s%s%s\n", watched_round->pools[i]->number,
             watched_round->pools[i]->threads ? "threads" : "no threads", watched_round->pools[i]->closing ? ", closed" : "",
             watched_round->pools[i]->terminating ? ", terminated" : "",
             watched_round->pools[i]->manager == NULL ? ", dropped" : "");
  dprintf (STDERR_FILENO, "processes:\n");
  show_descendants (getpid (), 0);
}

static void
show_reproduction (void)
{
  dprintf (STDERR_FILENO,
           "\nto see it again: meson devenv -C build tests/faults/nemesis --backend %s%s%s --processes %d --actors %d "
           "--seconds %g --seed %ld\n",
           nemesis_options.backend, nemesis_options.method != NULL ? " --start-method " : "",
           nemesis_options.method != NULL ? nemesis_options.method : "", nemesis_options.processes,
           nemesis_options.actors, nemesis_options.seconds, (long) nemesis_options.seed);
}

void
nemesis_found (const char *format, ...)
{
  struct itimerval off = { { 0, 0 }, { 0, 0 } };
  va_list args;

  setitimer (ITIMER_REAL, &off, NULL);
  dprintf (STDERR_FILENO, "\nFOUND: ");
  va_start (args, format);
  vdprintf (STDERR_FILENO, format, args);
  va_end (args);
  show_state ();
  show_reproduction ();
  abort ();
}

/* --- the watchdog --- */

/* Not safe in a signal handler, but for a program that hangs there is nothing to lose. */
static void
look_for_progress (int signum)
{
  static guint last, n_same;
  guint now = n_progress;

  n_same = now == last ? n_same + 1 : 0;
  last = now;
  if (n_same < HANG_SECONDS)
    return;
  signal (SIGALRM, SIG_DFL);
  alarm (30); /* what follows may hang itself */
  dprintf (STDERR_FILENO, "\nFOUND: nothing has happened for %d s\n", HANG_SECONDS);
  show_stacks ();
  show_state ();
  show_reproduction ();
  abort ();
}

/* A signal and no thread: a program with threads cannot start pools by `fork`. */
void
nemesis_watch_start (void)
{
  struct itimerval second = { { 1, 0 }, { 1, 0 } };
  struct sigaction action = { .sa_handler = look_for_progress, .sa_flags = SA_RESTART };

  started_at = g_get_monotonic_time ();
  sigaction (SIGALRM, &action, NULL);
  setitimer (ITIMER_REAL, &second, NULL);
}

void
nemesis_watch_round (NemesisRound *round, NemesisActor *actors, guint n_actors)
{
  n_watched_actors = 0;
  watched_round = round;
  watched_actors = actors;
  n_watched_actors = n_actors;
}

/* --- what is left over --- */

static guint
count_entries (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

guint
nemesis_count_threads (void)
{
  return count_entries ("/proc/self/task");
}

/* Orphans of zygotes come to this program, which is their subreaper; they count until they have ended. */
static guint
count_children (void)
{
  g_auto (GStrv) children = list_children (getpid ());
  guint n = 0;

  for (char **child = children; *child != NULL; child++)
    n += **child != '\0' && waitpid (atoi (*child), NULL, WNOHANG) == 0;
  return n;
}

static guint
count_maps (void)
{
  g_autofree char *maps = NULL;
  guint n = 0;

  g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL);
  for (char *p = maps; p != NULL && (p = strstr (p, "memfd:libpool")) != NULL; p++)
    n++;
  return n;
}

typedef struct
{
  guint fds, children, threads, maps;
} Leftovers;

static Leftovers
count_leftovers (void)
{
  return (Leftovers){ count_entries ("/proc/self/fd"), count_children (), nemesis_count_threads (), count_maps () };
}

static GArray *heap; /* bytes in use after each round */

static guint64
get_rss (void)
{
  g_autofree char *statm = NULL;

  if (!g_file_get_contents ("/proc/self/statm", &statm, NULL, NULL))
    return 0;
  return g_ascii_strtoull (strchr (statm, ' '), NULL, 10) * sysconf (_SC_PAGESIZE);
}

static Leftovers usual; /* what there is when all pools are gone */

/* What the first pool of a program opens and loads stays; it is gone but for that. */
void
nemesis_watch_begin (void)
{
  gint64 end = g_get_monotonic_time () + LEAK_PATIENCE_US;

  usual = count_leftovers ();
  /* what Open MPI has started for the first pool goes a little later, and all of it */
  while (nemesis_has_agents && !nemesis_is_rank && usual.children > 0 && g_get_monotonic_time () < end)
    {
      g_usleep (1000);
      usual = count_leftovers ();
    }
}

/* After each round, when all pools are gone. */
void
nemesis_watch_leaks (NemesisRound *round)
{
  gint64 end = g_get_monotonic_time () + LEAK_PATIENCE_US;
  Leftovers now = count_leftovers ();
  double in_use;

  if (nemesis_n_listeners != 0)
    nemesis_found ("left over after round %u: %u that were to be told of something", round->number, nemesis_n_listeners);
  while (memcmp (&now, &usual, sizeof now) != 0 && g_get_monotonic_time () < end)
    {
      g_usleep (1000);
      now = count_leftovers ();
    }
  if (memcmp (&now, &usual, sizeof now) != 0)
    nemesis_found ("left over after round %u: %u fds (before: %u), %u children (%u), %u threads (%u), %u maps of shared memory "
                   "(%u)",
                   round->number, now.fds, usual.fds, now.children, usual.children, now.threads, usual.threads, now.maps,
                   usual.maps);

  if (heap == NULL)
    heap = g_array_new (FALSE, FALSE, sizeof (double));
  in_use = mallinfo2 ().uordblks + mallinfo2 ().hblkhd;
  g_array_append_val (heap, in_use);
}

/* How much the heap grew in the second half of the rounds, by the straight line through them. */
void
nemesis_watch_memory (void)
{
  guint from = heap->len / 2, n = heap->len - from;
  double mean_x = (n - 1) / 2.0, mean_y = 0, xy = 0, xx = 0, growth;

  for (guint i = 0; i < n; i++)
    mean_y += g_array_index (heap, double, from + i) / n;
  for (guint i = 0; i < n; i++)
    {
      xy += (i - mean_x) * (g_array_index (heap, double, from + i) - mean_y);
      xx += (i - mean_x) * (i - mean_x);
    }
  growth = xx > 0 ? xy / xx * n : 0;
  g_print ("memory: %.1f KiB in use, grown by %.1f KiB in the last %u rounds; RSS %.1f MiB\n", mean_y / 1024, growth / 1024,
           n, get_rss () / 1048576.0);
  if (n >= 20 && growth > 1024 * 1024)
    nemesis_found ("the heap grows: by %.0f bytes in %u rounds", growth, n);
  g_array_unref (heap);
}
