/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * Whether the program can have @n more descriptors, for libraries that end it when they cannot have one. FALSE with
 * POOL_ERROR_BACKEND; @what needs them, for people.
 */
POOL_EXPORT
gboolean pool_descriptors_check (guint n, const char *what, GError **error);

G_END_DECLS
