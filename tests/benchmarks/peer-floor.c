/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * peer-floor: what the machine itself takes for what a pool does: two bare processes that wake each
 * other, and that copy a value there and back. A pool that sleeps and copies as often is no faster.
 */

#include "bench-common.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1 << 20)
#define TIMEOUT (10 * G_GINT64_CONSTANT (1000000000))

enum
{
  HOT_FUTEX,
  COLD_FUTEX,
  HOT_EVENTFD,
  COLD_EVENTFD,
};

/* What the two processes share: how often each has hit the ball. */
typedef struct
{
  guint32 serve __attribute__ ((aligned (64)));
  guint32 answer __attribute__ ((aligned (64)));
} Court;

typedef struct
{
  Court *court;
  int serve_fd;
  int answer_fd;
  gboolean eventfd;
} Game;

typedef void (*ChildFunc) (gpointer data);

/* The other process; it ends with this one. */
static pid_t
fork_child (ChildFunc func, gpointer data, BenchPlacement placement, GError **error)
{
  pid_t parent = getpid (), pid;

  /* the child inherits it */
  if (placement != BENCH_PLACEMENT_FREE && !bench_pin (0, 0, error))
    return -1;

  pid = fork ();
  if (pid < 0)
    bench_fail_errno (error, "fork");
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent && (placement != BENCH_PLACEMENT_CROSS || bench_pin (0, 1, NULL)))
        func (data);
      _exit (1);
    }
  return pid;
}

static void
end_child (pid_t pid)
{
  kill (pid, SIGKILL);
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
}

static void
hit (guint32 *word)
{
  __atomic_add_fetch (word, 1, __ATOMIC_RELEASE);
  bench_futex_wake (word, 1);
}

static gboolean
await_change (guint32 *word, guint32 old)
{
  while (__atomic_load_n (word, __ATOMIC_ACQUIRE) == old)
    if (!bench_futex_wait (word, old, TIMEOUT))
      return FALSE;
  return TRUE;
}

static gboolean
add_one (int fd)
{
  return eventfd_write (fd, 1) == 0;
}

static gboolean
take_one (int fd)
{
  eventfd_t value;

  return eventfd_read (fd, &value) == 0;
}

static void
answer_forever (gpointer data)
{
  Game *game = data;

  if (game->eventfd)
    while (take_one (game->serve_fd) && add_one (game->answer_fd))
      ;
  else
    for (guint32 seen = 0; await_change (&game->court->serve, seen); seen++)
      hit (&game->court->answer);
}

static gboolean
round_trip (Game *game, guint32 turn)
{
  if (game->eventfd)
    return add_one (game->serve_fd) && take_one (game->answer_fd);
  hit (&game->court->serve);
  return await_change (&game->court->answer, turn);
}

/* The same pauses, and the same way to count, as the cold round trip of a pool. */
static gboolean
play (BenchRun *run, Game *game, gboolean cold, GError **error)
{
  BenchSamples samples;
  gint64 end = bench_now () + (gint64) (run->seconds * 1e9);
  guint32 turn = 0;
  gboolean ok = TRUE;

  bench_samples_init (&samples);
  while (ok && !bench_samples_full (&samples) && (samples.n == 0 || bench_now () < end))
    {
      gint64 start;

      if (cold)
        g_usleep (2000);
      start = bench_now ();
      ok = round_trip (game, turn);
      if (turn++ > 0)
        bench_samples_add (&samples, bench_now () - start);
    }
  if (ok)
    bench_samples_record (&samples, run);
  bench_samples_clear (&samples);
  return ok || bench_fail (error, "The other process does not answer");
}

static gboolean
ping_pong (BenchRun *run, GError **error)
{
  gboolean cold = run->figure->variant == COLD_FUTEX || run->figure->variant == COLD_EVENTFD;
  Game game = {
    .court = bench_shared_new (sizeof (Court), error),
    .serve_fd = eventfd (0, EFD_CLOEXEC),
    .answer_fd = eventfd (0, EFD_CLOEXEC),
    .eventfd = run->figure->variant == HOT_EVENTFD || run->figure->variant == COLD_EVENTFD,
  };
  pid_t child;
  gboolean ok;

  if (game.court == NULL)
    return FALSE;
  if (game.serve_fd < 0 || game.answer_fd < 0)
    return bench_fail_errno (error, "eventfd");
  child = fork_child (answer_forever, &game, run->placement, error);
  if (child < 0)
    return FALSE;

  ok = play (run, &game, cold, error);
  end_child (child);
  close (game.serve_fd);
  close (game.answer_fd);
  bench_shared_free (game.court, sizeof (Court));
  return ok;
}

static gboolean
copy_private (BenchRun *run, GError **error)
{
  gsize size = run->items > 0 ? run->items : run->figure->n;
  g_autofree guint8 *from = g_malloc (size);
  g_autofree guint8 *to = g_malloc (size);
  gint64 start, now, end;
  guint n = 0;

  memset (from, 1, size);
  memset (to, 2, size);
  start = now = bench_now ();
  end = start + (gint64) (run->seconds * 1e9);
  for (; n < 2 || now < end; n++, now = bench_now ())
    {
      from[0] = from[size - 1] = (guint8) n;
      memcpy (to, from, size);
      if (to[size - 1] != (guint8) n)
        return bench_fail (error, "The copy is not the original");
    }
  bench_record (run, NULL, (double) size * n / MIB / ((double) (now - start) / 1e9), "MiB/s");
  return TRUE;
}

/* Two warm shared buffers, and how often a round trip copies the value. */
typedef struct
{
  Court *court;
  guint8 *there;
  guint8 *back;
  gsize size;
  gsize copies;
} Carrier;

/* A side that has nothing to do spins a while and lets others run, before it sleeps. */
static gboolean
await_soon (guint32 *word, guint32 old)
{
  gint64 end = bench_now () + 20000;

  while (__atomic_load_n (word, __ATOMIC_ACQUIRE) == old)
    {
      if (bench_now () > end)
        return await_change (word, old);
      sched_yield ();
    }
  return TRUE;
}

static void
carry_back_forever (gpointer data)
{
  Carrier *self = data;
  g_autofree guint8 *own = g_malloc0 (self->size);

  for (guint32 seen = 0; await_soon (&self->court->serve, seen); seen++)
    {
      if (self->copies == 4)
        {
          memcpy (own, self->there, self->size);
          memcpy (self->back, own, self->size);
        }
      else
        {
          self->back[0] = self->there[0];
          self->back[self->size - 1] = self->there[self->size - 1];
        }
      hit (&self->court->answer);
    }
}

static gboolean
carry_once (Carrier *self, guint8 *value, guint8 *copy, guint32 turn, GError **error)
{
  const guint8 *result = self->back;

  value[0] = value[self->size - 1] = (guint8) turn;
  memcpy (self->there, value, self->size);
  hit (&self->court->serve);
  if (!await_soon (&self->court->answer, turn))
    return bench_fail (error, "The other process does not answer");
  if (self->copies == 4)
    result = memcpy (copy, self->back, self->size);
  if (result[0] != (guint8) turn || result[self->size - 1] != (guint8) turn)
    return bench_fail (error, "The result is not that of the call");
  return TRUE;
}

static gboolean
carry (BenchRun *run, Carrier *self, GError **error)
{
  g_autofree guint8 *value = g_malloc0 (self->size);
  g_autofree guint8 *copy = g_malloc0 (self->size);
  const guint32 warm_up = 2;
  guint32 turn = 0;
  gint64 start, now, end;

  while (turn < warm_up)
    if (!carry_once (self, value, copy, turn++, error))
      return FALSE;
  start = now = bench_now ();
  end = start + (gint64) (run->seconds * 1e9);
  for (; turn < warm_up + 2 || now < end; now = bench_now ())
    if (!carry_once (self, value, copy, turn++, error))
      return FALSE;

  bench_record (run, NULL,
                (double) self->size * (turn - warm_up) / MIB / ((double) (now - start) / 1e9),
                "MiB/s");
  return TRUE;
}

static gboolean
copy_there_and_back (BenchRun *run, GError **error)
{
  gsize size = run->items > 0 ? run->items : run->figure->n;
  Carrier carrier = { .size = size, .copies = run->figure->variant };
  pid_t child;
  gboolean ok;

  carrier.court = bench_shared_new (sizeof (Court), error);
  carrier.there = carrier.court != NULL ? bench_shared_new (size, error) : NULL;
  carrier.back = carrier.there != NULL ? bench_shared_new (size, error) : NULL;
  if (carrier.back == NULL)
    return FALSE;
  child = fork_child (carry_back_forever, &carrier, run->placement, error);
  if (child < 0)
    return FALSE;

  ok = carry (run, &carrier, error);
  end_child (child);
  bench_shared_free (carrier.back, size);
  bench_shared_free (carrier.there, size);
  bench_shared_free (carrier.court, sizeof (Court));
  return ok;
}

static const BenchFigure figures[] = {
  { "futex", "ping-pong with a futex", ping_pong, 1, 0, HOT_FUTEX },
  { "futex-cold", "the same with pauses of 2 ms", ping_pong, 1, 0, COLD_FUTEX },
  { "eventfd", "ping-pong with eventfds", ping_pong, 1, 0, HOT_EVENTFD },
  { "eventfd-cold", "the same with pauses of 2 ms", ping_pong, 1, 0, COLD_EVENTFD },
  { "memcpy-1m", "copies within a process", copy_private, 1, MIB, 0 },
  { "memcpy-64m", "copies within a process", copy_private, 1, 64 * MIB, 0 },
  { "copied-1m", "there and back in four copies", copy_there_and_back, 1, MIB, 4 },
  { "copied-64m", "there and back in four copies", copy_there_and_back, 1, 64 * MIB, 4 },
  { "inplace-1m", "there and back in one copy", copy_there_and_back, 1, MIB, 1 },
  { "inplace-64m", "there and back in one copy", copy_there_and_back, 1, 64 * MIB, 1 },
};

int
main (int argc, char **argv)
{
  return bench_main (argc, argv, "floor", figures, G_N_ELEMENTS (figures));
}
