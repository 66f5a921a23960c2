/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

POOL_AVAILABLE_IN_ALL
guint64 pool_bytes_get_address (GBytes *bytes);

G_END_DECLS
