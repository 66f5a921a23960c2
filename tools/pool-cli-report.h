/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-cli-settings.h"

G_BEGIN_DECLS

/* What is told of a run in files: its time line, and its numbers at the end. */
typedef struct
{
  const char *metrics_name;
  int metrics; /* a descriptor + 1, so that zeros are an empty report */
  gboolean traces;
} PoolCliReport;

/* Both files are opened before anything is run: a name that is wrong is to be known at once. */
gboolean pool_cli_report_open (PoolCliReport *self, const PoolCliSettings *settings,
                               PoolManager *pool, GError **error);
gboolean pool_cli_report_write (PoolCliReport *self, PoolManager *pool, GError **error);
void pool_cli_report_clear (PoolCliReport *self);

G_END_DECLS
