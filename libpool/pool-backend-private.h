/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"

G_BEGIN_DECLS

/* All flags that a worker can say it enforces. */
#define POOL_SANDBOX_ENFORCEABLE (2 * POOL_SANDBOX_FLAGS_NETWORK - 1)

/*
 * Who hears of what happens in a backend whose tasks are another machine's: an agent, which passes it on. Each is called as
 * the engine's function of that name would be.
 */
struct _PoolBackendSink
{
  void (*deliver) (const PoolBackendSink *self, const PoolBackendResult *result);
  void (*worker_up) (const PoolBackendSink *self, guint worker, gint64 pid);
  void (*worker_sandboxed) (const PoolBackendSink *self, guint worker, PoolSandboxFlags enforced);
  void (*worker_down) (const PoolBackendSink *self, const PoolBackendExit *exit);
  void (*log) (const PoolBackendSink *self, guint worker, const guint8 *record, gsize size);
  void (*output) (const PoolBackendSink *self, guint64 handle, const PoolBackendOutput *output);
};

G_END_DECLS
