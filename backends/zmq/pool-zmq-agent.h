/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-backend.h"

G_BEGIN_DECLS

/* The agent's program: see `pool worker`. argv: … agent OPTIONS [-- COMMAND OF ITS WORKERS…] */
int pool_zmq_agent_main (PoolBackend *backend, int argc, char **argv);

G_END_DECLS
