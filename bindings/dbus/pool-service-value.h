/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* Larger values travel as memfds: a message would be copied by each process on its way. */
#define POOL_SERVICE_VALUE_INLINE (64 * 1024)
/* What is asked for in the message itself goes there up to this; the bus would cut off who sends more than it can hold. */
#define POOL_SERVICE_VALUE_INLINE_MAX (32 * 1024 * 1024)

/* A value as a client sends it: of type “v”, itself or the handle of a sealed memfd. Returns: what it is, or NULL */
GVariant *pool_service_value_take (GVariant *variant, GUnixFDList *fds, GError **error);

/* The other way. @variant: set to a floating value of type “v”. @fds: set to a list if there is a handle */
gboolean pool_service_value_give (GVariant *value, gboolean is_inline, GVariant **variant, GUnixFDList **fds, GError **error);

G_END_DECLS
