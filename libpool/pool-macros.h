/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined(POOL_INSIDE) && !defined(POOL_COMPILATION)
#error "Only <libpool.h> can be included directly."
#endif

#include <glib.h>

/* Everything is hidden unless it is declared with this. */
#define POOL_EXPORT __attribute__ ((visibility ("default"))) extern
#define POOL_AVAILABLE_IN_ALL POOL_EXPORT
#define POOL_AVAILABLE_IN_1_0 POOL_EXPORT
