/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A command to run, and what came of it. */
typedef struct
{
  char **argv;
  char **envp;  /* NULL: the worker's */
  char *cwd;    /* NULL: the worker's */
  GBytes *input; /* NULL: /dev/null */
} ExecCommand;

typedef struct
{
  int status; /* the exit code, or 128 + the signal that ended it */
  GByteArray *output;
  GByteArray *errors;
} ExecOutcome;

void exec_command_clear (ExecCommand *command);
void exec_outcome_clear (ExecOutcome *outcome);
gboolean exec_child_run (const ExecCommand *command, GCancellable *cancellable,
                         ExecOutcome *outcome, GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ExecCommand, exec_command_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ExecOutcome, exec_outcome_clear)

G_END_DECLS
