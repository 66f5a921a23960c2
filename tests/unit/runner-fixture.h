/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/libpool.h"
#include "libpool/pool-packed-private.h"
#include "libpool/pool-runner-private.h"
#include "libpool/pool-value-private.h"

/* A runner with one function, calls of it, and what it replied. */

typedef struct
{
  PoolRunner runner;
  PoolFunction *function;
  PoolRunnerReply reply;
} Fixture;

void fixture_init (Fixture *self, PoolFunctionKind kind, gpointer func, gpointer user_data, GVariant *static_args);
void fixture_clear (Fixture *self);
void run (Fixture *self, guint flags, guint n_items, const void *data, gsize size, PoolProgress *progress);
void run_bytes (Fixture *self, const char *text);
guint8 *run_value (Fixture *self, GVariant *args);
GVariant *bytes_tuple (const void *data, gsize size);
GBytes *pack_texts (const char *const *texts);
GBytes *pack_values (GVariant *const *values, guint n);
void run_packed (Fixture *self, guint flags, GBytes *batch);
void assert_reply (Fixture *self, PoolResultKind kind, const void *data, gsize size);
void assert_text (Fixture *self, const char *text);
GVariant *reply_value (Fixture *self);
void assert_value (Fixture *self, GVariant *expected);
void assert_error (Fixture *self, GQuark domain, int code, const char *message);
GBytes *reply_batch (Fixture *self, PoolResultKind kind, guint n_items);
void assert_item (GBytes *batch, guint index, const void *data, gsize size);
void assert_item_value (GBytes *batch, guint index, GVariant *expected);
void assert_item_error (GBytes *batch, guint index, GQuark domain, int code, const char *message);

/* --- functions that more than one test program has run --- */

gboolean bytes_reverse (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error);
gboolean bytes_silent (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error);
gboolean memory_reverse (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error);
gboolean memory_silent (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error);
