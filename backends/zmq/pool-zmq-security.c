/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zmq-security.h"

#include "pool-zmq-monitor.h"
#include "pool-zmq-socket.h"

#include "libpool/pool-error.h"
#include "libpool/pool-keys-private.h"

#include <errno.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define ZAP_VERSION "1.0"
#define ZAP_DOMAIN "libpool"

/* The frames of a request, as the specification has them. */
enum
{
  ZAP_REQUEST_VERSION,
  ZAP_REQUEST_ID,
  ZAP_REQUEST_DOMAIN,
  ZAP_REQUEST_ADDRESS,
  ZAP_REQUEST_ROUTING_ID,
  ZAP_REQUEST_MECHANISM,
  ZAP_REQUEST_KEY,
  ZAP_REQUEST_FRAMES,
};

struct _PoolZmqSecurity
{
  void *router; /* whose peers are let in */
  void *zap, *monitor;
  PoolAllowList *allowed;
  GPtrArray *parts;
  guint n_refused; /* since it was asked last */
  GHashTable *strangers; /* descriptors of those that have not shown a key yet */
  char public_key[POOL_KEY_TEXT_SIZE];
};

/* --- setting up --- */

static gboolean
set_key (void *socket, int option, const guint8 *key, GError **error)
{
  if (zmq_setsockopt (socket, option, key, POOL_KEY_SIZE) == 0)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_AUTHENTICATION, "ZeroMQ does not take a key: %s", zmq_strerror (errno));
  return FALSE;
}

static gboolean
check_config (const PoolRemoteConfig *config, GError **error)
{
  if (config->key_file != NULL && config->allowed_keys != NULL)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_AUTHENTICATION,
               "A pool that listens at %s needs keys, and has no %s: make some by \"pool keygen pool\" and \"pool keygen agent\", set key-file "
               "to pool.key and allowed-keys to a file or directory with agent.pub, and start agents by \"pool worker "
               "--server-key pool.pub --key-file agent.key\"",
               config->endpoint, config->key_file == NULL ? "key-file" : "allowed-keys");
  return FALSE;
}

static gboolean
set_up_server (PoolZmqSecurity *self, const PoolRemoteConfig *config, GError **error)
{
  g_auto (PoolKeyPair) pair = { 0 };
  const int yes = 1;

  if (!pool_key_pair_read (&pair, config->key_file, error))
    return FALSE;
  self->allowed = pool_allow_list_new (config->allowed_keys, error);
  if (self->allowed == NULL)
    return FALSE;
  pool_key_encode (pair.public_key, self->public_key);
  zmq_setsockopt (self->router, ZMQ_CURVE_SERVER, &yes, sizeof yes);
  zmq_setsockopt (self->router, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen (ZAP_DOMAIN));
  return set_key (self->router, ZMQ_CURVE_SECRETKEY, pair.secret_key, error);
}

/* Who was accepted and went before it had shown its key, for whatever reason, was not let in: the monitor tells. */
static gboolean
open_sockets (PoolZmqSecurity *self, void *context, GError **error)
{
  const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED;
  const int linger = 0;

  self->zap = zmq_socket (context, ZMQ_REP);
  if (self->zap != NULL && zmq_setsockopt (self->zap, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
      POOL_ZMQ_RETRY (zmq_bind (self->zap, ZAP_ENDPOINT)) == 0)
    self->monitor = pool_zmq_monitor_new (context, self->router, events);
  if (self->monitor != NULL)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The pool cannot ask for the keys of its agents: %s",
               zmq_strerror (errno));
  return FALSE;
}

PoolZmqSecurity *
pool_zmq_security_new (void *context, void *socket, const PoolRemoteConfig *config, GError **error)
{
  PoolZmqSecurity *self;
  g_autoptr (GError) local_error = NULL;

  if (!check_config (config, error))
    return NULL;
  self = g_new0 (PoolZmqSecurity, 1);
  self->router = socket;
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->strangers = g_hash_table_new (NULL, NULL);
  if (!set_up_server (self, config, &local_error))
    /* what is wrong with a file of keys */
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_AUTHENTICATION, local_error->message);
  else if (open_sockets (self, context, error))
    return self;
  pool_zmq_security_free (self);
  return NULL;
}

void
pool_zmq_security_free (PoolZmqSecurity *self)
{
  if (self->monitor != NULL)
    pool_zmq_monitor_free (self->monitor, self->router);
  if (self->zap != NULL)
    zmq_close (self->zap);
  g_clear_pointer (&self->allowed, pool_allow_list_free);
  g_ptr_array_unref (self->parts);
  g_hash_table_unref (self->strangers);
  g_free (self);
}

const char *
pool_zmq_security_get_public_key (PoolZmqSecurity *self)
{
  return self->public_key;
}

gboolean
pool_zmq_security_set_up_agent (void *socket, const char *server_key, const char *key_file, GError **error)
{
  g_auto (PoolKeyPair) pair = { 0 };
  guint8 server[POOL_KEY_SIZE];

  if (server_key == NULL || key_file == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_AUTHENTICATION,
                   "An agent that connects by TCP needs keys, and has no %s: --server-key is the pool's public key (pool.pub, "
                   "or its 40 characters), --key-file this agent's own, made by \"pool keygen agent\", whose agent.pub is to be "
                   "among the pool's allowed-keys",
                   server_key == NULL ? "--server-key" : "--key-file");
      return FALSE;
    }
  return pool_key_read_public (server_key, server, error) && pool_key_pair_read (&pair, key_file, error) &&
         set_key (socket, ZMQ_CURVE_SERVERKEY, server, error) &&
         set_key (socket, ZMQ_CURVE_PUBLICKEY, pair.public_key, error) &&
         set_key (socket, ZMQ_CURVE_SECRETKEY, pair.secret_key, error);
}

/* --- who asks --- */

void
pool_zmq_security_get_fds (PoolZmqSecurity *self, int *fds)
{
  fds[0] = pool_zmq_get_fd (self->zap);
  fds[1] = pool_zmq_get_fd (self->monitor);
}

gboolean
pool_zmq_security_has_message (PoolZmqSecurity *self)
{
  return pool_zmq_has_message (self->zap) || pool_zmq_has_message (self->monitor);
}

static gboolean
frame_is (GPtrArray *request, guint index, const char *text)
{
  gsize size;
  const char *data = g_bytes_get_data (request->pdata[index], &size);

  return size == strlen (text) && memcmp (data, text, size) == 0;
}

/* The name under which the key of a request is known; NULL: it is not let in. */
static const char *
find_name (PoolZmqSecurity *self, GPtrArray *request)
{
  g_autoptr (GError) error = NULL;
  gsize size;
  const guint8 *key;

  if (request->len != ZAP_REQUEST_FRAMES || !frame_is (request, ZAP_REQUEST_VERSION, ZAP_VERSION) ||
      !frame_is (request, ZAP_REQUEST_DOMAIN, ZAP_DOMAIN) || !frame_is (request, ZAP_REQUEST_MECHANISM, "CURVE"))
    return NULL;
  key = g_bytes_get_data (request->pdata[ZAP_REQUEST_KEY], &size);
  if (size != POOL_KEY_SIZE)
    return NULL;
  if (!pool_allow_list_refresh (self->allowed, NULL, &error))
    g_debug ("the keys that are allowed cannot be read again: %s", error->message);
  return pool_allow_list_find (self->allowed, key);
}

static void
send_frame (void *socket, gconstpointer data, gsize size, gboolean more)
{
  POOL_ZMQ_RETRY (zmq_send (socket, data, size, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)));
}

static void
answer (PoolZmqSecurity *self, GPtrArray *request)
{
  const char *name = find_name (self, request), *text = name != NULL ? "OK" : "this key is not among those allowed";
  gsize size = 0;
  gconstpointer id = request->len > ZAP_REQUEST_ID ? g_bytes_get_data (request->pdata[ZAP_REQUEST_ID], &size) : "";

  send_frame (self->zap, ZAP_VERSION, strlen (ZAP_VERSION), TRUE);
  send_frame (self->zap, id, size, TRUE);
  send_frame (self->zap, name != NULL ? "200" : "400", 3, TRUE);
  send_frame (self->zap, text, strlen (text), TRUE);
  send_frame (self->zap, name != NULL ? name : "", name != NULL ? strlen (name) : 0, TRUE);
  send_frame (self->zap, "", 0, FALSE);
}

/* What happened to a connection, @value: its descriptor. */
static void
take_event (guint16 event, guint32 value, gpointer data)
{
  PoolZmqSecurity *self = data;

  if (event == ZMQ_EVENT_ACCEPTED)
    g_hash_table_add (self->strangers, GUINT_TO_POINTER (value));
  else if (g_hash_table_remove (self->strangers, GUINT_TO_POINTER (value)) && event == ZMQ_EVENT_DISCONNECTED)
    self->n_refused++;
}

guint
pool_zmq_security_dispatch (PoolZmqSecurity *self)
{
  guint n_refused;

  while (pool_zmq_receive (self->zap, self->parts))
    answer (self, self->parts);
  pool_zmq_monitor_drain (self->monitor, take_event, self);
  g_ptr_array_set_size (self->parts, 0);
  n_refused = self->n_refused;
  self->n_refused = 0;
  return n_refused;
}
