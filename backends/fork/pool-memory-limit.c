/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-memory-limit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * RLIMIT_DATA bounds what can be allocated: the heap and private mappings that can be written to, but not the memory that is shared with
 * the manager. A process that is refused memory hears of it by a NULL, and how it dies of that is its own affair: GLib raises SIGTRAP,
 * C++ aborts, others follow the NULL. So that the manager can tell such a death from any other, the worker leaves a note when it dies by
 * one of these signals, or exits, and
 *  - the last error of the thread was ENOMEM, or
 *  - it stands at its limit, or
 *  - GLib has said that it could not allocate (by then it has used errno for other things).
 * Then the signal takes its course.
 */

/* An allocator that is refused its smallest step has less than this left. */
#define AT_LIMIT_KIB 256

#define STATUS_MAX 8192
#define ALT_STACK_SIZE (32 * 1024)

/* There is one worker in a process. */
static struct
{
  PoolShmMemory *notes;
  pid_t pid;          /* not of a child that a task has forked */
  guint64 data_limit; /* KiB */
  int status_fd;      /* a sandbox may keep the worker from opening it later */
} limited;

static char status_text[STATUS_MAX];
static char alt_stack[ALT_STACK_SIZE];

/* Signal handlers call the two functions below: no allocation, no lock, no stdio. */
static gboolean
read_status (void)
{
  ssize_t n = pread (limited.status_fd, status_text, sizeof status_text - 1, 0);

  status_text[MAX (n, 0)] = '\0';
  return n > 0;
}

/* KiB, or 0; @field: with the colon */
static guint64
get_status (const char *field)
{
  const char *p = strstr (status_text, field);
  guint64 value = 0;

  if (p == NULL)
    return 0;
  p += strlen (field);
  while (*p == ' ' || *p == '\t')
    p++;
  for (; *p >= '0' && *p <= '9'; p++)
    value = value * 10 + (guint64) (*p - '0');
  return value;
}

static void
note (void)
{
  if (getpid () == limited.pid)
    atomic_store (&limited.notes->ran_out, TRUE);
}

static void
note_if_at_limit (int error)
{
  if (error == ENOMEM || (read_status () && get_status ("VmData:") + AT_LIMIT_KIB >= limited.data_limit))
    note ();
}

/* The disposition is the default again (SA_RESETHAND). */
static void
die (int signum, siginfo_t *info, void *context)
{
  int error = errno;

  note_if_at_limit (error);
  errno = error;
  /* an instruction that failed fails again, and a dump of the core shows where; all else is sent again, for when this returns */
  if (info->si_code <= 0 || signum == SIGTRAP || signum == SIGABRT)
    raise (signum);
}

/* It gives up by itself; if with success, the manager does not look. */
static void
leave (void)
{
  note_if_at_limit (errno);
}

static void
hear_glib (const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
  if (strstr (message, "failed to allocate") != NULL)
    note ();
  g_log_default_handler (domain, level, message, NULL);
}

static void
catch_deaths (void)
{
  static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT };
  const stack_t stack = { .ss_sp = alt_stack, .ss_size = sizeof alt_stack };
  const struct sigaction action = { .sa_sigaction = die, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK };

  /* where memory runs out in small steps, the stack may be used up by errors in errors */
  sigaltstack (&stack, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    sigaction (signals[i], &action, NULL);
  atexit (leave);
  g_log_set_handler ("GLib", G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL | G_LOG_FLAG_RECURSION, hear_glib, NULL);
}

void
pool_memory_limit_set (PoolShmMemory *notes, guint64 limit)
{
  struct rlimit data;

  limited.notes = notes;
  limited.pid = getpid ();
  limited.status_fd = open ("/proc/self/status", O_RDONLY | O_CLOEXEC);
  catch_deaths ();
  if (!read_status () || getrlimit (RLIMIT_DATA, &data) != 0)
    return;
  notes->start = get_status ("RssAnon:") + get_status ("RssShmem:");
  limited.data_limit = get_status ("VmData:") + MIN (limit, G_MAXUINT64 / 4096);
  /* one that the program was given may be lower */
  data.rlim_max = MIN (data.rlim_max, limited.data_limit * 1024);
  data.rlim_cur = MIN (data.rlim_cur, data.rlim_max);
  limited.data_limit = data.rlim_cur / 1024;
  setrlimit (RLIMIT_DATA, &data);
}

void
pool_memory_limit_begin (void)
{
  errno = 0;
}
