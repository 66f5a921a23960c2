/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-cli-input.h"
#include <libpool.h>

G_BEGIN_DECLS

typedef enum
{
  POOL_CLI_HALT_NEVER,
  POOL_CLI_HALT_SOON, /* start no more tasks */
  POOL_CLI_HALT_NOW,  /* end those that run, too */
} PoolCliHalt;

/* The options that all commands have that run tasks. */
typedef struct
{
  /* as given */
  char *backend;
  char *jobs_text;
  char *start_method_text;
  char *sandbox_text;
  char *halt_text;
  char *memory_limit_text;
  char *input_file;
  char *joblog;
  char *trace;
  char *metrics;
  char *endpoint;
  char *launcher;
  char *key_file;
  char *allowed_keys;
  char *agent_key_file;
  char *agent_command;
  int processes_per_agent;
  gboolean verbose;
  gboolean null_separated;
  gboolean keep_order;
  gboolean progress;
  gboolean json;
  gboolean tag;
  gboolean dry_run;
  gboolean resume;
  int retries;

  /* as understood */
  int jobs; /* G_MININT: not given */
  int chunksize;
  int start_method; /* -1: not given */
  int sandbox;      /* -1: not given */
  guint64 memory_limit; /* KiB; 0: not given */
  PoolCliHalt halt;
  gint64 halt_failures; /* 0: not counted */
  gint64 halt_successes;
} PoolCliSettings;

void pool_cli_settings_clear (PoolCliSettings *self);
gboolean pool_cli_settings_parse (PoolCliSettings *self, GOptionContext *context,
                                  const GOptionEntry *own, char **argv, gboolean *version,
                                  GError **error);
gboolean pool_cli_settings_parse_pool (PoolCliSettings *self, GOptionContext *context,
                                       const GOptionEntry *own, char **argv, gboolean *version,
                                       GError **error);
PoolManager *pool_cli_settings_make_pool (const PoolCliSettings *self);
void pool_cli_settings_print_endpoint (const PoolCliSettings *self, PoolManager *pool);
PoolCliInput *pool_cli_settings_open_input (const PoolCliSettings *self, char **words,
                                            GError **error);
guint pool_cli_settings_get_jobs (const PoolCliSettings *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PoolCliSettings, pool_cli_settings_clear)

G_END_DECLS
