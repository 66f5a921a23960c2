/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-async-result.h"

G_BEGIN_DECLS

#define POOL_TYPE_APPLY_RESULT (pool_apply_result_get_type ())
#define POOL_APPLY_RESULT(o) (G_TYPE_CHECK_INSTANCE_CAST ((o), POOL_TYPE_APPLY_RESULT, PoolApplyResult))
#define POOL_IS_APPLY_RESULT(o) (G_TYPE_CHECK_INSTANCE_TYPE ((o), POOL_TYPE_APPLY_RESULT))

typedef struct _PoolApplyResultClass PoolApplyResultClass;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolApplyResult, g_object_unref)

POOL_AVAILABLE_IN_ALL
GType pool_apply_result_get_type (void) G_GNUC_CONST;

G_END_DECLS
