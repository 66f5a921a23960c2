/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <gmodule.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/*
 * Real calls. Where success would need privileges or do harm, an argument is wrong, so that without a filter the kernel
 * complains of that: with one, the answer is the filter's.
 */

static int
outcome (long result)
{
  return result >= 0 ? 0 : errno;
}

#define TRY(name, expression)                                                                      \
  static int try_##name (pid_t manager)                                                            \
  {                                                                                                \
    return outcome (expression);                                                                   \
  }

/* --- sockets --- */

TRY (inet, socket (AF_INET, SOCK_STREAM, 0))
TRY (inet6, socket (AF_INET6, SOCK_DGRAM, 0))
TRY (netlink, socket (AF_NETLINK, SOCK_RAW, 0))
TRY (packet, socket (AF_PACKET, SOCK_RAW, 0))
TRY (io_uring, syscall (425 /* io_uring_setup */, 1, NULL))
TRY (unix_datagram, socket (AF_UNIX, SOCK_DGRAM, 0))

static int
try_inet_pair (pid_t manager)
{
  int fds[2];

  return outcome (socketpair (AF_INET, SOCK_STREAM, 0, fds));
}

static int
try_unix (pid_t manager)
{
  return outcome (socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int
try_unix_pair (pid_t manager)
{
  char byte = 'a';
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM, 0, fds) != 0 || send (fds[0], &byte, 1, 0) != 1)
    return errno;
  return outcome (recv (fds[1], &byte, 1, 0));
}

static int
try_unix_connect (pid_t manager)
{
  struct sockaddr_un address = { AF_UNIX, "listener" };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);

  return outcome (connect (fd, (struct sockaddr *) &address, sizeof address));
}

static int
try_unix_bind (pid_t manager)
{
  struct sockaddr_un address = { AF_UNIX, "bound" };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);
  int result = outcome (bind (fd, (struct sockaddr *) &address, sizeof address));

  unlink ("bound");
  return result;
}

/* The calls of 32-bit programs have other numbers, which a filter could forget. */
static int
try_foreign_socket (pid_t manager)
{
#ifdef __x86_64__
  long result = 359; /* socket */

  __asm__ volatile ("int $0x80"
                    : "+a"(result)
                    : "b"((long) AF_INET), "c"((long) SOCK_STREAM), "d"(0L)
                    : "memory", "r8", "r9", "r10", "r11");
  return result < 0 ? (int) -result : 0;
#else
  return ENOSYS;
#endif
}

/* --- other processes --- */

static int
try_read_memory (pid_t manager)
{
  char from = 'a', to;
  struct iovec local = { &to, 1 }, remote = { &from, 1 };

  return outcome (process_vm_readv (getpid (), &local, 1, &remote, 1, 0));
}

static int
try_limits_of_others (pid_t manager)
{
  struct rlimit limit;

  if (prlimit (getppid (), RLIMIT_CORE, NULL, &limit) != 0)
    return errno;
  return outcome (prlimit (getppid (), RLIMIT_CORE, &limit, NULL));
}

static int
try_proc_mem (pid_t manager)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/mem", (int) manager);

  return outcome (open (path, O_RDONLY));
}

TRY (ptrace, ptrace (PTRACE_CONT, getpid (), NULL, NULL))
TRY (kill, kill (manager, 0))
TRY (pidfd_getfd, syscall (438, -1, 0, 0))
TRY (process_madvise, syscall (440, -1, NULL, 0, 0, 0))

/* --- namespaces and mounts --- */

TRY (unshare_user, unshare (CLONE_NEWUSER))
TRY (unshare_time, unshare (0x80))
TRY (clone3, syscall (435, NULL, 0))
TRY (setns, setns (-1, 0))
TRY (mount, mount (NULL, NULL, NULL, 0, NULL))
TRY (umount, umount2 (NULL, -1))
TRY (chroot, syscall (SYS_chroot, NULL))
TRY (open_tree, syscall (428, -1, NULL, 0))
TRY (fsopen, syscall (430, NULL, 0))

static int
try_clone_namespace (pid_t manager)
{
#if defined(__s390__) || defined(__s390x__)
  long pid = syscall (SYS_clone, NULL, CLONE_NEWUSER | SIGCHLD, NULL, NULL, 0);
#else
  long pid = syscall (SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0);
#endif

  if (pid == 0)
    _exit (0);
  return outcome (pid);
}

/* --- the kernel and the machine --- */

TRY (bpf, syscall (SYS_bpf, -1, NULL, 0))
TRY (perf, syscall (SYS_perf_event_open, NULL, 0, -1, -1, 0))
TRY (userfaultfd, syscall (SYS_userfaultfd, -1))
TRY (keyctl, syscall (SYS_keyctl, -1, 0, 0, 0, 0))
TRY (add_key, syscall (SYS_add_key, NULL, NULL, NULL, 0, 0))
TRY (init_module, syscall (SYS_init_module, NULL, 0, NULL))
TRY (kexec, syscall (SYS_kexec_load, 0, -1, NULL, -1))
TRY (reboot, syscall (SYS_reboot, 0, 0, 0, NULL))
TRY (settime, syscall (SYS_clock_settime, CLOCK_REALTIME, NULL))
TRY (hostname, syscall (SYS_sethostname, NULL, 1))

/* --- writing --- */

TRY (create, open ("new", O_WRONLY | O_CREAT | O_EXCL, 0600))
TRY (write, open ("file", O_WRONLY))
TRY (append, open ("file", O_WRONLY | O_APPEND))
TRY (read_write, open ("file", O_RDWR))
TRY (anonymous, open (".", O_TMPFILE | O_RDWR, 0600))
TRY (truncate, truncate ("file", 8))
TRY (unlink, unlink ("victim"))
TRY (mkdir, mkdir ("folder", 0700))
TRY (rename, rename ("movable", "moved"))
TRY (link, link ("file", "linked"))
TRY (symlink, symlink ("file", "symlinked"))
TRY (mkfifo, mkfifo ("fifo", 0600))
TRY (chmod, chmod ("file", 0644))
TRY (chown, chown ("file", -1, -1))
TRY (utime, utimensat (AT_FDCWD, "file", NULL, 0))
TRY (xattr, removexattr ("file", "user.nothing"))
TRY (fchmodat2, syscall (452, -1, NULL, 0, 0x100))
TRY (setxattrat, syscall (463, -1, NULL, 0, NULL, NULL, 0))
TRY (openat2, syscall (437, -1, NULL, NULL, 0))
TRY (dev_zero, open ("/dev/zero", O_WRONLY))
TRY (type, ioctl (-1, TIOCSTI, "x"))
TRY (mq_open, syscall (SYS_mq_open, NULL, 0, 0, NULL))

static int
try_empty (pid_t manager)
{
  return outcome (open ("emptied", O_RDONLY | O_TRUNC));
}

static int
try_fchmod (pid_t manager)
{
  return outcome (fchmod (open ("file", O_RDONLY), 0644));
}

static int
try_attributes (pid_t manager)
{
  int fd = open ("file", O_RDONLY);
  int flags = 0;

  if (ioctl (fd, FS_IOC_GETFLAGS, &flags) != 0)
    flags = 0;
  return outcome (ioctl (fd, FS_IOC_SETFLAGS, &flags));
}

static int
try_home (pid_t manager)
{
  g_autofree char *path = g_strdup_printf ("%s/.pool-test-sandbox-%d", g_get_home_dir (), (int) getpid ());
  int fd = open (path, O_WRONLY | O_CREAT | O_EXCL, 0600);

  if (fd >= 0)
    unlink (path);
  return outcome (fd);
}

static int
try_shared_memory (pid_t manager)
{
  int id = shmget (IPC_PRIVATE, 4096, IPC_CREAT | 0600);

  if (id >= 0)
    shmctl (id, IPC_RMID, NULL);
  return outcome (id);
}

const Attempt attempts[] = {
  { "inet", try_inet, EACCES, EACCES, FALSE },
  { "inet6", try_inet6, EACCES, EACCES, FALSE },
  { "inet-pair", try_inet_pair, EACCES, EACCES, FALSE },
  { "netlink", try_netlink, EACCES, EACCES, FALSE },
  { "packet", try_packet, EACCES, EACCES, TRUE },
  { "foreign-socket", try_foreign_socket, ENOSYS, ENOSYS, TRUE },
  { "io_uring", try_io_uring, EPERM, EPERM, TRUE },
  { "unix-datagram", try_unix_datagram, 0, EACCES, FALSE },
  { "unix-connect", try_unix_connect, 0, EACCES, FALSE },
  { "unix-bind", try_unix_bind, 0, EACCES, FALSE },

  { "ptrace", try_ptrace, 0, EPERM, FALSE },
  { "read-memory", try_read_memory, 0, EPERM, FALSE },
  { "limits-of-others", try_limits_of_others, 0, EPERM, FALSE },
  { "proc-mem", try_proc_mem, 0, EACCES, TRUE },
  { "pidfd_getfd", try_pidfd_getfd, 0, EPERM, FALSE },
  { "process_madvise", try_process_madvise, 0, EPERM, FALSE },

  { "unshare-user", try_unshare_user, 0, EPERM, TRUE },
  { "unshare-time", try_unshare_time, 0, EPERM, TRUE },
  { "clone-namespace", try_clone_namespace, 0, EPERM, TRUE },
  { "clone3", try_clone3, 0, ENOSYS, FALSE },
  { "setns", try_setns, 0, EPERM, FALSE },
  { "mount", try_mount, 0, EPERM, FALSE },
  { "umount", try_umount, 0, EPERM, FALSE },
  { "chroot", try_chroot, 0, EPERM, FALSE },
  { "open_tree", try_open_tree, 0, EPERM, FALSE },
  { "fsopen", try_fsopen, 0, EPERM, TRUE },

  { "bpf", try_bpf, 0, EPERM, TRUE },
  { "perf", try_perf, 0, EPERM, TRUE },
  { "userfaultfd", try_userfaultfd, 0, EPERM, TRUE },
  { "keyctl", try_keyctl, 0, EPERM, FALSE },
  { "add_key", try_add_key, 0, EPERM, FALSE },
  { "init_module", try_init_module, 0, EPERM, TRUE },
  { "kexec", try_kexec, 0, EPERM, TRUE },
  { "reboot", try_reboot, 0, EPERM, TRUE },
  { "settime", try_settime, 0, EPERM, TRUE },
  { "hostname", try_hostname, 0, EPERM, TRUE },

  { "home", try_home, 0, EACCES, TRUE },
  { "create", try_create, 0, EACCES, FALSE },
  { "write", try_write, 0, EACCES, FALSE },
  { "append", try_append, 0, EACCES, FALSE },
  { "read-write", try_read_write, 0, EACCES, FALSE },
  { "anonymous", try_anonymous, 0, EACCES, FALSE },
  { "truncate", try_truncate, 0, EPERM, FALSE },
  { "empty", try_empty, 0, EACCES, FALSE },
  { "unlink", try_unlink, 0, EACCES, FALSE },
  { "mkdir", try_mkdir, 0, EACCES, FALSE },
  { "rename", try_rename, 0, EACCES, FALSE },
  { "link", try_link, 0, EACCES, FALSE },
  { "symlink", try_symlink, 0, EACCES, FALSE },
  { "mkfifo", try_mkfifo, 0, EACCES, FALSE },
  { "chmod", try_chmod, 0, EPERM, FALSE },
  { "fchmod", try_fchmod, 0, EPERM, FALSE },
  { "fchmodat2", try_fchmodat2, 0, EPERM, FALSE },
  { "chown", try_chown, 0, EPERM, FALSE },
  { "utime", try_utime, 0, EPERM, FALSE },
  { "xattr", try_xattr, 0, EPERM, FALSE },
  { "setxattrat", try_setxattrat, 0, EPERM, FALSE },
  { "attributes", try_attributes, 0, EPERM, FALSE },
  { "openat2", try_openat2, 0, ENOSYS, FALSE },
  { "dev-zero", try_dev_zero, 0, EACCES, FALSE },
  { "type", try_type, 0, EPERM, FALSE },
  { "shared-memory", try_shared_memory, 0, EPERM, FALSE },
  { "mq_open", try_mq_open, 0, EPERM, FALSE },
  /* refused by Landlock as of version 6 */
  { "kill", try_kill, 0, EPERM, FALSE },
  { NULL },
};

/* --- honest --- */

static gpointer
do_nothing (gpointer data)
{
  return data;
}

static int
try_threads (pid_t manager)
{
  pthread_t thread;
  void *result = NULL;
  int n = 0;

  for (int i = 0; i < 4; i++)
    if (pthread_create (&thread, NULL, do_nothing, &n) == 0 && pthread_join (thread, &result) == 0)
      n += result == &n;
  return n == 4 ? 0 : EAGAIN;
}

static int
try_memory (pid_t manager)
{
  const gsize size = 64 * 1024 * 1024;
  char *memory = malloc (size);
  int fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  char *shared;

  if (memory == NULL || fd < 0 || ftruncate (fd, 4096) != 0)
    return errno;
  memset (memory, 1, size);
  free (memory);
  shared = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED)
    return errno;
  *shared = 1;
  return outcome (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK));
}

static int
try_run_program (pid_t manager)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      execl ("/bin/sh", "sh", "-c", "echo gone >/dev/null; exec 2>/dev/null; cat file | grep -q precious",
             (char *) NULL);
      _exit (127);
    }
  if (pid < 0 || waitpid (pid, &status, 0) != pid)
    return errno;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 1;
}

static int
try_reading (pid_t manager)
{
  static const char *const paths[] = { "file", "/etc/passwd", "/proc/self/status", "/proc/self/maps",
                                       "/proc/meminfo", "/dev/urandom" };
  char bytes[16];

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      int fd = open (paths[i], O_RDONLY | O_CLOEXEC);

      if (fd < 0 || read (fd, bytes, sizeof bytes) <= 0)
        return errno != 0 ? errno : ENODATA;
      close (fd);
    }
  return 0;
}

static int
try_descriptors (pid_t manager)
{
  int fds[2];

  if (eventfd (0, EFD_CLOEXEC) < 0 || epoll_create1 (0) < 0 || timerfd_create (CLOCK_MONOTONIC, 0) < 0 ||
      inotify_init1 (0) < 0)
    return errno;
  return outcome (pipe2 (fds, O_CLOEXEC));
}

static int
try_load_library (pid_t manager)
{
  GModule *library = g_module_open ("libz.so.1", G_MODULE_BIND_LOCAL);

  return library != NULL ? 0 : ENOENT;
}

static int
try_own_limits (pid_t manager)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0)
    return errno;
  limit.rlim_cur = MIN (limit.rlim_cur, 512);
  return outcome (setrlimit (RLIMIT_NOFILE, &limit));
}

static int
try_sleep (pid_t manager)
{
  struct timespec now, nap = { 0, 1000000 };

  if (clock_gettime (CLOCK_REALTIME, &now) != 0 || nanosleep (&nap, NULL) != 0)
    return errno;
  return outcome (sched_yield ());
}

static int
try_random (pid_t manager)
{
  char bytes[16];

  return outcome (getrandom (bytes, sizeof bytes, 0));
}

static int
try_signal_own_child (pid_t manager)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    for (;;)
      pause ();
  if (pid < 0 || kill (pid, SIGKILL) != 0 || waitpid (pid, &status, 0) != pid)
    return errno;
  return WIFSIGNALED (status) ? 0 : ECHILD;
}

/* The pool's memory, where a worker has a descriptor of it: cut, it would be the end of the program. */
static int
try_pool_memory (pid_t manager)
{
  for (int fd = 3; fd < 64; fd++)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
      g_autofree char *target = g_file_read_link (path, NULL);

      if (target != NULL && g_str_has_prefix (target, "/memfd:libpool") && ftruncate (fd, 4096) == 0)
        return EFAULT;
    }
  return 0;
}

TRY (dev_null, open ("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0666))
TRY (no_namespace, unshare (CLONE_FS | CLONE_FILES))

const Attempt honest[] = {
  { "unix", try_unix },
  { "unix-pair", try_unix_pair },
  { "threads", try_threads },
  { "memory", try_memory },
  { "run-program", try_run_program },
  { "reading", try_reading },
  { "descriptors", try_descriptors },
  { "load-library", try_load_library },
  { "own-limits", try_own_limits },
  { "sleep", try_sleep },
  { "random", try_random },
  { "signal-own-child", try_signal_own_child },
  { "dev-null", try_dev_null },
  { "pool-memory", try_pool_memory },
  { "no-namespace", try_no_namespace },
  { NULL },
};

const Attempt *
attempt_find (const char *name)
{
  for (const Attempt *attempt = attempts; attempt->name != NULL; attempt++)
    if (g_str_equal (attempt->name, name))
      return attempt;
  for (const Attempt *attempt = honest; attempt->name != NULL; attempt++)
    if (g_str_equal (attempt->name, name))
      return attempt;
  return NULL;
}
