/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-bus.h"
#include "pool-service-error.h"

#include <glib-unix.h>
#include <libpool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

/* How long a predecessor may take to leave. */
#define PATIENCE 10

typedef struct
{
  gboolean system, version;
  char *config;
  char *state_directory;
} Settings;

static void
clear_settings (Settings *self)
{
  g_free (self->config);
  g_free (self->state_directory);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Settings, clear_settings)

static void
quit (gpointer loop)
{
  g_main_loop_quit (loop);
}

static gboolean
on_signal (int fd, GIOCondition condition, gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

/* Not by g_unix_signal_add(), which makes a thread. */
static void
watch_signals (GMainLoop *loop)
{
  sigset_t set;
  int fd;

  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  sigprocmask (SIG_BLOCK, &set, NULL);
  fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  g_unix_fd_add (fd, G_IO_IN, on_signal, loop);
}

/* Pools have descriptors for each worker, and clients send them. */
static void
raise_limits (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
    {
      limit.rlim_cur = limit.rlim_max;
      setrlimit (RLIMIT_NOFILE, &limit);
    }
}

static char *
find_state_directory (const Settings *settings)
{
  const char *given = g_getenv ("STATE_DIRECTORY"); /* systemd's */

  if (settings->state_directory != NULL)
    return g_strdup (settings->state_directory);
  if (given != NULL && g_path_is_absolute (given))
    return g_strdup (given);
  return settings->system ? g_strdup (POOL_SERVICE_STATE_DIR) : g_build_filename (g_get_user_state_dir (), "libpool", NULL);
}

static PoolServiceConfig *
read_config (const Settings *settings, GError **error)
{
  if (settings->config != NULL)
    return pool_service_config_new (settings->config, error);
  return pool_service_config_new (g_file_test (POOL_SERVICE_CONFIG, G_FILE_TEST_EXISTS) ? POOL_SERVICE_CONFIG : NULL, error);
}

/* The administrator's directories come first; workers look where the service does. */
static void
set_module_path (const PoolServiceConfig *config)
{
  g_autofree char *listed = g_strjoinv (G_SEARCHPATH_SEPARATOR_S, config->module_directories);
  const char *inherited = g_getenv ("POOL_TASK_PATH");
  g_autofree char *path = NULL;

  /* beside what the service itself says: nobody gets around it */
  if (config->allow_exec)
    g_unsetenv ("POOL_TASK_REFUSED");
  else
    g_setenv ("POOL_TASK_REFUSED", "exec", TRUE);
  if (*listed == '\0')
    return;
  path = inherited != NULL ? g_strconcat (listed, G_SEARCHPATH_SEPARATOR_S, inherited, NULL) : g_strdup (listed);
  g_setenv ("POOL_TASK_PATH", path, TRUE);
}

/* Records of tasks are for the clients that asked for them, and not for the journal. */
static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  static const char *const ours[] = { "libpool", "GLib", "GLib-GObject", "GLib-GIO", NULL };

  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, "GLIB_DOMAIN") && fields[i].length < 0 && !g_strv_contains (ours, fields[i].value))
      return G_LOG_WRITER_HANDLED;
  return g_log_writer_default (level, fields, n_fields, user_data);
}

static gboolean
serve (const Settings *settings, const PoolServiceConfig *config, PoolServiceStore *store, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  PoolBus *bus = pool_bus_open (settings->system, error);
  PoolService *service;
  gboolean ok;

  if (bus == NULL)
    return FALSE;
  service = pool_service_new (config, store, &pool_bus_transport, bus);
  ok = pool_service_restore (service, error) && pool_bus_serve (bus, service, quit, loop, error);
  if (ok)
    {
      watch_signals (loop);
      g_main_loop_run (loop);
    }
  pool_service_store_flush (store, NULL);
  pool_service_free (service);
  pool_bus_close (bus);
  return ok;
}

static int
fail (GError *error)
{
  g_printerr ("pool-service: %s\n", error->message);
  g_error_free (error);
  return EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  g_auto (Settings) settings = { 0 };
  const GOptionEntry entries[] = {
    { "system", 0, 0, G_OPTION_ARG_NONE, &settings.system, "Serve the system bus, not that of the session", NULL },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &settings.config, "Read FILE, not " POOL_SERVICE_CONFIG, "FILE" },
    { "state-directory", 0, 0, G_OPTION_ARG_FILENAME, &settings.state_directory, "Keep durable jobs in FOLDER", "FOLDER" },
    { "version", 0, 0, G_OPTION_ARG_NONE, &settings.version, "Show the version", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (PoolServiceConfig) config = NULL;
  g_autofree char *directory = NULL;
  PoolServiceStore *store;
  GError *error = NULL;
  gboolean ok;

  g_option_context_set_summary (context, "Pools for programs on a bus, which starts this when it is wanted.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    return fail (error);
  if (settings.version)
    {
      g_print ("pool-service (libpool) %s\n", POOL_VERSION_S);
      return EXIT_SUCCESS;
    }

  g_log_set_writer_func (write_log, NULL, NULL);
  raise_limits ();
  config = read_config (&settings, &error);
  if (config == NULL)
    return fail (error);
  set_module_path (config);
  directory = find_state_directory (&settings);
  store = pool_service_store_open (directory, PATIENCE, &error);
  if (store == NULL)
    return fail (error);
  ok = serve (&settings, config, store, &error);
  pool_service_store_close (store);
  if (ok)
    return EXIT_SUCCESS;
  /* somebody was faster, and will answer */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_EXISTS))
    {
      g_error_free (error);
      return EXIT_SUCCESS;
    }
  return fail (error);
}
