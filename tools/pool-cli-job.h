/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-cli-output.h"
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* One input, and what came of it. */
typedef struct
{
  guint64 seq; /* from 1 */
  char *input;
  gsize size;
  char *command; /* what is run, as text; NULL until it is asked for */

  GVariant *value;
  GError *error;
  int exit_code; /* as the joblog has them */
  int exit_signal;
  guint64 received;
  guint tries;
  guint attempts;
  guint worker;
  double run_time;
  double started_at;
  gboolean finished;
  gsize weight; /* bytes that it holds */
} PoolCliJob;

/* What a command makes of its inputs; the same driver runs them all. */
typedef struct
{
  const char *task;
  /* what is run, as one could type it */
  char *(*describe) (gpointer user_data, const PoolCliJob *job);
  /* the task's arguments: a tuple */
  GVariant *(*make_args) (gpointer user_data, const PoolCliJob *job, GError **error);
  /* looks at the value: it may tell of a failure (optional) */
  void (*check) (gpointer user_data, PoolCliJob *job);
  /* prints the value */
  void (*print) (gpointer user_data, const PoolCliJob *job, PoolCliOutput *out, PoolCliOutput *err);
  /* the members of a JSON object that tell of the value */
  void (*add_json) (gpointer user_data, const PoolCliJob *job, JsonBuilder *builder);
} PoolCliKind;

PoolCliJob *pool_cli_job_new (guint64 seq, GBytes *input);
void pool_cli_job_free (PoolCliJob *self);
gboolean pool_cli_job_has_zero (const PoolCliJob *self);
const char *pool_cli_job_get_command (PoolCliJob *self, const PoolCliKind *kind,
                                      gpointer user_data);
char *pool_cli_job_to_json (PoolCliJob *self, const PoolCliKind *kind, gpointer user_data);
char *pool_cli_job_to_log (PoolCliJob *self, const PoolCliKind *kind, gpointer user_data);
void pool_cli_job_take_error (PoolCliJob *self, GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolCliJob, pool_cli_job_free)

G_END_DECLS
