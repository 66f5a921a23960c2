/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-call-options.h"

G_BEGIN_DECLS

typedef struct
{
  PoolAcceptFunc accept;
  gpointer accept_data;
  GDestroyNotify accept_destroy;
  PoolTimeoutFunc timeout;
  gpointer timeout_data;
  GDestroyNotify timeout_destroy;
} PoolCallCallbacks;

/* What one call may have of its own. */
struct _PoolCallOptions
{
  GObject parent_instance;

  char *correlation_id;
  int max_retries;
  double timeout, soft_timeout; /* < 0: as the pool says */
  int priority;
  gboolean wait_for_slot;
  int capture_output; /* < 0: as the pool says */
  PoolCallCallbacks callbacks;
};

void pool_call_options_accepted (PoolCallOptions *self, PoolAsyncResult *result, PoolWorkerInfo *worker,
                                 gint64 time);
void pool_call_options_timed_out (PoolCallOptions *self, PoolAsyncResult *result, gboolean soft,
                                  double limit);

G_END_DECLS
