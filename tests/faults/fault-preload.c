/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* the functions themselves, not what headers make of them */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#include "fault-control.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Preloaded: lets a chosen call of libc fail, as fault-control.h says. */

static FaultControl *control;

/* dlsym() may allocate, so these are not looked up. */
extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *p, size_t size);
extern void *__libc_memalign (size_t alignment, size_t size);

#define REAL(name) real_##name
#define LOOK_UP(name)                                                                              \
  static __typeof__ (&name) real_##name;                                                           \
  if (real_##name == NULL)                                                                         \
  *(void **) &real_##name = dlsym (RTLD_NEXT, #name)

__attribute__ ((constructor)) static void
map_control (void)
{
  const char *path = getenv ("POOL_FAULT_CONTROL");
  int fd = path != NULL ? open (path, O_RDWR | O_CLOEXEC) : -1;
  void *memory;

  if (fd < 0)
    return;
  memory = mmap (NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  if (memory != MAP_FAILED)
    control = memory;
}

static FaultRole
my_role (pid_t manager)
{
  if (getpid () == manager)
    return FAULT_MANAGER;
  return getppid () == manager ? FAULT_ZYGOTE : FAULT_WORKER;
}

/* Counts the call; is it the one that fails? Then errno is set. */
static int
fails (FaultCall call)
{
  FaultRole role;
  int n, first;

  if (control == NULL || !atomic_load (&control->armed))
    return 0;
  role = my_role (atomic_load (&control->manager));
  n = atomic_fetch_add (&control->counts[call][role], 1) + 1;
  first = atomic_load (&control->first);
  if ((int) call != atomic_load (&control->call) || (int) role != atomic_load (&control->role) ||
      n < first || n - first >= atomic_load (&control->times))
    return 0;
  atomic_fetch_add (&control->n_fired, 1);
  errno = atomic_load (&control->error);
  return 1;
}

static int
allocation_fails (size_t size)
{
  return control != NULL && atomic_load (&control->armed) &&
         size >= atomic_load (&control->min_size) && fails (FAULT_ALLOC);
}

static void
count_map (int n)
{
  if (control != NULL && atomic_load (&control->manager) == getpid ())
    atomic_fetch_add (&control->n_maps, n);
}

/* --- memory --- */

void *
malloc (size_t size)
{
  return allocation_fails (size) ? NULL : __libc_malloc (size);
}

void *
calloc (size_t n, size_t size)
{
  size_t total;

  if (!__builtin_mul_overflow (n, size, &total) && allocation_fails (total))
    return NULL;
  return __libc_calloc (n, size);
}

void *
realloc (void *p, size_t size)
{
  return allocation_fails (size) ? NULL : __libc_realloc (p, size);
}

void *
aligned_alloc (size_t alignment, size_t size)
{
  return allocation_fails (size) ? NULL : __libc_memalign (alignment, size);
}

int
posix_memalign (void **place, size_t alignment, size_t size)
{
  void *p = allocation_fails (size) ? NULL : __libc_memalign (alignment, size);

  if (p == NULL)
    return ENOMEM;
  *place = p;
  return 0;
}

void *
mmap (void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
  void *p;

  LOOK_UP (mmap);
  if (fails (FAULT_MMAP))
    return MAP_FAILED;
  p = REAL (mmap) (address, size, protection, flags, fd, offset);
  if (p != MAP_FAILED)
    count_map (1);
  return p;
}

void *mmap64 (void *, size_t, int, int, int, off64_t) __attribute__ ((alias ("mmap")));

int
munmap (void *address, size_t size)
{
  LOOK_UP (munmap);
  count_map (-1);
  return REAL (munmap) (address, size);
}

int
memfd_create (const char *name, unsigned int flags)
{
  LOOK_UP (memfd_create);
  return fails (FAULT_MEMFD) ? -1 : REAL (memfd_create) (name, flags);
}

int
ftruncate (int fd, off_t size)
{
  LOOK_UP (ftruncate);
  return fails (FAULT_FTRUNCATE) ? -1 : REAL (ftruncate) (fd, size);
}

int ftruncate64 (int, off64_t) __attribute__ ((alias ("ftruncate")));

/* --- descriptors --- */

int
eventfd (unsigned int value, int flags)
{
  LOOK_UP (eventfd);
  return fails (FAULT_EVENTFD) ? -1 : REAL (eventfd) (value, flags);
}

int
signalfd (int fd, const sigset_t *mask, int flags)
{
  LOOK_UP (signalfd);
  return fails (FAULT_SIGNALFD) ? -1 : REAL (signalfd) (fd, mask, flags);
}

int
timerfd_create (clockid_t clock, int flags)
{
  LOOK_UP (timerfd_create);
  return fails (FAULT_TIMERFD) ? -1 : REAL (timerfd_create) (clock, flags);
}

int
epoll_create1 (int flags)
{
  LOOK_UP (epoll_create1);
  return fails (FAULT_EPOLL_CREATE) ? -1 : REAL (epoll_create1) (flags);
}

int
epoll_ctl (int epoll_fd, int operation, int fd, struct epoll_event *event)
{
  LOOK_UP (epoll_ctl);
  return fails (FAULT_EPOLL_CTL) ? -1 : REAL (epoll_ctl) (epoll_fd, operation, fd, event);
}

int
socketpair (int domain, int type, int protocol, int fds[2])
{
  LOOK_UP (socketpair);
  return fails (FAULT_SOCKETPAIR) ? -1 : REAL (socketpair) (domain, type, protocol, fds);
}

ssize_t
send (int fd, const void *data, size_t size, int flags)
{
  LOOK_UP (send);
  return fails (FAULT_SEND) ? -1 : REAL (send) (fd, data, size, flags);
}

ssize_t
sendmsg (int fd, const struct msghdr *message, int flags)
{
  LOOK_UP (sendmsg);
  return fails (FAULT_SEND) ? -1 : REAL (sendmsg) (fd, message, flags);
}

int
open (const char *path, int flags, ...)
{
  mode_t mode = 0;

  if (flags & (O_CREAT | O_TMPFILE))
    {
      va_list args;

      va_start (args, flags);
      mode = va_arg (args, mode_t);
      va_end (args);
    }
  LOOK_UP (open);
  return fails (FAULT_OPEN) ? -1 : REAL (open) (path, flags, mode);
}

int open64 (const char *, int, ...) __attribute__ ((alias ("open")));

/* Six arguments are handed on, whatever the call has. */
long
syscall (long number, ...)
{
  va_list args;
  long a[6];

  va_start (args, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg (args, long);
  va_end (args);
  LOOK_UP (syscall);
  if (number == SYS_pidfd_open && fails (FAULT_PIDFD))
    return -1;
  return REAL (syscall) (number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- processes and threads --- */

pid_t
fork (void)
{
  LOOK_UP (fork);
  return fails (FAULT_FORK) ? -1 : REAL (fork) ();
}

int
posix_spawn (pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
             const posix_spawnattr_t *attributes, char *const *argv, char *const *environment)
{
  LOOK_UP (posix_spawn);
  if (fails (FAULT_SPAWN))
    return errno;
  return REAL (posix_spawn) (pid, path, actions, attributes, argv, environment);
}

int
pthread_create (pthread_t *thread, const pthread_attr_t *attributes, void *(*start) (void *),
                void *data)
{
  LOOK_UP (pthread_create);
  if (fails (FAULT_THREAD))
    return errno;
  return REAL (pthread_create) (thread, attributes, start, data);
}
