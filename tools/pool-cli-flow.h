/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-cli-input.h"
#include "pool-cli-job.h"
#include "pool-cli-joblog.h"
#include "pool-cli-settings.h"

G_BEGIN_DECLS

typedef struct
{
  const PoolCliSettings *settings;
  const PoolCliKind *kind;
  gpointer user_data;
  PoolCliInput *input;

  PoolManager *pool; /* NULL in a dry run */
  PoolCliProgress *progress;
  PoolCliOutput *out;
  PoolCliOutput *err;
  PoolCliJoblog *joblog; /* or NULL */
  GMainLoop *loop;
  GSource *input_source;
  GSource *fill_source;

  guint jobs;
  guint window;       /* how many jobs may be open */
  guint small_window; /* … while they are small */
  GPtrArray *chunk;  /* PoolCliJob: read and not submitted yet */
  GQueue order;      /* PoolCliJob, to be printed: those that are done; with --keep-order all */
  GQueue log_lines;  /* LogLine: of jobs whose output is not written yet */
  guint64 n_read;
  guint64 n_open;    /* jobs in the window */
  guint64 n_bytes;   /* … and what they hold */
  gsize result_size; /* what to expect of a result: the largest of late */
  guint64 n_calls;   /* callbacks that will still come */
  guint64 n_done;
  guint64 n_failed;
  gboolean at_end;   /* nothing more will be read */
  gboolean halted;   /* … because of --halt */
  gboolean given_up; /* what still comes is of no interest */
  GError *fatal;     /* what makes it pointless to go on */
} PoolCliFlow;

gboolean pool_cli_flow_init (PoolCliFlow *self, GError **error);
void pool_cli_flow_clear (PoolCliFlow *self);
void pool_cli_flow_start (PoolCliFlow *self);
void pool_cli_flow_give_up (PoolCliFlow *self);
void pool_cli_flow_output_changed (PoolCliFlow *self);

G_END_DECLS
