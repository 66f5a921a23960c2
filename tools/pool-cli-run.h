/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-cli-input.h"
#include "pool-cli-job.h"
#include "pool-cli-settings.h"

G_BEGIN_DECLS

int pool_cli_run (const PoolCliSettings *settings, const PoolCliKind *kind, gpointer user_data,
                  PoolCliInput *input);

G_END_DECLS
