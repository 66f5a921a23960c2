/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "../make-part.h"
#include "pool-mpi-link.h"
#include "unit-common.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* More than a socket takes at once. */
#define LARGE ((gsize) 8 * 1024 * 1024)

typedef struct
{
  PoolMpiLink ends[2];
  GPtrArray *parts;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  int sockets[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), ==, 0);
  for (guint i = 0; i < 2; i++)
    pool_mpi_link_init (&self->ends[i], sockets[i]);
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  unit_watchdog (60);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    pool_mpi_link_clear (&self->ends[i]);
  g_ptr_array_unref (self->parts);
  unit_watchdog (0);
}

static PoolMpiFrame
receive (Fixture *self, guint end)
{
  PoolMpiFrame frame;

  /* the other side sends on what it has kept */
  while (!pool_mpi_link_receive (&self->ends[end], &frame, self->parts))
    {
      g_assert_false (self->ends[end].is_broken);
      g_assert_true (pool_mpi_link_flush (&self->ends[1 - end]));
    }
  return frame;
}

static void
test_texts (Fixture *self, gconstpointer data)
{
  PoolMpiFrame frame;

  g_assert_true (pool_mpi_link_send (&self->ends[0], POOL_MPI_PLACES, 0, 7, NULL));
  g_assert_true (pool_mpi_link_send (&self->ends[0], POOL_MPI_ENDED, 3, 2, "gone"));
  frame = receive (self, 1);
  g_assert_cmpuint (frame.kind, ==, POOL_MPI_PLACES);
  g_assert_cmpuint (frame.value, ==, 7);
  g_assert_cmpuint (self->parts->len, ==, 0);
  /* both came at once */
  g_assert_true (pool_mpi_link_has_frame (&self->ends[1]));
  frame = receive (self, 1);
  g_assert_cmpuint (frame.peer, ==, 3);
  g_assert_cmpuint (self->parts->len, ==, 1);
  g_assert_cmpmem (g_bytes_get_data (self->parts->pdata[0], NULL), g_bytes_get_size (self->parts->pdata[0]), "gone", 4);
  g_assert_false (pool_mpi_link_receive (&self->ends[1], &frame, self->parts));
  g_assert_false (pool_mpi_link_has_frame (&self->ends[1]));
}

/* Sizes around those of buffers, empty parts among them; nobody waits for the other. */
static void
test_parts (Fixture *self, gconstpointer data)
{
  const gsize sizes[] = { 0, 1, 4095, 64 * 1024, 256 * 1024 - 24, 256 * 1024, 0, LARGE + 1, 3 };
  GBytes *parts[G_N_ELEMENTS (sizes)];

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    parts[i] = make_part (sizes[i], i);
  for (guint round = 0; round < 3; round++)
    g_assert_true (pool_mpi_link_send_parts (&self->ends[0], round, parts, G_N_ELEMENTS (sizes)));
  g_assert_true (pool_mpi_link_has_output (&self->ends[0]));
  for (guint round = 0; round < 3; round++)
    {
      g_assert_cmpuint (receive (self, 1).peer, ==, round);
      g_assert_cmpuint (self->parts->len, ==, G_N_ELEMENTS (sizes));
      for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
        g_assert_true (g_bytes_equal (self->parts->pdata[i], parts[i]));
    }
  g_assert_false (pool_mpi_link_has_output (&self->ends[0]));
  g_assert_false (pool_mpi_link_is_moving (&self->ends[1]));
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    g_bytes_unref (parts[i]);
}

static void
test_moving (Fixture *self, gconstpointer data)
{
  GBytes *part = make_part (LARGE, 1);
  PoolMpiFrame frame;

  g_assert_true (pool_mpi_link_send_parts (&self->ends[0], 1, &part, 1));
  g_assert_true (pool_mpi_link_is_moving (&self->ends[0]));
  g_assert_false (pool_mpi_link_receive (&self->ends[1], &frame, self->parts));
  g_assert_true (pool_mpi_link_is_moving (&self->ends[1]));
  receive (self, 1);
  g_assert_false (pool_mpi_link_is_moving (&self->ends[0]));
  g_assert_true (g_bytes_equal (self->parts->pdata[0], part));
  g_bytes_unref (part);
}

/* A descriptor comes with its frame, and in its order. */
static void
test_descriptors (Fixture *self, gconstpointer data)
{
  int pipes[2][2];
  char c = 0;

  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (pipe2 (pipes[i], O_CLOEXEC), ==, 0);
      g_assert_true (pool_mpi_link_send (&self->ends[0], POOL_MPI_PLACES, 0, i, NULL));
      g_assert_true (pool_mpi_link_send_fd (&self->ends[0], POOL_MPI_DIRECT, i + 5, pipes[i][1]));
      close (pipes[i][1]);
    }
  for (guint i = 0; i < 2; i++)
    {
      int fd;

      g_assert_cmpuint (receive (self, 1).kind, ==, POOL_MPI_PLACES);
      g_assert_cmpuint (receive (self, 1).peer, ==, i + 5);
      fd = pool_mpi_link_take_fd (&self->ends[1]);
      g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
      g_assert_cmpint (write (fd, &"AB"[i], 1), ==, 1);
      g_assert_cmpint (read (pipes[i][0], &c, 1), ==, 1);
      g_assert_cmpint (c, ==, "AB"[i]);
      close (fd);
      close (pipes[i][0]);
    }
  g_assert_cmpint (pool_mpi_link_take_fd (&self->ends[1]), ==, -1);
}

/* One that cannot be sent at once is not sent, and nothing of its frame; nor stays one open that nobody takes. */
static void
test_refused_descriptor (Fixture *self, gconstpointer data)
{
  GBytes *part = make_part (LARGE, 1);
  int pipes[2];
  char c;

  g_assert_cmpint (pipe2 (pipes, O_CLOEXEC), ==, 0);
  g_assert_true (pool_mpi_link_send_parts (&self->ends[0], 1, &part, 1));
  g_assert_false (pool_mpi_link_send_fd (&self->ends[0], POOL_MPI_DIRECT, 5, pipes[1]));
  g_assert_cmpuint (receive (self, 1).kind, ==, POOL_MPI_MESSAGE);
  g_assert_true (pool_mpi_link_send_fd (&self->ends[0], POOL_MPI_DIRECT, 6, pipes[1]));
  g_assert_cmpuint (receive (self, 1).peer, ==, 6);
  close (pipes[1]);
  pool_mpi_link_clear (&self->ends[1]);
  g_assert_cmpint (read (pipes[0], &c, 1), ==, 0);
  close (pipes[0]);
  g_bytes_unref (part);
}

static gboolean
is_ready (int epoll_fd, gpointer *who)
{
  struct epoll_event event = { 0 };
  int n = epoll_wait (epoll_fd, &event, 1, 0);

  *who = event.data.ptr;
  return n == 1;
}

static void
test_watch (Fixture *self, gconstpointer data)
{
  GBytes *part = make_part (LARGE, 1);
  int epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  gpointer who;

  pool_mpi_link_watch (&self->ends[0], epoll_fd);
  g_assert_false (is_ready (epoll_fd, &who));
  pool_mpi_link_send (&self->ends[1], POOL_MPI_OPEN, 0, 0, NULL);
  g_assert_true (is_ready (epoll_fd, &who));
  g_assert_true (who == &self->ends[0]);
  receive (self, 0);
  g_assert_false (is_ready (epoll_fd, &who));
  /* what is kept may go out when there is room again */
  pool_mpi_link_send_parts (&self->ends[0], 1, &part, 1);
  pool_mpi_link_watch (&self->ends[0], epoll_fd);
  g_assert_false (is_ready (epoll_fd, &who));
  receive (self, 1);
  pool_mpi_link_watch (&self->ends[0], epoll_fd);
  g_assert_false (is_ready (epoll_fd, &who));
  /* the end */
  pool_mpi_link_clear (&self->ends[1]);
  g_assert_true (is_ready (epoll_fd, &who));
  close (epoll_fd);
  g_bytes_unref (part);
}

/* What was said before the end is heard; then it is broken, and takes nothing more. */
static void
test_end (Fixture *self, gconstpointer data)
{
  PoolMpiFrame frame;

  pool_mpi_link_send (&self->ends[0], POOL_MPI_OPEN, 0, 0, NULL);
  pool_mpi_link_clear (&self->ends[0]);
  g_assert_true (pool_mpi_link_receive (&self->ends[1], &frame, self->parts));
  g_assert_false (pool_mpi_link_receive (&self->ends[1], &frame, self->parts));
  g_assert_true (self->ends[1].is_broken);
  g_assert_false (pool_mpi_link_send (&self->ends[1], POOL_MPI_OPEN, 0, 0, NULL));
}

static void
test_nonsense (Fixture *self, gconstpointer data)
{
  const PoolMpiFrame frames[] = { { .kind = POOL_MPI_FRAME_NONE },
                                  { .kind = POOL_MPI_MESSAGE + 1 },
                                  { .kind = POOL_MPI_MESSAGE, .n_parts = G_MAXUINT32 } };
  const PoolMpiFrame *frame = &frames[GPOINTER_TO_UINT (data)];
  PoolMpiFrame received;

  g_assert_cmpint (write (self->ends[0].fd, frame, sizeof *frame), ==, sizeof *frame);
  g_assert_false (pool_mpi_link_receive (&self->ends[1], &received, self->parts));
  g_assert_true (self->ends[1].is_broken);
}

#define ADD(path, data, function) g_test_add (path, Fixture, data, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/mpi-link/texts", NULL, test_texts);
  ADD ("/mpi-link/parts", NULL, test_parts);
  ADD ("/mpi-link/moving", NULL, test_moving);
  ADD ("/mpi-link/descriptors", NULL, test_descriptors);
  ADD ("/mpi-link/refused-descriptor", NULL, test_refused_descriptor);
  ADD ("/mpi-link/watch", NULL, test_watch);
  ADD ("/mpi-link/end", NULL, test_end);
  ADD ("/mpi-link/nonsense/none", GUINT_TO_POINTER (0), test_nonsense);
  ADD ("/mpi-link/nonsense/kind", GUINT_TO_POINTER (1), test_nonsense);
  ADD ("/mpi-link/nonsense/parts", GUINT_TO_POINTER (2), test_nonsense);
  return g_test_run ();
}
