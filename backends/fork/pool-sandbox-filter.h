/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * The system calls that a worker is refused, by libseccomp. What is not listed is allowed: tasks are functions and
 * programs that we do not know. A refusal is an error of the call, and never a signal.
 */

/* 0, or an errno */
int pool_sandbox_filter_check (void);
/* @strict: all that is listed; else only what leads to a socket of another family than AF_UNIX. 0, or an errno */
int pool_sandbox_filter_load (gboolean strict);

G_END_DECLS
