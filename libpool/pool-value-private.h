/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-buffer-private.h"
#include "pool-types.h"

G_BEGIN_DECLS

/*
 * How a GVariant travels: its serialised data, a zero byte, its type string. It is what GVariant itself stores in a
 * variant, so that nothing has to be invented and the data begin at the (aligned) start.
 */
POOL_EXPORT
gsize pool_value_size (GVariant *value, gboolean wrap);
/* @out: in memory of the caller, who also has what lies before it in the same 8 bytes */
POOL_EXPORT
void pool_value_encode (GVariant *value, gboolean wrap, guint8 *out);
/* g_variant_is_normal_form(), which for arrays of numbers need not look at each */
POOL_EXPORT
gboolean pool_value_is_normal (GVariant *value);
POOL_EXPORT
GVariant *pool_value_decode (GBytes *bytes, gboolean trusted, GError **error);
/* as above; @data must stay valid until @notify is called with @user_data */
POOL_EXPORT
GVariant *pool_value_decode_data (const guint8 *data, gsize size, gboolean trusted,
                                  GDestroyNotify notify, gpointer user_data, GError **error);

/* How a GError travels: u32 code, domain, zero, message, zero. FALSE: there is no memory to append it. */
POOL_EXPORT
gboolean pool_error_encode (const GError *error, PoolBuffer *out);
POOL_EXPORT
GError *pool_error_decode (const guint8 *data, gsize size);

G_END_DECLS
