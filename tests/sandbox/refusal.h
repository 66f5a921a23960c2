/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>

G_BEGIN_DECLS

/* A system call that does not work, as on another kernel or in a container that forbids it. */
typedef struct
{
  const char *name;
  PoolSandbox sandbox;
  const char *part; /* of the sandbox, that cannot be had then; NULL: all that is promised can */
  gboolean at_start; /* it shows before there is a worker */
  int code;
  const char *call;
  int argument; /* that has a value, or -1 */
  guint64 value;
} Refusal;

extern const Refusal refusals[]; /* the last one has no name */

/* From now on, for this process and all it starts. */
void refusal_enter (const Refusal *refusal);

G_END_DECLS
