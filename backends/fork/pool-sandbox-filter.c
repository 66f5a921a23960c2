/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-sandbox-filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* Calls that are refused whatever their arguments are. */
typedef struct
{
  const char *name;
  int number; /* for calls that the libseccomp at hand may be too old to know; 0: it knows it */
} Refused;

/* since Linux 5.1 a new call has the same number on all machines but a few, which add something */
#if SYS_pidfd_open == 434
#define NEW(number) (number)
#else
#define NEW(number) 0
#endif

static const Refused refused[] = {
  /* other processes, and what is known of them */
  { "ptrace", 0 },
  { "process_vm_readv", 0 },
  { "process_vm_writev", 0 },
  { "process_madvise", NEW (440) },
  { "process_mrelease", NEW (448) },
  { "pidfd_getfd", NEW (438) },
  { "kcmp", 0 },
  { "move_pages", 0 },
  { "migrate_pages", 0 },
  /* parts of the kernel that many holes were found in and few tasks need */
  { "bpf", 0 },
  { "perf_event_open", 0 },
  { "userfaultfd", 0 },
  { "add_key", 0 },
  { "request_key", 0 },
  { "keyctl", 0 },
  { "fanotify_init", 0 },
  { "open_by_handle_at", 0 },
  { "modify_ldt", 0 },
  { "vm86", 0 },
  { "vm86old", 0 },
  { "uselib", 0 },
  { "lookup_dcookie", 0 },
  { "nfsservctl", 0 },
  { "syslog", 0 },
  /* the view of the file system, and namespaces; see also refuse_namespaces() */
  { "mount", 0 },
  { "umount", 0 },
  { "umount2", 0 },
  { "pivot_root", 0 },
  { "chroot", 0 },
  { "open_tree", NEW (428) },
  { "move_mount", NEW (429) },
  { "fsopen", NEW (430) },
  { "fsconfig", NEW (431) },
  { "fsmount", NEW (432) },
  { "fspick", NEW (433) },
  { "mount_setattr", NEW (442) },
  { "open_tree_attr", NEW (467) },
  { "setns", 0 },
  /* the machine */
  { "kexec_load", 0 },
  { "kexec_file_load", 0 },
  { "init_module", 0 },
  { "finit_module", 0 },
  { "delete_module", 0 },
  { "create_module", 0 },
  { "reboot", 0 },
  { "swapon", 0 },
  { "swapoff", 0 },
  { "acct", 0 },
  { "quotactl", 0 },
  { "quotactl_fd", NEW (443) },
  { "settimeofday", 0 },
  { "clock_settime", 0 },
  { "clock_settime64", 0 },
  { "clock_adjtime", 0 },
  { "clock_adjtime64", 0 },
  { "adjtimex", 0 },
  { "stime", 0 },
  { "sethostname", 0 },
  { "setdomainname", 0 },
  { "iopl", 0 },
  { "ioperm", 0 },
  { "vhangup", 0 },
  /* what can be written to a file system without opening a file for it, which Landlock does not see */
  { "chmod", 0 },
  { "fchmod", 0 },
  { "fchmodat", 0 },
  { "fchmodat2", NEW (452) },
  { "chown", 0 },
  { "lchown", 0 },
  { "fchown", 0 },
  { "fchownat", 0 },
  { "chown32", 0 },
  { "lchown32", 0 },
  { "fchown32", 0 },
  { "utime", 0 },
  { "utimes", 0 },
  { "futimesat", 0 },
  { "utimensat", 0 },
  { "utimensat_time64", 0 },
  { "setxattr", 0 },
  { "lsetxattr", 0 },
  { "fsetxattr", 0 },
  { "setxattrat", NEW (463) },
  { "removexattr", 0 },
  { "lremovexattr", 0 },
  { "fremovexattr", 0 },
  { "removexattrat", NEW (466) },
  { "file_setattr", NEW (469) },
  /* Landlock sees this one from Linux 6.2 on */
  { "truncate", 0 },
  { "truncate64", 0 },
  /* memory and queues that other programs of the user share by number or by name */
  { "ipc", 0 },
  { "shmget", 0 },
  { "shmat", 0 },
  { "shmctl", 0 },
  { "semget", 0 },
  { "semop", 0 },
  { "semtimedop", 0 },
  { "semctl", 0 },
  { "msgget", 0 },
  { "msgsnd", 0 },
  { "msgrcv", 0 },
  { "msgctl", 0 },
  { "mq_open", 0 },
  { "mq_unlink", 0 },
};

/* The filter that is being made, and the first error on the way, as libseccomp has it: negative. */
typedef struct
{
  scmp_filter_ctx context;
  int result;
} Filter;

static void
refuse (Filter *self, const char *name, int number, int code, guint n_args,
        const struct scmp_arg_cmp *args)
{
  int call = seccomp_syscall_resolve_name (name);

  if (call == __NR_SCMP_ERROR && number > 0)
    call = number;
  /* negative: this kind of machine does not have it */
  if (self->result == 0 && call >= 0)
    self->result = seccomp_rule_add_array (self->context, SCMP_ACT_ERRNO (code), call, n_args, args);
}

static void
refuse_always (Filter *self, const char *name, int number, int code)
{
  refuse (self, name, number, code, 0, NULL);
}

static void
refuse_if (Filter *self, const char *name, int code, struct scmp_arg_cmp arg)
{
  refuse (self, name, 0, code, 1, &arg);
}

/* --- both modes --- */

static void
refuse_sockets (Filter *self)
{
  refuse_if (self, "socket", EACCES, SCMP_A0 (SCMP_CMP_NE, AF_UNIX));
  refuse_if (self, "socketpair", EACCES, SCMP_A0 (SCMP_CMP_NE, AF_UNIX));
  /* where one call makes all sockets, the family is behind a pointer */
  refuse_always (self, "socketcall", 0, EACCES);
  /* opens sockets, and more, on behalf of the process and past every filter */
  refuse_always (self, "io_uring_setup", NEW (425), EPERM);
  refuse_always (self, "io_uring_enter", NEW (426), EPERM);
  refuse_always (self, "io_uring_register", NEW (427), EPERM);
}

/* --- strict --- */

/* The arguments of clone() are the other way round there. */
#if defined(__s390__) || defined(__s390x__) || defined(__CRIS__)
#define CLONE_FLAGS_ARGUMENT 1
#else
#define CLONE_FLAGS_ARGUMENT 0
#endif

static void
refuse_namespaces (Filter *self)
{
  static const unsigned int flags[] = { CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                        CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      refuse_if (self, "clone", EPERM,
                 SCMP_CMP (CLONE_FLAGS_ARGUMENT, SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
      refuse_if (self, "unshare", EPERM, SCMP_A0 (SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    }
  /* in clone() this bit is part of the signal */
  refuse_if (self, "unshare", EPERM, SCMP_A0 (SCMP_CMP_MASKED_EQ, CLONE_NEWTIME, CLONE_NEWTIME));
  /* its flags are behind a pointer; C libraries then take clone() */
  refuse_always (self, "clone3", NEW (435), ENOSYS);
}

/*
 * A service that listens on a socket in the file system does what it is asked to with its own rights, such as running a
 * program. So there is no way to one: what a worker is connected to was connected by others.
 */
static void
refuse_connections (Filter *self)
{
  static const char *const calls[] = { "socket", "socketpair" };
  /* the latter is the former where AF_UNIX is concerned */
  static const int unconnected[] = { SOCK_DGRAM, SOCK_RAW };

  refuse_always (self, "connect", 0, EACCES);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    for (guint j = 0; j < G_N_ELEMENTS (unconnected); j++)
      refuse_if (self, calls[i], EACCES, SCMP_A1 (SCMP_CMP_MASKED_EQ, 0xf, unconnected[j]));
}

static void
refuse_writing (Filter *self)
{
  /* typing at the program's terminal; attributes of files that were opened for reading */
  static const unsigned int requests[] = { TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR };
  const unsigned int mask = O_TRUNC | O_ACCMODE, cuts = O_TRUNC | O_RDONLY;

  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    refuse_if (self, "ioctl", EPERM, SCMP_A1 (SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i]));
  /* empties a file without opening it for writing; Landlock sees it from Linux 6.2 on */
  refuse_if (self, "open", EACCES, SCMP_A1 (SCMP_CMP_MASKED_EQ, mask, cuts));
  refuse_if (self, "openat", EACCES, SCMP_A2 (SCMP_CMP_MASKED_EQ, mask, cuts));
  /* the same, behind a pointer; who uses it knows kernels without it */
  refuse_always (self, "openat2", NEW (437), ENOSYS);
}

/* Limits of other processes; its own a process may set. */
static void
refuse_limits (Filter *self)
{
  const struct scmp_arg_cmp args[] = { SCMP_A0 (SCMP_CMP_NE, 0), SCMP_A2 (SCMP_CMP_NE, 0) };

  refuse (self, "prlimit64", 0, EPERM, G_N_ELEMENTS (args), args);
}

static void
refuse_all (Filter *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    refuse_always (self, refused[i].name, refused[i].number, EPERM);
  refuse_namespaces (self);
  refuse_connections (self);
  refuse_writing (self);
  refuse_limits (self);
}

static void
set (Filter *self, enum scmp_filter_attr attribute, guint32 value)
{
  if (self->result == 0)
    self->result = seccomp_attr_set (self->context, attribute, value);
}

int
pool_sandbox_filter_check (void)
{
  guint32 action = SECCOMP_RET_ERRNO;

  return syscall (SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0 : errno;
}

int
pool_sandbox_filter_load (gboolean strict)
{
  Filter self = { seccomp_init (SCMP_ACT_ALLOW), 0 };

  if (self.context == NULL)
    return ENOMEM;
  /* calls by the numbers of another kind of machine, as 32-bit programs make them */
  set (&self, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO (ENOSYS));
  /* that has been done, and failing to has a message of its own */
  set (&self, SCMP_FLTATR_CTL_NNP, 0);
  /* the kernel's own errno */
  set (&self, SCMP_FLTATR_API_SYSRAWRC, 1);
  /* a search in a tree, not one comparison after the other */
  set (&self, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  refuse_sockets (&self);
  if (strict)
    refuse_all (&self);
  if (self.result == 0)
    self.result = seccomp_load (self.context);
  seccomp_release (self.context);
  return -self.result;
}
