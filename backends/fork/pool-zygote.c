/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zygote.h"

#include "pool-control.h"

#include "libpool/pool-chaos-private.h"
#include "libpool/pool-host-private.h"
#include "libpool/pool-log-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * The zygote has one thread, forks every worker from it, and knows which of its children still exist: only it can send
 * a signal to a worker without a risk that the pid is somebody else's by now.
 */
typedef struct
{
  pid_t pid;
  guint32 worker;
  guint32 incarnation;
  guint n_stops;
  gint64 continue_at; /* monotonic µs; 0: not by us */
} Child;

typedef struct
{
  PoolZygote *zygote;
  Child *children;
  guint n_children, capacity;
  gboolean quitting;
  int signal_fd;
  PoolBackendChaos chaos; /* from before there were workers, which can write to the header's */
} Nursery;

/* A worker that is being made. */
typedef struct
{
  Nursery *nursery;
  guint32 worker;
  pid_t parent;
} Birth;

/* How often, and how long, a report waits for memory of the system; nothing tells when there is some. */
#define REPORT_TRIES_MAX 20
#define REPORT_PAUSE_MS 10

/* Default dispositions, nothing blocked, a process group of its own: what workers inherit. */
static void
become_clean (void)
{
  sigset_t none;

  for (int i = 1; i < NSIG; i++)
    signal (i, SIG_DFL);
  /* workers catch it; and a batch system that tells a job that its time is over tells all its processes */
  signal (SIGUSR1, SIG_IGN);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  setpgid (0, 0);
}

static void
unblock_signals (void)
{
  sigset_t none;

  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

/* Closes all descriptors but 0–2 and those in @keep, which is sorted. */
static void
close_fds (const int *keep, guint n)
{
  int from = 3;

  for (guint i = 0; i < n; i++)
    {
      if (keep[i] < from)
        continue;
      if (keep[i] > from)
        close_range (from, keep[i] - 1, 0);
      from = keep[i] + 1;
    }
  close_range (from, ~0U, 0);
}

static int
compare_ints (const void *a, const void *b)
{
  return *(const int *) a - *(const int *) b;
}

static Child *
find_child (Nursery *self, pid_t pid)
{
  for (guint i = 0; i < self->n_children; i++)
    if (self->children[i].pid == pid)
      return &self->children[i];
  return NULL;
}

/* The children of this process that are no workers: what workers left behind when they died. */
static gboolean
kill_orphans_once (Nursery *self)
{
  char path[64], text[4096];
  gboolean any = FALSE;
  ssize_t n;
  int fd;

  g_snprintf (path, sizeof path, "/proc/self/task/%d/children", (int) getpid ());
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  n = read (fd, text, sizeof text - 1);
  close (fd);
  if (n <= 0)
    return FALSE;
  text[n] = '\0';
  for (char *p = text, *end; *p != '\0'; p = end)
    {
      pid_t pid = strtol (p, &end, 10);

      if (end == p)
        break;
      /* the last number may be cut off: it comes again */
      if (*end == '\0' || find_child (self, pid) != NULL)
        continue;
      any = TRUE;
      kill (pid, SIGKILL);
      while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
        ;
    }
  return any;
}

/*
 * Workers are subreapers: what a task started stays below its worker, also in a session of its own, and comes to this process, which is
 * one too, when the worker dies. Each that is killed may leave others.
 */
static void
kill_orphans (Nursery *self)
{
  while (kill_orphans_once (self))
    ;
}

/*
 * Blocks when the manager does not read; if it is gone there is nobody to tell. A manager that does not hear of an end
 * would wait for ever: when the system has no memory for a message, for long, it is told all by the zygote's own end.
 */
static void
report (Nursery *self, PoolControlMessage *message)
{
  const struct timespec pause = { 0, REPORT_PAUSE_MS * 1000000 };

  for (guint i = 0; !pool_control_send (self->zygote->control_fd, message, TRUE); i++)
    {
      if (errno == EPIPE || errno == ECONNRESET)
        return;
      if ((errno != ENOBUFS && errno != ENOMEM) || i == REPORT_TRIES_MAX)
        _exit (1);
      nanosleep (&pause, NULL);
    }
}

static void
add_child (Nursery *self, pid_t pid, guint32 worker, guint32 incarnation)
{
  if (self->n_children == self->capacity)
    {
      self->capacity = MAX (16, self->capacity * 2);
      self->children = realloc (self->children, self->capacity * sizeof (Child));
      if (self->children == NULL)
        _exit (1);
    }
  self->children[self->n_children++] = (Child){ .pid = pid, .worker = worker, .incarnation = incarnation };
}

static void G_GNUC_NORETURN
exec_worker (PoolZygote *zygote, guint worker)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  const int fds[] = { zygote->shm->fd, zygote->event_fd, zygote->report_fd };
  char **words;

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fcntl (fds[i], F_SETFD, 0);
  if (zygote->command == NULL)
    g_ptr_array_add (argv, (gpointer) zygote->program);
  for (const char *const *word = zygote->command; word != NULL && *word != NULL; word++)
    g_ptr_array_add (argv, (gpointer) *word);
  g_ptr_array_add (argv, (gpointer) "fork");
  g_ptr_array_add (argv, (gpointer) "worker");
  g_ptr_array_add (argv, g_strdup_printf ("%d", zygote->shm->fd));
  g_ptr_array_add (argv, g_strdup_printf ("%d", zygote->event_fd));
  g_ptr_array_add (argv, g_strdup_printf ("%u", worker));
  g_ptr_array_add (argv, g_strdup_printf ("%d", zygote->report_fd));
  g_ptr_array_add (argv, g_strdup_printf ("%u", zygote->sandbox));
  g_ptr_array_add (argv, NULL);
  words = (char **) argv->pdata;
  execv (words[0], words);
  _exit (127);
}

/* A binding's workers may open the pool's memory in other places; those of C have it where it is. */
static gboolean
keeps_memory (const PoolZygote *zygote)
{
  return zygote->exec_workers || zygote->fork_func != NULL || zygote->named != NULL;
}

/* What a worker must not have. */
static void
close_worker_fds (Nursery *self)
{
  PoolZygote *zygote = self->zygote;
  int keep[3] = { zygote->event_fd, zygote->report_fd, zygote->event_fd };

  if (zygote->keeps_fds)
    {
      close (zygote->control_fd);
      close (zygote->manager_fd);
      if (self->signal_fd >= 0)
        close (self->signal_fd);
      if (zygote->their_fd >= 0)
        close (zygote->their_fd);
      return;
    }
  if (keeps_memory (zygote))
    keep[2] = zygote->shm->fd;
  else
    zygote->shm->fd = -1;
  qsort (keep, G_N_ELEMENTS (keep), sizeof *keep, compare_ints);
  close_fds (keep, G_N_ELEMENTS (keep));
}

static int
be_worker (gpointer data)
{
  Birth birth = *(Birth *) data;
  PoolZygote *zygote = birth.nursery->zygote;

  setpgid (0, 0);
  prctl (PR_SET_CHILD_SUBREAPER, 1);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != birth.parent)
    _exit (1); /* it died before the line above */
  unblock_signals ();
  close_worker_fds (birth.nursery);
  if (zygote->exec_workers)
    exec_worker (zygote, birth.worker);
  prctl (PR_SET_NAME, "pool-worker");
  free (birth.nursery->children);
  return pool_fork_worker_main (zygote, birth.worker);
}

/* -1: with errno, or 0 if the language's function failed. What such a one may have made all the same is not to live. */
static pid_t
fork_worker (Nursery *self, guint32 worker)
{
  const PoolZygote *zygote = self->zygote;
  Birth birth = { self, worker, getpid () };
  pid_t pid;
  int code;

  if (zygote->fork_func != NULL && !zygote->exec_workers)
    {
      pid = pool_host_fork (zygote->fork_func, zygote->fork_data, be_worker, &birth);
      code = errno;
      if (pid < 0)
        kill_orphans (self);
      errno = code;
      return pid;
    }
  pid = fork ();
  if (pid == 0)
    _exit (be_worker (&birth));
  return pid;
}

static void
spawn (Nursery *self, const PoolControlMessage *order)
{
  for (guint32 i = 0; i < order->n; i++)
    {
      PoolControlMessage answer = { .type = POOL_CONTROL_STARTED,
                                    .worker = order->worker + i,
                                    .incarnation = order->incarnation + i };
      pid_t pid = fork_worker (self, answer.worker);

      if (pid < 0)
        {
          answer.type = POOL_CONTROL_FAILED;
          answer.status = errno;
        }
      else
        {
          setpgid (pid, pid); /* whoever is first */
          answer.pid = pid;
          add_child (self, pid, answer.worker, answer.incarnation);
        }
      report (self, &answer);
    }
}

static void
kill_worker (Nursery *self, const PoolControlMessage *order)
{
  for (guint i = 0; i < self->n_children; i++)
    if (self->children[i].worker == order->worker &&
        self->children[i].incarnation == order->incarnation)
      kill (order->signum == SIGKILL ? -self->children[i].pid : self->children[i].pid, order->signum);
}

static void
quit (Nursery *self)
{
  self->quitting = TRUE;
  for (guint i = 0; i < self->n_children; i++)
    kill (-self->children[i].pid, SIGKILL);
}

static void
reap (Nursery *self, Child *child)
{
  PoolControlMessage message = { .type = POOL_CONTROL_EXITED,
                                 .worker = child->worker,
                                 .incarnation = child->incarnation,
                                 .pid = child->pid };
  struct rusage usage = { 0 };
  int status = 0;

  /* before its pid can be somebody else's: what it has started goes with it */
  kill (-child->pid, SIGKILL);
  while (wait4 (child->pid, &status, 0, &usage) < 0 && errno == EINTR)
    ;
  message.signum = WIFSIGNALED (status) ? WTERMSIG (status) : 0;
  message.status = WIFEXITED (status) ? WEXITSTATUS (status) : -1;
  message.max_rss = usage.ru_maxrss;
  message.cpu_time = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
                     (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  *child = self->children[--self->n_children];
  kill_orphans (self);
  report (self, &message);
}

/* Under chaos a worker stops itself, and cannot continue itself. One that somebody else has stopped goes on as well. */
static void
note_stop (Nursery *self, Child *child)
{
  gint64 pause = pool_chaos_get_pause (&self->chaos, child->worker, child->incarnation, child->n_stops++);

  if (pause > 0 && child->continue_at == 0)
    child->continue_at = g_get_monotonic_time () + pause;
}

/* Returns how long there is nothing to do, in ms, as for poll() */
static int
continue_stopped (Nursery *self)
{
  gint64 now, next = G_MAXINT64;

  if (G_LIKELY (self->chaos.stop <= 0))
    return -1;
  now = g_get_monotonic_time ();
  for (guint i = 0; i < self->n_children; i++)
    {
      Child *child = &self->children[i];

      if (child->continue_at != 0 && child->continue_at <= now)
        {
          child->continue_at = 0;
          kill (child->pid, SIGCONT);
        }
      if (child->continue_at != 0)
        next = MIN (next, child->continue_at);
    }
  return next == G_MAXINT64 ? -1 : (int) ((next - now + 999) / 1000);
}

/* All children are this process's own, so it may wait for any. */
static void
look_at_children (Nursery *self)
{
  for (;;)
    {
      siginfo_t info = { 0 };
      Child *child;

      if (waitid (P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG) != 0 || info.si_pid == 0)
        break;
      child = find_child (self, info.si_pid);
      if (child != NULL)
        reap (self, child);
      else
        waitid (P_PID, info.si_pid, &info, WEXITED | WNOHANG);
    }

  for (;;)
    {
      siginfo_t info = { 0 };
      PoolControlMessage message = { 0 };
      Child *child;

      if (waitid (P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG) != 0 || info.si_pid == 0)
        break;
      child = find_child (self, info.si_pid);
      if (child == NULL)
        continue;
      if (info.si_code != CLD_CONTINUED)
        note_stop (self, child);
      message.type = info.si_code == CLD_CONTINUED ? POOL_CONTROL_CONTINUED : POOL_CONTROL_STOPPED;
      message.worker = child->worker;
      message.incarnation = child->incarnation;
      message.pid = child->pid;
      report (self, &message);
    }
}

static void
obey (Nursery *self)
{
  PoolControlMessage order;
  int n;

  while ((n = pool_control_receive (self->zygote->control_fd, &order, FALSE)) > 0)
    switch (order.type)
      {
      case POOL_CONTROL_SPAWN:
        if (!self->quitting)
          spawn (self, &order);
        break;
      case POOL_CONTROL_KILL:
        kill_worker (self, &order);
        break;
      case POOL_CONTROL_QUIT:
        quit (self);
        break;
      default:
        break;
      }
  if (n < 0)
    quit (self); /* the manager is gone */
}

static void
block_sigchld (void)
{
  sigset_t mask;

  sigemptyset (&mask);
  sigaddset (&mask, SIGCHLD);
  sigprocmask (SIG_BLOCK, &mask, NULL);
}

static int
open_signalfd (void)
{
  sigset_t mask;

  sigemptyset (&mask);
  sigaddset (&mask, SIGCHLD);
  return signalfd (-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
look_after (Nursery *self, int signal_fd)
{
  struct pollfd fds[3] = { { self->zygote->control_fd, POLLIN, 0 },
                           { signal_fd, POLLIN, 0 },
                           { self->zygote->manager_fd, POLLIN, 0 } };

  while (!self->quitting || self->n_children > 0)
    {
      struct signalfd_siginfo info;

      if (poll (fds, G_N_ELEMENTS (fds), continue_stopped (self)) < 0)
        continue;
      if (fds[2].revents != 0)
        {
          fds[2].fd = -1; /* it would stay readable */
          quit (self);
        }
      if (fds[1].revents != 0)
        {
          while (read (signal_fd, &info, sizeof info) > 0)
            ;
          look_at_children (self);
        }
      if (fds[0].revents != 0)
        {
          obey (self);
          if (self->quitting)
            fds[0].fd = -1;
        }
    }
}

/* A program without standard streams gives their numbers to what it opens; tasks would write there. */
static int
above_standard (int fd)
{
  int other;

  if (fd > STDERR_FILENO)
    return fd;
  other = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (other < 0)
    _exit (1);
  close (fd);
  return other;
}

/*
 * The program's standard input is not for its tasks. Closed first: then it works with all descriptors in use, too. And what
 * is to be closed by exec is no standard stream, whatever its number.
 */
static void
clean_standard (void)
{
  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) == FD_CLOEXEC)
      close (fd);
  close (STDIN_FILENO);
  if (open ("/dev/null", O_RDONLY) < 0 && memfd_create ("libpool-empty", 0) < 0)
    _exit (1);
}

static void
close_zygote_fds (PoolZygote *zygote)
{
  int keep[5] = { zygote->control_fd, zygote->event_fd, zygote->manager_fd, zygote->report_fd, zygote->shm->fd };

  if (zygote->keeps_fds)
    {
      /* as long as it is open here, the end of the manager's is no end */
      if (zygote->their_fd >= 0)
        close (zygote->their_fd);
      zygote->their_fd = -1;
      return;
    }
  qsort (keep, G_N_ELEMENTS (keep), sizeof *keep, compare_ints);
  close_fds (keep, G_N_ELEMENTS (keep));
}

void
pool_zygote_main (PoolZygote *zygote)
{
  Nursery self = { .zygote = zygote, .signal_fd = -1, .chaos = zygote->shm->header->chaos };
  const PoolControlMessage first = { .type = POOL_CONTROL_SPAWN,
                                     .n = zygote->n_workers,
                                     .incarnation = zygote->incarnation };

  become_clean ();
  prctl (PR_SET_NAME, "pool-zygote");
  prctl (PR_SET_CHILD_SUBREAPER, 1);
  zygote->control_fd = above_standard (zygote->control_fd);
  zygote->event_fd = above_standard (zygote->event_fd);
  zygote->manager_fd = above_standard (zygote->manager_fd);
  zygote->report_fd = above_standard (zygote->report_fd);
  zygote->shm->fd = above_standard (zygote->shm->fd);
  clean_standard ();
  block_sigchld ();
  /* once here rather than in each worker */
  if (zygote->shm->header->log_domains_size > 0 && !zygote->exec_workers)
    zygote->has_log_writer = !pool_log_writer_is_free ();
  /* workers first: somebody waits for them, and they close what they must not have themselves */
  spawn (&self, &first);

  close_zygote_fds (zygote);
  self.signal_fd = open_signalfd ();
  if (self.signal_fd >= 0)
    look_after (&self, self.signal_fd);
  _exit (0);
}
