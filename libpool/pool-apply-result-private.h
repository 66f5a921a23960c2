/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-apply-result.h"
#include "pool-async-result-private.h"

G_BEGIN_DECLS

/* How a call's argument is given. */
typedef struct
{
  GVariant *value; /* or NULL: bytes */
  gboolean wrap;   /* the value is the only argument, not the tuple of them */
  const guint8 *data;
  gsize size;
  PoolBlock *block; /* or NULL: with bytes that are where they are to be */
} PoolArgument;

/* Never fails: a call that cannot be made is a result that has failed. @options: may be NULL */
PoolApplyResult *pool_apply_result_submit (PoolEngine *engine, const char *task,
                                           const PoolArgument *argument, PoolCallOptions *options,
                                           const PoolCallback *callback);
/* A call that is refused before it gets that far; takes @error. */
PoolApplyResult *pool_apply_result_refuse (PoolEngine *engine, const PoolCallback *callback,
                                           GError *error);

G_END_DECLS
