/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-bus-polkit.h"

#include "pool-bus-value.h"

/* The one call of polkit that is needed; its library would bring GDBus and a thread. */

#define ALLOW_INTERACTION 1

typedef struct
{
  PoolBusPolkitFunc func;
  gpointer user_data;
} Question;

static void
on_answer (DBusPendingCall *pending, void *data)
{
  Question *question = data;
  DBusMessage *answer = dbus_pending_call_steal_reply (pending);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) values = pool_bus_value_read (answer, &fds, NULL);
  gboolean is_allowed = FALSE;

  if (dbus_message_get_type (answer) == DBUS_MESSAGE_TYPE_ERROR)
    /* no polkit, no permission */
    question->func (FALSE, dbus_message_get_error_name (answer), question->user_data);
  else
    {
      if (values != NULL && g_variant_is_of_type (values, G_VARIANT_TYPE ("((bba{ss}))")))
        g_variant_get (values, "((bb@a{ss}))", &is_allowed, NULL, NULL);
      question->func (is_allowed, "polkit does not allow it", question->user_data);
    }
  dbus_message_unref (answer);
}

void
pool_bus_polkit_check (DBusConnection *connection, const char *sender, const char *action, PoolBusPolkitFunc func,
                       gpointer user_data)
{
  DBusMessage *message = dbus_message_new_method_call ("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                                                       "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
  g_autoptr (GVariant) values = g_variant_ref_sink (
      g_variant_new_parsed ("(('system-bus-name', {'name': <%s>}), %s, @a{ss} {}, %u, '')", sender, action, ALLOW_INTERACTION));
  DBusPendingCall *pending = NULL;
  Question *question = g_new (Question, 1);

  question->func = func;
  question->user_data = user_data;
  if (message == NULL || !pool_bus_value_append (message, values, NULL) ||
      !dbus_connection_send_with_reply (connection, message, &pending, DBUS_TIMEOUT_INFINITE) || pending == NULL ||
      !dbus_pending_call_set_notify (pending, on_answer, question, g_free))
    {
      func (FALSE, "polkit cannot be asked", user_data);
      g_free (question);
    }
  if (pending != NULL)
    dbus_pending_call_unref (pending);
  if (message != NULL)
    dbus_message_unref (message);
}
