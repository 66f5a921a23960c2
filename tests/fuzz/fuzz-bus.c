/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "fuzz-parse.h"

#include "pool-bus-value.h"
#include "pool-service-interface.h"
#include "pool-service-value.h"
#include "pool-service-work.h"

#include <string.h>

/*
 * What a client can send: a message of D-Bus becomes arguments, which are checked, and work for a pool with its options and its values.
 * What was read is written into a message again, and read again, the same.
 */

static void
check_round_trip (GVariant *args)
{
  DBusMessage *message = dbus_message_new (DBUS_MESSAGE_TYPE_METHOD_RETURN);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) again = NULL;

  if (pool_bus_value_append (message, args, NULL))
    {
      again = pool_bus_value_read (message, &fds, NULL);
      g_assert_nonnull (again);
      /* a number that is none is not equal to itself, but is written in the same way */
      g_assert_cmpmem (g_variant_get_data (again), g_variant_get_size (again), g_variant_get_data (args),
                       g_variant_get_size (args));
    }
  dbus_message_unref (message);
}

/* Everything that Apply and Map do before a pool is asked. */
static void
check_work (PoolServiceKind kind, GVariant *args)
{
  g_autoptr (GVariant) variant = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (PoolServiceWork) work = NULL;
  g_autoptr (GError) error = NULL;
  const char *task;

  g_variant_get (args, "(&s@v@a{sv})", &task, &variant, &options);
  work = pool_service_work_new (NULL, kind, task, variant, options, NULL, &error);
  if (work == NULL)
    {
      g_assert_true (error->domain == POOL_ERROR || error->domain == G_IO_ERROR);
      return;
    }
  g_assert_no_error (error);
  g_assert_true (g_variant_is_of_type (work->args, kind == POOL_SERVICE_APPLY ? G_VARIANT_TYPE_TUPLE : G_VARIANT_TYPE_ARRAY));
}

/* What a task may return is given to a message or to a memfd. */
static void
check_result (GVariant *value)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) sunk = NULL;
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GError) error = NULL;
  GVariant *variant;

  g_assert_true (pool_service_value_give (value, FALSE, &variant, &fds, &error));
  sunk = g_variant_ref_sink (variant);
  if (fds == NULL)
    return;
  back = pool_service_value_take (sunk, fds, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (back), ==, g_variant_get_type_string (value));
}

static void
check_message (DBusMessage *message)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) args = pool_bus_value_read (message, &fds, &error);
  const char *interface = dbus_message_get_interface (message), *method = dbus_message_get_member (message);

  if (args == NULL)
    {
      g_assert_nonnull (error);
      return;
    }
  g_assert_true (g_variant_is_normal_form (args));
  g_assert_true (g_variant_is_of_type (args, G_VARIANT_TYPE_TUPLE));
  check_round_trip (args);
  check_result (args);
  if (interface != NULL && method != NULL)
    pool_service_interface_check (interface, method, args, NULL);
  if (g_variant_is_of_type (args, G_VARIANT_TYPE ("(sva{sv})")))
    {
      check_work (POOL_SERVICE_APPLY, args);
      check_work (POOL_SERVICE_MAP, args);
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  DBusMessage *message = size > 0 && size <= G_MAXINT ? dbus_message_demarshal ((const char *) data, (int) size, NULL) : NULL;

  if (message != NULL)
    {
      check_message (message);
      dbus_message_unref (message);
    }
  return 0;
}
