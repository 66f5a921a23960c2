/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

POOL_AVAILABLE_IN_ALL
GLogWriterOutput pool_log_writer (GLogLevelFlags log_level, const GLogField *fields, gsize n_fields,
                                  gpointer user_data);

G_END_DECLS
