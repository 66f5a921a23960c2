/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "attempts.h"

#include <errno.h>
#include <gmodule.h>
#include <libpool.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A task that tries to break out, in a child of its worker so that no attempt changes what the next one finds. */

static GVariant *
try (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *name, *folder;
  const Attempt *attempt;
  gint32 manager;
  int status;
  pid_t pid;

  g_variant_get (args, "(&s&si)", &name, &folder, &manager);
  attempt = attempt_find (name);
  if (attempt == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "There is no attempt “%s”", name);
      return NULL;
    }
  pid = fork ();
  if (pid == 0)
    {
      if (chdir (folder) != 0)
        _exit (255);
      _exit (attempt->func (manager));
    }
  if (pid < 0 || waitpid (pid, &status, 0) != pid)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "No child: %s", g_strerror (errno));
      return NULL;
    }
  return g_variant_new_int32 (WIFSIGNALED (status) ? ATTEMPT_SIGNAL + WTERMSIG (status)
                                                   : WEXITSTATUS (status));
}

/* What a worker is, by its own view: its pid, and what is set for the death of its parent. */
static GVariant *
who (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree char *network = g_file_read_link ("/proc/self/ns/net", NULL);
  struct rlimit core = { 1, 1 };
  int signum = 0;

  prctl (PR_GET_PDEATHSIG, &signum);
  getrlimit (RLIMIT_CORE, &core);
  return g_variant_new ("(iiusutt)", getpid (), signum, (guint32) getuid (), network != NULL ? network : "",
                        (guint32) getgid (), (guint64) core.rlim_cur, (guint64) core.rlim_max);
}

/* The initializer: is the sandbox there already? */
static int at_start = -1;

static GVariant *
initialize (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  at_start = attempt_find ("inet")->func (0);
  return g_variant_new_boolean (TRUE);
}

static GVariant *
initialized (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (at_start);
}

/* more than a slot of the ring and more than the staging buffer hold */
static GVariant *
large (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const gsize size = 4 * 1024 * 1024;
  guint8 *data = g_malloc (size);

  memset (data, 7, size);
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, data, size, TRUE, g_free, data);
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "try", "tries something", try);
  pool_task_module_add (module, "who", "who a worker is", who);
  pool_task_module_add (module, "initialize", "tries something early", initialize);
  pool_task_module_add (module, "initialized", "what came of it", initialized);
  pool_task_module_add (module, "large", "a large result", large);
}
