/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fault-control.h"

#include <glib.h>

G_BEGIN_DECLS

/*
 * The life of two pools, with a fault somewhere in it, in a process of its own. The environment says which backend and
 * start method, and where the control block is. Returns an exit status; what it does not like goes to standard error.
 */
int fault_scenario_main (void);

/* Maps the control block that POOL_FAULT_CONTROL names. */
FaultControl *fault_control_map (const char *path);

G_END_DECLS
