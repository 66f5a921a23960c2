/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The regular files below paths, each directory's in the order of their names; what cannot be read is told to standard error. */
GPtrArray *walk_files (char **paths, guint *n_failed);
