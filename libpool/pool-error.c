/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-error.h"

/**
 * pool_error_quark:
 *
 * Registers the error domain [error@Error].
 *
 * Returns: the quark
 *
 * Since: 1.0
 */
G_DEFINE_QUARK (pool-error-quark, pool_error)
