/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_CALL_OPTIONS (pool_call_options_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolCallOptions, pool_call_options, POOL, CALL_OPTIONS, GObject)

POOL_AVAILABLE_IN_ALL
PoolCallOptions *pool_call_options_new (void);
POOL_AVAILABLE_IN_ALL
const char *pool_call_options_get_correlation_id (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_correlation_id (PoolCallOptions *self, const char *correlation_id);
POOL_AVAILABLE_IN_ALL
int pool_call_options_get_max_retries (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_max_retries (PoolCallOptions *self, int max_retries);

G_END_DECLS
