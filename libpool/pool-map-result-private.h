/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-async-result-private.h"
#include "pool-map-result.h"

G_BEGIN_DECLS

/* The items of a map: an array of values, or a packed batch. */
typedef struct
{
  GVariant *values; /* of any array type, or a tuple */
  gboolean wrap;    /* each item is one argument (map), not the tuple of them (starmap) */
  GBytes *packed;
} PoolItems;

PoolMapResult *pool_map_result_submit (PoolEngine *engine, const char *task, const PoolItems *items,
                                       guint chunksize, const PoolCallback *callback);

/* One item of a container, unboxed if that holds variants. */
GVariant *pool_items_get_value (GVariant *values, guint64 index);
gboolean pool_items_check (GVariant *values, gboolean star, GError **error);
/* A call that is refused before it gets that far; takes @error. */
PoolMapResult *pool_map_result_refuse (PoolEngine *engine, const PoolCallback *callback,
                                       GError *error);

G_END_DECLS
