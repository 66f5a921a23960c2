/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-backend-private.h"

G_BEGIN_DECLS

/*
 * What a worker process takes from itself before anything else runs in it. There is no way back, and what it starts has
 * no more than it has. See docs/sandbox.md for what each mode promises.
 */

/* Asks the system for what @sandbox needs, without applying anything; FALSE: names the part and its errno. */
gboolean pool_sandbox_check (PoolSandbox sandbox, GError **error);

/*
 * Applies @sandbox to this process, which must have one thread. FALSE: a part that @sandbox promises cannot be had; the
 * process is to end, as it may be half in.
 */
gboolean pool_sandbox_enter (PoolSandbox sandbox, PoolSandboxFlags *enforced, GError **error);

G_END_DECLS
