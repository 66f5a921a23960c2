/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _PoolCliJoblog PoolCliJoblog;

/* One line of the log. */
typedef struct
{
  guint64 seq;
  double started_at; /* seconds since 1970 */
  double run_time;
  guint64 received;
  int exit_code;
  int exit_signal;
  const char *command;
} PoolCliJoblogEntry;

PoolCliJoblog *pool_cli_joblog_open (const char *name, gboolean resume, gboolean dry_run,
                                     GError **error);
void pool_cli_joblog_free (PoolCliJoblog *self);
gboolean pool_cli_joblog_is_done (PoolCliJoblog *self, guint64 seq, const char *command);
char *pool_cli_joblog_format (const PoolCliJoblogEntry *entry);
gboolean pool_cli_joblog_write (PoolCliJoblog *self, const char *line, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolCliJoblog, pool_cli_joblog_free)

G_END_DECLS
