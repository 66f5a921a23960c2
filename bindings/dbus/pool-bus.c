/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-bus.h"

#include "pool-bus-glue.h"
#include "pool-bus-polkit.h"
#include "pool-bus-value.h"

#include "pool-service-error.h"

#include <libpool.h>

/*
 * Messages become calls, replies become messages. A client is asked for from the bus once, at its first call: whose it is, and to be
 * told when it leaves; its calls wait until that is known.
 */
struct _PoolBus
{
  DBusConnection *connection;
  PoolService *service;
  GHashTable *peers; /* by unique name, owned */
  gboolean is_system;
  gboolean watches_all;
  guint64 n_calls;
  void (*done) (gpointer user_data);
  gpointer done_data;
};

typedef struct
{
  PoolBus *bus;
  char *name;
  PoolServiceClient *client; /* NULL: not known yet */
  GQueue waiting;            /* DBusMessage */
} Peer;

/* A call that was not replied to; it keeps the service from leaving. */
typedef struct
{
  PoolBus *bus;
  DBusMessage *message;
} Token;

static gboolean
bus_error (DBusError *reason, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s", reason->message != NULL ? reason->message : "no memory");
  dbus_error_free (reason);
  return FALSE;
}

/* --- what the service says --- */

static void
send_and_unref (PoolBus *self, DBusMessage *message)
{
  /* without memory for it nothing is left to be said */
  if (self->connection != NULL)
    dbus_connection_send (self->connection, message, NULL);
  dbus_message_unref (message);
}

static void
fail (gpointer data, const char *name, const char *message)
{
  Token *token = data;
  DBusMessage *reply;

  if (dbus_message_get_no_reply (token->message))
    return;
  reply = dbus_message_new_error (token->message, name, message);
  if (reply != NULL)
    send_and_unref (token->bus, reply);
}

static void
reply (gpointer data, GVariant *values, GUnixFDList *fds)
{
  Token *token = data;
  DBusMessage *message;

  if (dbus_message_get_no_reply (token->message))
    return;
  message = dbus_message_new_method_return (token->message);
  if (message != NULL && pool_bus_value_append (message, values, fds))
    {
      send_and_unref (token->bus, message);
      return;
    }
  if (message != NULL)
    dbus_message_unref (message);
  if (fds != NULL)
    fail (token, DBUS_ERROR_LIMITS_EXCEEDED, "The service has no more descriptors, and the reply needs one");
  else
    fail (token, DBUS_ERROR_NO_MEMORY, "The reply cannot be put into a message");
}

static void
free_token (gpointer data)
{
  Token *token = data;

  pool_service_release (token->bus->service);
  dbus_message_unref (token->message);
  g_free (token);
}

static void
emit (gpointer bus, const char *destination, const char *path, const char *interface, const char *signal, GVariant *values)
{
  DBusMessage *message = dbus_message_new_signal (path, interface, signal);

  if (message == NULL)
    return;
  if (dbus_message_set_destination (message, destination) && pool_bus_value_append (message, values, NULL))
    send_and_unref (bus, message);
  else
    dbus_message_unref (message);
}

const PoolServiceTransport pool_bus_transport = { reply, fail, free_token, emit };

/* --- calls --- */

/* A call that polkit is asked about. */
typedef struct
{
  PoolBus *bus;
  PoolServiceCall *call;
} Permit;

static Permit *
new_permit (PoolBus *self, PoolServiceCall *call)
{
  Permit *permit = g_new (Permit, 1);

  permit->bus = self;
  permit->call = pool_service_call_ref (call);
  return permit;
}

static void
on_allowed (gboolean is_allowed, const char *why, gpointer user_data)
{
  Permit *permit = user_data;

  if (permit->call->client->gone)
    g_debug ("%s has left", permit->call->client->name);
  else if (is_allowed)
    pool_service_handle (permit->bus->service, permit->call);
  else
    pool_service_call_take_error (permit->call, g_error_new (POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_NOT_ALLOWED,
                                                             "You may not make pools here: %s", why));
  pool_service_call_unref (permit->call);
  g_free (permit);
}

static void
handle_call (PoolBus *self, PoolServiceClient *client, DBusMessage *message)
{
  g_autoptr (PoolServiceCall) call = NULL;
  g_autoptr (GError) error = NULL;
  GUnixFDList *fds = NULL;
  GVariant *args;
  Token *token = g_new (Token, 1);

  token->bus = self;
  token->message = dbus_message_ref (message);
  pool_service_hold (self->service);
  args = pool_bus_value_read (message, &fds, &error);
  if (args == NULL)
    {
      fail (token, DBUS_ERROR_INVALID_ARGS, error->message);
      free_token (token);
      return;
    }
  call = pool_service_call_new (client, dbus_message_get_path (message), dbus_message_get_interface (message),
                                dbus_message_get_member (message), args, fds, &pool_bus_transport, token);
  if (self->is_system && (dbus_message_has_member (message, "CreatePool") || dbus_message_has_member (message, "StartAgent")))
    pool_bus_polkit_check (self->connection, client->name, POOL_BUS_POLKIT_CREATE, on_allowed, new_permit (self, call));
  else
    pool_service_handle (self->service, call);
}

/* --- peers --- */

static void
free_peer (gpointer data)
{
  Peer *peer = data;
  DBusMessage *message;

  while ((message = g_queue_pop_head (&peer->waiting)) != NULL)
    {
      dbus_message_unref (message);
      pool_service_release (peer->bus->service);
    }
  g_free (peer->name);
  g_free (peer);
}

/* Asks the bus; @notify gets the reply and @data. */
static void
ask (PoolBus *self, const char *method, const char *argument, DBusPendingCallNotifyFunction notify, void *data,
     DBusFreeFunction free_data)
{
  DBusMessage *message = dbus_message_new_method_call (DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, method);
  DBusPendingCall *pending = NULL;

  if (message != NULL && dbus_message_append_args (message, DBUS_TYPE_STRING, &argument, DBUS_TYPE_INVALID) &&
      dbus_connection_send_with_reply (self->connection, message, &pending, DBUS_TIMEOUT_INFINITE) && pending != NULL &&
      dbus_pending_call_set_notify (pending, notify, data, free_data))
    data = NULL;
  if (data != NULL && free_data != NULL)
    free_data (data);
  if (pending != NULL)
    dbus_pending_call_unref (pending);
  if (message != NULL)
    dbus_message_unref (message);
}

static void
on_all_watched (DBusPendingCall *pending, void *data)
{
  DBusMessage *answer = dbus_pending_call_steal_reply (pending);

  if (dbus_message_get_type (answer) == DBUS_MESSAGE_TYPE_ERROR)
    g_warning ("Clients that leave the bus will not be noticed: %s", dbus_message_get_error_name (answer));
  dbus_message_unref (answer);
}

/* A bus has a limit for the rules of a connection: past it all changes are listened to. */
static void
on_watched (DBusPendingCall *pending, void *data)
{
  PoolBus *self = data;
  DBusMessage *answer = dbus_pending_call_steal_reply (pending);

  if (dbus_message_get_type (answer) == DBUS_MESSAGE_TYPE_ERROR && !self->watches_all)
    {
      self->watches_all = TRUE;
      ask (self, "AddMatch",
           "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged'",
           on_all_watched, self, NULL);
    }
  dbus_message_unref (answer);
}

typedef struct
{
  PoolBus *bus;
  char *name;
} Question;

static void
free_question (void *data)
{
  Question *question = data;

  g_free (question->name);
  g_free (question);
}

static void
on_user (DBusPendingCall *pending, void *data)
{
  Question *question = data;
  PoolBus *self = question->bus;
  Peer *peer = g_hash_table_lookup (self->peers, question->name);
  DBusMessage *answer = dbus_pending_call_steal_reply (pending);
  DBusMessage *message;
  dbus_uint32_t uid;

  if (peer != NULL)
    {
      if (!dbus_message_get_args (answer, NULL, DBUS_TYPE_UINT32, &uid, DBUS_TYPE_INVALID))
        /* it has left already */
        g_hash_table_remove (self->peers, question->name);
      else
        {
          peer->client = pool_service_add_client (self->service, peer->name, uid);
          while ((message = g_queue_pop_head (&peer->waiting)) != NULL)
            {
              handle_call (self, peer->client, message);
              dbus_message_unref (message);
              pool_service_release (self->service);
            }
        }
    }
  dbus_message_unref (answer);
}

static Peer *
add_peer (PoolBus *self, const char *name)
{
  g_autofree char *rule = g_strdup_printf ("type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                                           "member='NameOwnerChanged',arg0='%s'",
                                           name);
  Peer *peer = g_new0 (Peer, 1);
  Question *question = g_new0 (Question, 1);

  peer->bus = self;
  peer->name = g_strdup (name);
  g_hash_table_insert (self->peers, peer->name, peer);
  question->bus = self;
  question->name = g_strdup (name);
  /* in this order: one that leaves before the rule holds is not found by the question */
  if (!self->watches_all)
    ask (self, "AddMatch", rule, on_watched, self, NULL);
  ask (self, "GetConnectionUnixUser", name, on_user, question, free_question);
  return peer;
}

static void
on_peer_left (PoolBus *self, const char *name)
{
  Peer *peer = g_hash_table_lookup (self->peers, name);
  g_autofree char *rule = NULL;

  if (peer == NULL)
    return;
  rule = g_strdup_printf ("type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                          "member='NameOwnerChanged',arg0='%s'",
                          name);
  dbus_bus_remove_match (self->connection, rule, NULL);
  if (peer->client != NULL)
    pool_service_remove_client (self->service, peer->client);
  g_hash_table_remove (self->peers, name);
}

static DBusHandlerResult
on_call (DBusConnection *connection, DBusMessage *message, void *data)
{
  PoolBus *self = data;
  const char *sender = dbus_message_get_sender (message);
  Peer *peer;

  if (dbus_message_get_type (message) != DBUS_MESSAGE_TYPE_METHOD_CALL || sender == NULL)
    return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
  self->n_calls++;
  peer = g_hash_table_lookup (self->peers, sender);
  if (peer == NULL)
    peer = add_peer (self, sender);
  if (peer->client != NULL)
    handle_call (self, peer->client, message);
  else
    {
      pool_service_hold (self->service);
      g_queue_push_tail (&peer->waiting, dbus_message_ref (message));
    }
  return DBUS_HANDLER_RESULT_HANDLED;
}

static DBusHandlerResult
on_message (DBusConnection *connection, DBusMessage *message, void *data)
{
  PoolBus *self = data;
  const char *name, *old, *new;

  if (dbus_message_is_signal (message, DBUS_INTERFACE_LOCAL, "Disconnected"))
    {
      self->done (self->done_data);
      return DBUS_HANDLER_RESULT_HANDLED;
    }
  if (dbus_message_is_signal (message, DBUS_INTERFACE_DBUS, "NameOwnerChanged") &&
      dbus_message_has_sender (message, DBUS_SERVICE_DBUS) &&
      dbus_message_get_args (message, NULL, DBUS_TYPE_STRING, &name, DBUS_TYPE_STRING, &old, DBUS_TYPE_STRING, &new,
                             DBUS_TYPE_INVALID) &&
      *new == '\0')
    on_peer_left (self, name);
  return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
}

/* --- life --- */

PoolBus *
pool_bus_open (gboolean system, GError **error)
{
  DBusError reason = DBUS_ERROR_INIT;
  DBusConnection *connection = dbus_bus_get_private (system ? DBUS_BUS_SYSTEM : DBUS_BUS_SESSION, &reason);
  PoolBus *self;

  if (connection == NULL)
    {
      bus_error (&reason, error);
      return NULL;
    }
  dbus_connection_set_exit_on_disconnect (connection, FALSE);
  self = g_new0 (PoolBus, 1);
  self->connection = connection;
  self->is_system = system;
  self->peers = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, free_peer);
  return self;
}

void
pool_bus_close (PoolBus *self)
{
  if (self == NULL)
    return;
  dbus_connection_flush (self->connection);
  dbus_connection_close (self->connection);
  g_hash_table_unref (self->peers);
  dbus_connection_unref (self->connection);
  g_free (self);
}

static gboolean
take_name (PoolBus *self, GError **error)
{
  DBusError reason = DBUS_ERROR_INIT;
  int answer = dbus_bus_request_name (self->connection, POOL_BUS_NAME, DBUS_NAME_FLAG_DO_NOT_QUEUE, &reason);

  if (answer < 0)
    return bus_error (&reason, error);
  if (answer == DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER || answer == DBUS_REQUEST_NAME_REPLY_ALREADY_OWNER)
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_EXISTS, POOL_BUS_NAME " belongs to another process");
  return FALSE;
}

/*
 * Leaves without losing a call. The bus hands out messages in order: what was sent to the name before it was given up has arrived
 * with the answer, and what is sent later starts the next service. If something has arrived, the name is taken again. The next
 * service, if there is one already, waits for the lock of the store with that, so that nobody else has the name.
 */
static void
on_idle (gpointer user_data)
{
  PoolBus *self = user_data;
  guint64 n_calls = self->n_calls;
  g_autoptr (GError) error = NULL;

  if (dbus_bus_release_name (self->connection, POOL_BUS_NAME, NULL) < 0)
    {
      self->done (self->done_data);
      return;
    }
  while (dbus_connection_dispatch (self->connection) == DBUS_DISPATCH_DATA_REMAINS)
    ;
  if (self->n_calls == n_calls && pool_service_is_idle (self->service))
    {
      self->done (self->done_data);
      return;
    }
  if (!take_name (self, &error))
    {
      g_warning ("%s", error->message);
      self->done (self->done_data);
      return;
    }
  pool_service_retry_idle (self->service);
}

gboolean
pool_bus_serve (PoolBus *self, PoolService *service, void (*done) (gpointer user_data), gpointer user_data, GError **error)
{
  static const DBusObjectPathVTable vtable = { .message_function = on_call };

  self->service = service;
  self->done = done;
  self->done_data = user_data;
  if (!dbus_connection_add_filter (self->connection, on_message, self, NULL) ||
      !dbus_connection_register_fallback (self->connection, "/", &vtable, self) ||
      !pool_bus_glue_attach (self->connection, NULL))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "There is no memory to listen to the bus");
      return FALSE;
    }
  /* everything is there that may be called */
  if (!take_name (self, error))
    return FALSE;
  pool_service_set_idle_func (service, on_idle, self);
  return TRUE;
}
