/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-backend.h"

G_BEGIN_DECLS

/* The program that the service starts for a pool: an agent, whose socket is a descriptor that it has. */
int pool_dbus_agent_main (PoolBackend *backend, int argc, char **argv);

G_END_DECLS
