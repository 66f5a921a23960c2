/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _TaskFile TaskFile;

TaskFile *task_file_open (const char *name, GError **error);
void task_file_free (TaskFile *file);
gssize task_file_read (TaskFile *file, const guint8 **data, GCancellable *cancellable,
                       GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TaskFile, task_file_free)

G_END_DECLS
