/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "backends/fork/pool-memory-watch.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* What counts as a process's own memory. Each child takes some of one kind, says so, and waits for its end. */

#define SIZE ((gsize) 48 << 20)
#define SIZE_KIB (SIZE >> 10)
#ifdef __SANITIZE_ADDRESS__
/* its notes on memory that is touched take an eighth of that more */
#define SLACK_KIB (16 << 10)
#else
#define SLACK_KIB (8 << 10)
#endif

typedef void (*TakeFunc) (int fd);

static void
touch (int fd, int flags)
{
  volatile char *memory = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

  for (gsize i = 0; memory != MAP_FAILED && i < SIZE; i += 4096)
    memory[i] = memory[i] + 1;
}

static void
take_nothing (int fd)
{
}

static void
take_private (int fd)
{
  touch (-1, MAP_PRIVATE | MAP_ANONYMOUS);
}

static void
take_shared (int fd)
{
  touch (-1, MAP_SHARED | MAP_ANONYMOUS);
}

static void
take_fd (int fd)
{
  touch (fd, MAP_SHARED);
}

static void
take_copy_of_fd (int fd)
{
  touch (fd, MAP_PRIVATE);
}

static void
take_two_kinds (int fd)
{
  take_fd (fd);
  take_shared (-1);
}

static pid_t
start (TakeFunc take, int fd)
{
  int ready[2];
  char c;
  pid_t pid;

  g_assert_cmpint (pipe (ready), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      take (fd);
      if (write (ready[1], "", 1) != 1)
        _exit (1);
      for (;;)
        pause ();
    }
  close (ready[1]);
  g_assert_cmpint (read (ready[0], &c, 1), ==, 1);
  close (ready[0]);
  return pid;
}

/* beyond that of a child that takes nothing */
static guint64
measure (TakeFunc take, int fd)
{
  pid_t pids[2] = { start (take_nothing, -1), start (take, fd) };
  guint64 found[2];

  for (guint i = 0; i < 2; i++)
    {
      PoolMemoryWatch watch;

      pool_memory_watch_init (&watch);
      g_assert_cmpuint (pool_memory_watch_read (&watch, pids[i], G_MAXUINT64), >, 0);
      found[i] = pool_memory_watch_read (&watch, pids[i], 0);
      watch.rest = 0;
      kill (pids[i], SIGKILL);
      waitpid (pids[i], NULL, 0);
      g_assert_cmpuint (pool_memory_watch_read (&watch, pids[i], 0), ==, 0);
      pool_memory_watch_clear (&watch);
    }
  return found[1] - MIN (found[0], found[1]);
}

static void
assert_about (guint64 found, guint64 expected)
{
  g_assert_cmpuint (found, <, expected + SLACK_KIB);
  g_assert_cmpuint (found + SLACK_KIB, >, expected);
}

static int
make_memfd (const char *name)
{
  int fd = memfd_create (name, MFD_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, SIZE), ==, 0);
  return fd;
}

static void
test_own (void)
{
  int fd = make_memfd ("other");

  assert_about (measure (take_private, -1), SIZE_KIB);
  assert_about (measure (take_shared, -1), SIZE_KIB);
  assert_about (measure (take_fd, fd), SIZE_KIB);
  close (fd);
}

static void
test_pools (void)
{
  int fd = make_memfd ("libpool");

  assert_about (measure (take_fd, fd), 0);
  assert_about (measure (take_two_kinds, fd), SIZE_KIB);
  close (fd);
}

static void
test_file (void)
{
  /* where the build is: /tmp may be memory itself */
  g_autofree char *path = g_strdup ("memory-watch-XXXXXX");
  int fd = g_mkstemp (path);
  struct statfs fs;

  g_assert_cmpint (fd, >=, 0);
  unlink (path);
  g_assert_cmpint (ftruncate (fd, SIZE), ==, 0);
  if (fstatfs (fd, &fs) == 0 && fs.f_type == 0x01021994)
    g_test_skip ("files are in memory here");
  else
    {
      assert_about (measure (take_fd, fd), 0);
      assert_about (measure (take_copy_of_fd, fd), SIZE_KIB);
    }
  close (fd);
}

/* What was found not to be its own stays so; what it takes later is found all the same. */
static void
test_later (void)
{
  PoolMemoryWatch watch;
  int fd = make_memfd ("libpool");
  pid_t pid = start (take_fd, fd);
  guint64 limit = SIZE_KIB / 2;

  pool_memory_watch_init (&watch);
  g_assert_cmpuint (pool_memory_watch_read (&watch, pid, limit), <, limit);
  g_assert_cmpuint (watch.foreign, >, SIZE_KIB - SLACK_KIB);
  g_assert_cmpuint (pool_memory_watch_read (&watch, pid, limit), <, limit);
  /* as if it had been larger before: it is looked at anew, but not at once */
  watch.seen += 2 * SIZE_KIB;
  watch.rest = G_MAXINT64;
  g_assert_cmpuint (pool_memory_watch_read (&watch, pid, limit), ==, limit);
  g_assert_cmpuint (watch.foreign, ==, 0);
  watch.rest = 0;
  g_assert_cmpuint (pool_memory_watch_read (&watch, pid, limit), <, limit);
  g_assert_cmpuint (watch.foreign, >, SIZE_KIB - SLACK_KIB);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  pool_memory_watch_clear (&watch);
  close (fd);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/memory-watch/own", test_own);
  g_test_add_func ("/memory-watch/pools", test_pools);
  g_test_add_func ("/memory-watch/file", test_file);
  g_test_add_func ("/memory-watch/later", test_later);
  return g_test_run ();
}
