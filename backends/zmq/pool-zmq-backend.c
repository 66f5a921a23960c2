/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zmq-agent.h"
#include "pool-zmq-security.h"
#include "pool-zmq-socket.h"

#include "libpool/pool-copy-private.h"
#include "libpool/pool-error.h"
#include "libpool/pool-remote-backend-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The pool's side: a router, to which agents connect. Their names are what ZeroMQ gives them: a new one with each connection. */

/* Messages that are taken in one go, so that other things get their turn. */
#define RECEIVE_MAX 256
/* What was said at the end may take so long to go out, ms. */
#define LINGER_MS 200

typedef struct
{
  PoolRemoteBackend parent_instance;

  void *context, *socket;
  PoolZmqSecurity *security; /* NULL: nobody else can connect */
  char *directory; /* of the socket of a pool without an endpoint */
  char *address;   /* where agents connect */
  GPtrArray *parts; /* of the message that is being received */
  GHashTable *numbers; /* name → number of a peer */
  GHashTable *names;   /* and back */
  guint last_number;
} PoolZmqBackend;

typedef PoolRemoteBackendClass PoolZmqBackendClass;

static GType pool_zmq_backend_get_type (void);

G_DEFINE_FINAL_TYPE (PoolZmqBackend, pool_zmq_backend, POOL_TYPE_REMOTE_BACKEND)

static PoolZmqBackend *
cast (gpointer self)
{
  return self;
}

/* --- opening --- */

/* A socket in a directory that only this user can enter. */
static char *
make_private_endpoint (PoolZmqBackend *self, PoolLauncher *launcher, GError **error)
{
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");
  g_autofree char *template = g_build_filename (
      runtime != NULL && g_path_is_absolute (runtime) && strlen (runtime) < 70 && g_access (runtime, W_OK) == 0
          ? runtime
          : g_get_tmp_dir (),
      "libpool-XXXXXX", NULL);

  if (g_mkdtemp_full (template, 0700) == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The pool cannot make a directory %s for its socket: %s",
                   template, g_strerror (errno));
      return NULL;
    }
  self->directory = g_steal_pointer (&template);
  if (launcher != NULL)
    pool_launcher_keep_directory (launcher, self->directory);
  return g_strdup_printf ("ipc://%s/pool", self->directory);
}

static gboolean
check_endpoint (const char *endpoint, GError **error)
{
  if (g_str_has_prefix (endpoint, "ipc:///") || g_str_has_prefix (endpoint, "tcp://"))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "An endpoint is tcp://ADDRESS:PORT or ipc:///PATH, not \"%s\"", endpoint);
  return FALSE;
}

/* A path that others can enter would let them in. */
static gboolean
check_directory (const char *endpoint, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (endpoint + strlen ("ipc://"));
  struct stat st;

  if (stat (directory, &st) == 0 && st.st_uid == geteuid () && (st.st_mode & 077) == 0)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_AUTHENTICATION,
               "The pool does not listen at %s: the directory %s must be there, and be only for its user (chmod 700)",
               endpoint, directory);
  return FALSE;
}

/* A pool that listens on every address is found by the name of this machine. */
static char *
get_address (PoolZmqBackend *self)
{
  char bound[256];
  size_t size = sizeof bound;
  const char *port;

  if (zmq_getsockopt (self->socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0)
    return NULL;
  port = strrchr (bound, ':');
  if (g_str_has_prefix (bound, "tcp://0.0.0.0:") || g_str_has_prefix (bound, "tcp://[::]:"))
    return g_strdup_printf ("tcp://%s%s", g_get_host_name (), port);
  return g_strdup (bound);
}

static gboolean
bind_socket (PoolZmqBackend *self, const char *endpoint, GError **error)
{
  const int has_ipv6 = strchr (endpoint, '[') != NULL;

  zmq_setsockopt (self->socket, ZMQ_IPV6, &has_ipv6, sizeof has_ipv6);
  if (POOL_ZMQ_RETRY (zmq_bind (self->socket, endpoint)) == 0)
    {
      self->address = get_address (self);
      return self->address != NULL;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The pool cannot listen at %s: %s", endpoint,
               zmq_strerror (errno));
  return FALSE;
}

static gboolean
watch_sockets (PoolZmqBackend *self)
{
  PoolRemoteBackend *remote = &self->parent_instance;
  int fds[POOL_ZMQ_SECURITY_FDS];
  gboolean ok = pool_remote_backend_watch_fd (remote, pool_zmq_get_fd (self->socket));

  if (self->security == NULL)
    return ok;
  pool_zmq_security_get_fds (self->security, fds);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    ok &= pool_remote_backend_watch_fd (remote, fds[i]);
  return ok;
}

static gboolean
pool_zmq_backend_open (PoolRemoteBackend *remote, gboolean is_remote, GError **error)
{
  PoolZmqBackend *self = cast (remote);
  PoolRemoteConfig *config = remote->config->remote;
  g_autofree char *endpoint = g_strdup (config->endpoint);

  if (endpoint == NULL && is_remote)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                           "Agents on other machines need an endpoint to connect to, such as tcp://*:5555");
      return FALSE;
    }
  if (endpoint == NULL)
    endpoint = make_private_endpoint (self, remote->launcher, error);
  if (endpoint == NULL || !check_endpoint (endpoint, error))
    return FALSE;
  self->context = pool_zmq_context_new (error);
  if (self->context == NULL)
    return FALSE;
  self->socket = pool_zmq_socket_new (self->context, ZMQ_ROUTER, error);
  if (self->socket == NULL)
    return FALSE;
  if (g_str_has_prefix (endpoint, "tcp:"))
    self->security = pool_zmq_security_new (self->context, self->socket, config, error);
  if (g_str_has_prefix (endpoint, "tcp:") ? self->security == NULL : !check_directory (endpoint, error))
    return FALSE;
  if (!bind_socket (self, endpoint, error))
    return FALSE;
  g_free (config->bound);
  config->bound = g_strdup (self->address);
  return watch_sockets (self);
}

static char **
pool_zmq_backend_get_command (PoolRemoteBackend *remote, guint agent, guint n_workers)
{
  PoolZmqBackend *self = cast (remote);
  const PoolRemoteConfig *config = remote->config->remote;
  gboolean is_remote = pool_launcher_is_remote (remote->launcher);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *program = is_remote ? g_strdup (config->agent_command) : pool_copy_find_worker_program ();
  g_autofree char *processes = g_strdup_printf ("--processes=%u", n_workers);
  g_autofree char *number = g_strdup_printf ("--agent=%u", agent);
  g_autofree char *parent = g_strdup_printf ("--parent=%d", (int) getpid ());

  g_strv_builder_add (builder, program != NULL ? program : "pool");
  if (is_remote)
    g_strv_builder_add (builder, "worker");
  else
    g_strv_builder_add_many (builder, "zmq", "agent", parent, NULL);
  g_strv_builder_add_many (builder, "--connect", self->address, processes, number, "--accept-command", NULL);
  if (self->security != NULL)
    {
      g_strv_builder_add_many (builder, "--server-key", pool_zmq_security_get_public_key (self->security), NULL);
      if (config->agent_key_file != NULL)
        g_strv_builder_add_many (builder, "--key-file", config->agent_key_file, NULL);
    }
  return g_strv_builder_end (builder);
}

/* --- peers --- */

static guint
find_peer (PoolZmqBackend *self, GBytes *name)
{
  guint number = GPOINTER_TO_UINT (g_hash_table_lookup (self->numbers, name));

  if (number > 0)
    return number;
  do
    number = ++self->last_number;
  while (number == 0 || g_hash_table_contains (self->names, GUINT_TO_POINTER (number)));
  g_hash_table_insert (self->names, GUINT_TO_POINTER (number), name);
  g_hash_table_insert (self->numbers, g_bytes_ref (name), GUINT_TO_POINTER (number));
  return number;
}

static void
pool_zmq_backend_forget (PoolRemoteBackend *remote, guint peer)
{
  PoolZmqBackend *self = cast (remote);
  GBytes *name = g_hash_table_lookup (self->names, GUINT_TO_POINTER (peer));

  if (name == NULL)
    return;
  g_hash_table_remove (self->names, GUINT_TO_POINTER (peer));
  g_hash_table_remove (self->numbers, name);
}

static gboolean
pool_zmq_backend_send (PoolRemoteBackend *remote, guint peer, PoolWireWriter *message)
{
  PoolZmqBackend *self = cast (remote);
  GBytes *name = g_hash_table_lookup (self->names, GUINT_TO_POINTER (peer));

  if (name != NULL && pool_zmq_send (self->socket, name, message))
    return TRUE;
  g_debug ("a message to peer %u cannot be sent: %s", peer, name != NULL ? zmq_strerror (errno) : "it is gone");
  pool_zmq_backend_forget (remote, peer);
  return FALSE;
}

/* Who is no agent has no number: however many come and go, they leave nothing. */
static void
take_message (PoolZmqBackend *self)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  guint peer = find_peer (self, self->parts->pdata[0]);

  pool_remote_backend_take_message (remote, peer, (GBytes *const *) self->parts->pdata + 1, self->parts->len - 1);
  if (!pool_remote_backend_has_peer (remote, peer))
    pool_zmq_backend_forget (remote, peer);
}

static gboolean
pool_zmq_backend_receive (PoolRemoteBackend *remote)
{
  PoolZmqBackend *self = cast (remote);
  gboolean any = FALSE;

  if (self->security != NULL)
    pool_remote_backend_add_refused (remote, pool_zmq_security_dispatch (self->security));
  for (guint i = 0; i < RECEIVE_MAX && pool_zmq_receive (self->socket, self->parts); i++)
    {
      any = TRUE;
      if (self->parts->len > 1)
        take_message (self);
    }
  g_ptr_array_set_size (self->parts, 0);
  return any;
}

static gboolean
pool_zmq_backend_has_message (PoolRemoteBackend *remote)
{
  PoolZmqBackend *self = cast (remote);

  return pool_zmq_has_message (self->socket) ||
         (self->security != NULL && pool_zmq_security_has_message (self->security));
}

static void
pool_zmq_backend_close (PoolRemoteBackend *remote)
{
  PoolZmqBackend *self = cast (remote);
  int linger = LINGER_MS;

  g_clear_pointer (&self->security, pool_zmq_security_free);
  if (self->socket != NULL)
    {
      zmq_setsockopt (self->socket, ZMQ_LINGER, &linger, sizeof linger);
      zmq_close (g_steal_pointer (&self->socket));
    }
  if (self->context != NULL)
    pool_zmq_context_free (g_steal_pointer (&self->context));
  if (self->directory != NULL)
    {
      g_autofree char *path = g_build_filename (self->directory, "pool", NULL);

      /* ZeroMQ leaves it there */
      g_unlink (path);
      g_rmdir (self->directory);
    }
  g_clear_pointer (&self->directory, g_free);
}

static void
pool_zmq_backend_finalize (GObject *object)
{
  PoolZmqBackend *self = cast (object);

  pool_zmq_backend_close (POOL_REMOTE_BACKEND (object));
  g_free (self->address);
  g_ptr_array_unref (self->parts);
  g_hash_table_unref (self->names);
  g_hash_table_unref (self->numbers);
  G_OBJECT_CLASS (pool_zmq_backend_parent_class)->finalize (object);
}

static void
pool_zmq_backend_class_init (PoolZmqBackendClass *klass)
{
  POOL_BACKEND_CLASS (klass)->worker_main = pool_zmq_agent_main;
  G_OBJECT_CLASS (klass)->finalize = pool_zmq_backend_finalize;
  klass->open = pool_zmq_backend_open;
  klass->get_command = pool_zmq_backend_get_command;
  klass->send = pool_zmq_backend_send;
  klass->forget = pool_zmq_backend_forget;
  klass->receive = pool_zmq_backend_receive;
  klass->has_message = pool_zmq_backend_has_message;
  klass->close = pool_zmq_backend_close;
}

static void
pool_zmq_backend_init (PoolZmqBackend *self)
{
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->names = g_hash_table_new (NULL, NULL);
  self->numbers = g_hash_table_new_full (g_bytes_hash, g_bytes_equal, (GDestroyNotify) g_bytes_unref, NULL);
}

static const PoolBackendModule module = {
  .abi = POOL_BACKEND_ABI,
  .name = "zmq",
  .description = "processes on this machine and on others, reached by ZeroMQ",
  .get_type = pool_zmq_backend_get_type,
  .is_available = pool_zmq_check,
};

G_MODULE_EXPORT const PoolBackendModule *pool_backend_module_query (void);

G_MODULE_EXPORT const PoolBackendModule *
pool_backend_module_query (void)
{
  return &module;
}
