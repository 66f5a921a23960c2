/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "refusal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

const Refusal refusals[] = {
  { "no-seccomp", POOL_SANDBOX_BASIC, "seccomp", TRUE, EINVAL, "seccomp", -1, 0 },
  { "no-seccomp-strict", POOL_SANDBOX_STRICT, "seccomp", TRUE, ENOSYS, "seccomp", -1, 0 },
  { "no-landlock", POOL_SANDBOX_STRICT, "Landlock", TRUE, ENOSYS, "landlock_create_ruleset", -1, 0 },
  { "landlock-disabled", POOL_SANDBOX_STRICT, "Landlock", TRUE, EOPNOTSUPP, "landlock_create_ruleset", -1, 0 },
  /* what cannot be asked for, but shows when it is done */
  { "landlock-fails", POOL_SANDBOX_STRICT, "Landlock", FALSE, EPERM, "landlock_restrict_self", -1, 0 },
  { "filter-fails", POOL_SANDBOX_BASIC, "seccomp", FALSE, EACCES, "seccomp", 0, SECCOMP_SET_MODE_FILTER },
  { "no-new-privs-fails", POOL_SANDBOX_BASIC, "no_new_privs", FALSE, EINVAL, "prctl", 0, PR_SET_NO_NEW_PRIVS },
  { "limits-fail", POOL_SANDBOX_BASIC, "resource limits", FALSE, EPERM, "prlimit64", 1, RLIMIT_RTPRIO },
  { "capabilities-stay", POOL_SANDBOX_STRICT, "capabilities", FALSE, EPERM, "capset", -1, 0 },
  /* what is not needed */
  { "basic-without-landlock", POOL_SANDBOX_BASIC, NULL, FALSE, ENOSYS, "landlock_create_ruleset", -1, 0 },
  { "strict-without-namespaces", POOL_SANDBOX_STRICT, NULL, FALSE, EPERM, "unshare", -1, 0 },
  { NULL },
};

void
refusal_enter (const Refusal *refusal)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
  int call = seccomp_syscall_resolve_name (refusal->call);
  struct scmp_arg_cmp condition = { refusal->argument, SCMP_CMP_EQ, refusal->value, 0 };

  g_assert_cmpint (call, >=, 0);
  g_assert_cmpint (seccomp_rule_add_array (filter, SCMP_ACT_ERRNO (refusal->code), call,
                                           refusal->argument >= 0 ? 1 : 0, &condition),
                   ==, 0);
  g_assert_cmpint (seccomp_load (filter), ==, 0);
  seccomp_release (filter);
}
