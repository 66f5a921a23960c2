/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define ATTEMPT_SIGNAL 1000 /* what an attempt comes to if a signal ends it: this, and the signal */

/* What a sandbox that forbids it is to answer; 0: it forbids nothing here, and the outcome is as without a sandbox. */
typedef struct
{
  const char *name;
  int (*func) (pid_t manager); /* in a folder of the test's; 0, or an errno */
  int basic;
  int strict;
  /* without a sandbox it may be refused as well: to those who are not root, or by the settings of the machine */
  gboolean may_be_refused;
} Attempt;

extern const Attempt attempts[]; /* the last one has no name */

/* What honest tasks do: works in every sandbox. */
extern const Attempt honest[];

const Attempt *attempt_find (const char *name);

G_END_DECLS
