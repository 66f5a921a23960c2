/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * Asks the pools of the user's programs that let themselves be seen: calls @found with what each answers, as in
 * libpool/pool-monitor-private.h; NULL: its program did not answer. Names that programs left that were killed are cleared away.
 */
void pool_top_local_look (void (*found) (const char *name, GVariant *answer, gpointer user_data), gpointer user_data);

G_END_DECLS
