/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-bell.h"
#include "unit-common.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

static gboolean
is_readable (int fd)
{
  struct pollfd poll_fd = { fd, POLLIN, 0 };

  return poll (&poll_fd, 1, 0) == 1;
}

static void
test_ring (void)
{
  PoolMpiBell bells[2];

  for (guint i = 0; i < 2; i++)
    pool_mpi_bell_open (&bells[i]);
  g_assert_cmpuint (bells[0].name, !=, bells[1].name);
  g_assert_false (is_readable (bells[1].fd));
  pool_mpi_bell_ring (&bells[0], bells[1].name);
  g_assert_true (is_readable (bells[1].fd));
  g_assert_false (is_readable (bells[0].fd));
  g_assert_cmpuint (pool_mpi_bell_take (&bells[1]), ==, bells[0].name);
  g_assert_cmpuint (pool_mpi_bell_take (&bells[1]), ==, 0);
  /* nobody waits for one that does not listen, or is gone */
  for (guint i = 0; i < 10000; i++)
    pool_mpi_bell_ring (&bells[0], bells[1].name);
  pool_mpi_bell_ring (&bells[0], 0);
  pool_mpi_bell_close (&bells[1]);
  pool_mpi_bell_ring (&bells[0], bells[1].name);
  g_assert_cmpuint (pool_mpi_bell_take (&bells[1]), ==, 0);
  pool_mpi_bell_close (&bells[0]);
}

static void
test_hand (void)
{
  PoolMpiBell bells[2];
  guint64 gone;
  int pipes[2][2];
  char c;

  for (guint i = 0; i < 2; i++)
    {
      pool_mpi_bell_open (&bells[i]);
      g_assert_cmpint (pipe2 (pipes[i], O_CLOEXEC), ==, 0);
    }
  pool_mpi_bell_ring (&bells[0], bells[1].name);
  g_assert_true (pool_mpi_bell_hand (&bells[0], bells[1].name, pipes[0][1]));
  g_assert_true (pool_mpi_bell_hand (&bells[0], bells[1].name, pipes[1][1]));
  for (guint i = 0; i < 2; i++)
    close (pipes[i][1]);
  g_assert_cmpint (bells[1].handed, ==, -1);
  while (pool_mpi_bell_take (&bells[1]) != 0)
    ;
  /* the last one counts; the other is not kept */
  g_assert_cmpint (read (pipes[0][0], &c, 1), ==, 0);
  g_assert_cmpint (write (bells[1].handed, "x", 1), ==, 1);
  g_assert_cmpint (read (pipes[1][0], &c, 1), ==, 1);
  gone = bells[1].name;
  pool_mpi_bell_close (&bells[1]);
  g_assert_cmpint (read (pipes[1][0], &c, 1), ==, 0);
  g_assert_false (pool_mpi_bell_hand (&bells[0], gone, pipes[0][0]));
  g_assert_false (pool_mpi_bell_hand (&bells[0], 0, pipes[0][0]));
  pool_mpi_bell_close (&bells[0]);
  for (guint i = 0; i < 2; i++)
    close (pipes[i][0]);
}

/* Whoever else is on this machine may ring, and hand in nothing. */
static void
test_stranger (void)
{
  PoolMpiBell bell;
  pid_t child;
  int pipes[2], status;
  char c;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can be somebody else");
      return;
    }
  pool_mpi_bell_open (&bell);
  g_assert_cmpint (pipe2 (pipes, O_CLOEXEC), ==, 0);
  child = fork ();
  if (child == 0)
    {
      PoolMpiBell own;

      if (setresuid (65534, 65534, 65534) != 0)
        _exit (1);
      pool_mpi_bell_open (&own);
      pool_mpi_bell_ring (&own, bell.name);
      _exit (pool_mpi_bell_hand (&own, bell.name, pipes[1]) ? 0 : 2);
    }
  close (pipes[1]);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (pool_mpi_bell_take (&bell), !=, 0);
  g_assert_cmpuint (pool_mpi_bell_take (&bell), !=, 0);
  g_assert_cmpint (bell.handed, ==, -1);
  g_assert_cmpint (read (pipes[0], &c, 1), ==, 0);
  close (pipes[0]);
  pool_mpi_bell_close (&bell);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mpi-bell/ring", test_ring);
  g_test_add_func ("/mpi-bell/hand", test_hand);
  g_test_add_func ("/mpi-bell/stranger", test_stranger);
  return g_test_run ();
}
