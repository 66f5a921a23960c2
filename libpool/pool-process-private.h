/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-process.h"

G_BEGIN_DECLS

PoolProcess *pool_process_new_for_worker (GType type, GVariant *static_args);

G_END_DECLS
