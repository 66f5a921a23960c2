/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-object.h"

G_BEGIN_DECLS

/* The object at the service's own path, which makes pools. */
PoolServiceObject *pool_service_root_new (PoolService *service);

G_END_DECLS
