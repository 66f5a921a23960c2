/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * peer-zmq: what bare ZeroMQ takes between two processes over ipc, with the sockets that the zmq backend has: a router that
 * asks, a dealer that answers. A pool on top of it is no faster.
 */

#include "bench-common.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#define MIB (1 << 20)
#define BATCH (64 * 1024)
/* What an item of a packed map of numbers takes: its place and itself. */
#define ITEM 16

typedef struct
{
  char *directory, *endpoint;
  void *context, *router;
  pid_t pid;
  zmq_msg_t peer; /* its name */
} Pair;

static void
set_unbounded (void *socket)
{
  const int zero = 0;

  zmq_setsockopt (socket, ZMQ_SNDHWM, &zero, sizeof zero);
  zmq_setsockopt (socket, ZMQ_RCVHWM, &zero, sizeof zero);
  zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
}

/* Says that it is there, then sends back what it gets; with @counts it answers only a message of one byte, with one. */
static void
answer_forever (const char *endpoint, gboolean counts)
{
  void *dealer = zmq_socket (zmq_ctx_new (), ZMQ_DEALER);

  set_unbounded (dealer);
  if (zmq_connect (dealer, endpoint) != 0 || zmq_send (dealer, "!", 1, 0) < 0)
    _exit (1);
  for (;;)
    {
      zmq_msg_t message;

      zmq_msg_init (&message);
      if (zmq_msg_recv (&message, dealer, 0) < 0)
        _exit (1);
      if (counts && zmq_msg_size (&message) > 1)
        zmq_msg_close (&message);
      else if (zmq_msg_send (&message, dealer, 0) < 0)
        _exit (1);
    }
}

static gboolean
pair_open (Pair *self, gboolean counts, GError **error)
{
  pid_t parent = getpid ();

  *self = (Pair){ .directory = g_dir_make_tmp ("peer-zmq-XXXXXX", error) };
  if (self->directory == NULL)
    return FALSE;
  self->endpoint = g_strdup_printf ("ipc://%s/s", self->directory);
  self->pid = fork ();
  if (self->pid < 0)
    return bench_fail_errno (error, "fork");
  if (self->pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        answer_forever (self->endpoint, counts);
      _exit (1);
    }
  self->context = zmq_ctx_new ();
  self->router = zmq_socket (self->context, ZMQ_ROUTER);
  set_unbounded (self->router);
  if (zmq_bind (self->router, self->endpoint) != 0)
    return bench_fail_errno (error, "zmq_bind");
  zmq_msg_init (&self->peer);
  if (zmq_msg_recv (&self->peer, self->router, 0) < 0 || zmq_recv (self->router, (char[8]){ 0 }, 8, 0) != 1)
    return bench_fail_errno (error, "zmq_recv");
  return TRUE;
}

static void
pair_close (Pair *self)
{
  if (self->pid > 0)
    {
      kill (self->pid, SIGKILL);
      while (waitpid (self->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    }
  if (self->router != NULL)
    zmq_close (self->router);
  if (self->context != NULL)
    zmq_ctx_term (self->context);
  if (self->directory != NULL)
    {
      g_autofree char *path = g_build_filename (self->directory, "s", NULL);

      g_unlink (path);
      g_rmdir (self->directory);
    }
  g_free (self->directory);
  g_free (self->endpoint);
}

static gboolean
send_to (Pair *self, const guint8 *data, gsize size)
{
  return zmq_send (self->router, zmq_msg_data (&self->peer), zmq_msg_size (&self->peer), ZMQ_SNDMORE) >= 0 &&
         zmq_send (self->router, data, size, 0) >= 0;
}

/* The answer, copied into @data: a program has a use for it. */
static gboolean
receive (Pair *self, guint8 *data, gsize size)
{
  char name[64];

  return zmq_recv (self->router, name, sizeof name, 0) >= 0 && zmq_recv (self->router, data, size, 0) == (int) size;
}

static gboolean
round_trips (BenchRun *run, GError **error)
{
  gsize size = run->figure->n;
  g_autofree guint8 *data = g_malloc0 (size);
  BenchSamples samples;
  gint64 end, bytes = 0, start;
  gboolean ok;
  Pair pair;

  ok = pair_open (&pair, FALSE, error);
  bench_samples_init (&samples);
  start = bench_now ();
  end = start + (gint64) (run->seconds * 1e9);
  while (ok && !bench_samples_full (&samples) && bench_now () < end)
    {
      gint64 before = bench_now ();

      ok = (send_to (&pair, data, size) && receive (&pair, data, size)) || bench_fail_errno (error, "a round trip");
      bench_samples_add (&samples, bench_now () - before);
      bytes += size;
    }
  if (ok && size >= MIB)
    bench_record (run, NULL, bytes / (double) MIB / ((bench_now () - start) / 1e9), "MiB/s");
  else if (ok)
    bench_samples_record (&samples, run);
  bench_samples_clear (&samples);
  pair_close (&pair);
  return ok;
}

/* Messages of a batch of @n bytes, one after the other; the last is answered. */
static gboolean
one_way (BenchRun *run, GError **error)
{
  gsize size = run->figure->n;
  g_autofree guint8 *data = g_malloc0 (size);
  gint64 start, end;
  guint64 n = 0;
  gboolean ok;
  Pair pair;

  ok = pair_open (&pair, TRUE, error);
  start = bench_now ();
  end = start + (gint64) (run->seconds * 1e9);
  while (ok && bench_now () < end)
    {
      for (guint i = 0; ok && i < 64; i++, n++)
        ok = send_to (&pair, data, size);
      ok = ok && send_to (&pair, data, 1) && receive (&pair, data, 1);
      if (!ok)
        bench_fail_errno (error, "a message");
    }
  if (ok)
    bench_record (run, NULL, n * (size / ITEM) / ((bench_now () - start) / 1e9), "task/s");
  pair_close (&pair);
  return ok;
}

static const BenchFigure figures[] = {
  { "rtt", "round trip of 16 bytes", round_trips, 1, 16, 0 },
  { "payload-1m", "1 MiB there and back", round_trips, 1, MIB, 0 },
  { "one-way", "batches of 64 KiB, one way", one_way, 1, BATCH, 0 },
};

int
main (int argc, char **argv)
{
  return bench_main (argc, argv, "raw-zmq", figures, G_N_ELEMENTS (figures));
}
