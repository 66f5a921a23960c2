/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

#include <spawn.h>

G_BEGIN_DECLS

/*
 * Runs @argv, looked for in PATH unless it is a path, with the environment of this program and none of what that has done
 * to signals. @flags: of posix_spawn(), beyond those for that. 0, or an errno
 */
POOL_EXPORT
int pool_spawn (const char *const *argv, const posix_spawn_file_actions_t *actions, short flags, pid_t *pid);

G_END_DECLS
