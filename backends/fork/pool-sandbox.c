/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-sandbox.h"

#include <errno.h>

/* What is told of a part that cannot be had, and what to do. */
static gboolean
fail (GError **error, PoolSandbox sandbox, const char *part, int code, const char *advice)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
               "The sandbox \"%s\" cannot be enforced: %s: %s (errno %d); %s",
               sandbox == POOL_SANDBOX_STRICT ? "strict" : "basic", part, g_strerror (code), code, advice);
  return FALSE;
}

#ifdef POOL_HAVE_SANDBOX

#include "pool-sandbox-filter.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_SECCOMP "it needs a kernel with seccomp filters, and a container that does not forbid them"
#define NO_LANDLOCK                                                                                \
  "it needs Linux 5.13 or later with Landlock enabled, and a container that does not forbid it; "  \
  "\"basic\" does without"

/* --- the parts --- */

/* Threads are sandboxed one by one: another one would stay outside. Some libraries start theirs again after a fork. */
static int
check_one_thread (void)
{
  struct stat st;

  if (stat ("/proc/self/task", &st) != 0)
    return errno;
  /* the folder, its parent, and one for each thread */
  return st.st_nlink == 3 ? 0 : EBUSY;
}

/*
 * Only what no honest task can miss: no core files, which hold what others gave to the task, and no scheduling before
 * others that the worker does not have already. A limit of processes would count those of the user's whole session.
 */
static int
limit_resources (void)
{
  static const int limits[] = { RLIMIT_CORE, RLIMIT_RTPRIO, RLIMIT_NICE };
  const struct rlimit none = { 0, 0 };

  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    if (setrlimit (limits[i], &none) != 0)
      return errno;
  return 0;
}

static int
forbid_new_privileges (void)
{
  return prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

static gboolean
write_file (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  gsize size = strlen (text);
  gboolean ok;

  if (fd < 0)
    return FALSE;
  ok = write (fd, text, size) == (gssize) size;
  close (fd);
  return ok;
}

/* A user namespace in which the user is who he was, and nobody else is anybody. */
static gboolean
enter_user_and_network_namespace (void)
{
  char uids[64], gids[64];

  g_snprintf (uids, sizeof uids, "%u %u 1", (guint) geteuid (), (guint) geteuid ());
  g_snprintf (gids, sizeof gids, "%u %u 1", (guint) getegid (), (guint) getegid ());
  return unshare (CLONE_NEWUSER | CLONE_NEWNET) == 0 && write_file ("/proc/self/setgroups", "deny") &&
         write_file ("/proc/self/uid_map", uids) && write_file ("/proc/self/gid_map", gids);
}

/* Some systems let everybody make a user namespace, but nobody be anyone in it; that shows only when one is in. */
static gboolean
may_enter_user_namespace (void)
{
  int status = -1;
  pid_t pid = fork ();

  if (pid == 0)
    _exit (enter_user_and_network_namespace () ? 0 : 1);
  if (pid > 0)
    while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
      ;
  return status == 0;
}

/* Where neither way is open, there still is no way to a socket: this is a second wall. */
static gboolean
leave_network (void)
{
  return unshare (CLONE_NEWNET) == 0 ||
         (may_enter_user_namespace () && enter_user_and_network_namespace ());
}

/*
 * Nothing is left of what root, or the maker of a user namespace, may do, but for reading what root may read: only
 * writing is refused.
 */
static int
drop_capabilities (guint32 may_keep)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

  data[0].permitted = data[0].effective = may_keep;
  return syscall (SYS_capset, &header, data) == 0 ? 0 : errno;
}

static guint32
get_reading_capability (void)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

  if (syscall (SYS_capget, &header, data) != 0)
    return 0;
  return data[0].permitted & (1u << CAP_DAC_READ_SEARCH);
}

/* --- Landlock --- */

/* The rights to write as of version 1; later versions of the interface have more. */
#define WRITING_1                                                                                  \
  (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
   LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |      \
   LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |   \
   LANDLOCK_ACCESS_FS_MAKE_SYM)
/* Numbers of the kernel's interface that the headers at hand may not have yet. */
#define FS_REFER (1ULL << 13)     /* version 2; without it never allowed */
#define FS_TRUNCATE (1ULL << 14)  /* version 3; the seccomp filter does it, too */
#define FS_IOCTL_DEV (1ULL << 15) /* version 5 */
#define NET_BIND_TCP (1ULL << 0)  /* version 4 */
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* version 6 */
#define SCOPE_SIGNAL (1ULL << 1)

typedef struct
{
  guint64 handled_access_fs;
  guint64 handled_access_net;
  guint64 scoped;
} Ruleset;

/* The version of the kernel's Landlock, or -1 with errno. */
static int
landlock_version (void)
{
  return syscall (SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* All that this version can refuse; an older kernel takes the longer structure if what it does not know is zero. */
static Ruleset
choose_rules (int version)
{
  Ruleset rules = { .handled_access_fs = WRITING_1 };

  if (version >= 2)
    rules.handled_access_fs |= FS_REFER;
  if (version >= 3)
    rules.handled_access_fs |= FS_TRUNCATE;
  if (version >= 4)
    rules.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
  if (version >= 5)
    rules.handled_access_fs |= FS_IOCTL_DEV;
  if (version >= 6)
    rules.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
  return rules;
}

/* The one file that may be opened for writing: half of all shell scripts do. */
static int
allow_dev_null (int ruleset, const Ruleset *rules)
{
  struct landlock_path_beneath_attr rule = {
    .allowed_access = (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE) & rules->handled_access_fs,
    .parent_fd = open ("/dev/null", O_PATH | O_CLOEXEC),
  };
  int code = 0;

  /* not there: nothing to allow */
  if (rule.parent_fd < 0)
    return 0;
  if (syscall (SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    code = errno;
  close (rule.parent_fd);
  return code;
}

static int
forbid_writing (void)
{
  int version = landlock_version ();
  Ruleset rules = choose_rules (version);
  int ruleset, code;

  if (version < 0)
    return errno;
  ruleset = syscall (SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
  if (ruleset < 0)
    return errno;
  code = allow_dev_null (ruleset, &rules);
  if (code == 0 && syscall (SYS_landlock_restrict_self, ruleset, 0) != 0)
    code = errno;
  close (ruleset);
  return code;
}

/* --- the whole --- */

gboolean
pool_sandbox_check (PoolSandbox sandbox, GError **error)
{
  int code;

  if (sandbox == POOL_SANDBOX_NONE)
    return TRUE;
  code = pool_sandbox_filter_check ();
  if (code != 0)
    return fail (error, sandbox, "seccomp", code, NO_SECCOMP);
  if (sandbox == POOL_SANDBOX_STRICT && landlock_version () < 0)
    return fail (error, sandbox, "Landlock", errno, NO_LANDLOCK);
  return TRUE;
}

/* Privileges are needed for the namespace, open files for its maps; then they go one after the other. */
static gboolean
enter_strict (PoolSandboxFlags *enforced, GError **error)
{
  guint32 reading = get_reading_capability ();
  int code;

  if (leave_network ())
    *enforced |= POOL_SANDBOX_FLAGS_NETWORK;
  code = drop_capabilities (reading);
  if (code != 0)
    return fail (error, POOL_SANDBOX_STRICT, "capabilities", code, "they could not be dropped");
  *enforced |= POOL_SANDBOX_FLAGS_CAPABILITIES;
  code = forbid_writing ();
  if (code != 0)
    return fail (error, POOL_SANDBOX_STRICT, "Landlock", code, NO_LANDLOCK);
  *enforced |= POOL_SANDBOX_FLAGS_LANDLOCK;
  return TRUE;
}

gboolean
pool_sandbox_enter (PoolSandbox sandbox, PoolSandboxFlags *enforced, GError **error)
{
  int code;

  *enforced = POOL_SANDBOX_FLAGS_NONE;
  if (sandbox == POOL_SANDBOX_NONE)
    return TRUE;

  code = check_one_thread ();
  if (code != 0)
    return fail (error, sandbox, "a process of one thread", code,
                 "a library has started a thread in the worker: take the start method forkserver or spawn");
  code = limit_resources ();
  if (code != 0)
    return fail (error, sandbox, "resource limits", code, "they could not be lowered");
  *enforced |= POOL_SANDBOX_FLAGS_RLIMITS;
  code = forbid_new_privileges ();
  if (code != 0)
    return fail (error, sandbox, "no_new_privs", code, "it needs Linux 3.5 or later");
  *enforced |= POOL_SANDBOX_FLAGS_NO_NEW_PRIVS;
  if (sandbox == POOL_SANDBOX_STRICT && !enter_strict (enforced, error))
    return FALSE;

  code = pool_sandbox_filter_load (sandbox == POOL_SANDBOX_STRICT);
  if (code != 0)
    return fail (error, sandbox, "seccomp", code, NO_SECCOMP);
  *enforced |= POOL_SANDBOX_FLAGS_SOCKETS;
  if (sandbox == POOL_SANDBOX_STRICT)
    *enforced |= POOL_SANDBOX_FLAGS_SECCOMP;
  return TRUE;
}

#else

gboolean
pool_sandbox_check (PoolSandbox sandbox, GError **error)
{
  return sandbox == POOL_SANDBOX_NONE ||
         fail (error, sandbox, "seccomp", ENOTSUP,
               "this libpool was built without libseccomp: build it with -Dsandbox=enabled");
}

gboolean
pool_sandbox_enter (PoolSandbox sandbox, PoolSandboxFlags *enforced, GError **error)
{
  *enforced = POOL_SANDBOX_FLAGS_NONE;
  return pool_sandbox_check (sandbox, error);
}

#endif
