/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dbus/dbus.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The round trip of a call of the service beside that of a bare echo by libdbus, on one bus.
 *   bench-service echo            the bare one: owns org.libpool.Echo, until it is killed
 *   bench-service call POOL N     N calls of each, in turn; prints the two medians in µs
 */

static int
serve (DBusConnection *bus)
{
  while (dbus_connection_read_write (bus, -1))
    {
      DBusMessage *message;

      while ((message = dbus_connection_pop_message (bus)) != NULL)
        {
          if (dbus_message_is_method_call (message, "org.libpool.Echo", "Echo"))
            {
              DBusMessage *reply = dbus_message_new_method_return (message);
              DBusMessageIter in, variant, tuple, out, inner;
              const char *task, *text;

              /* it reads and writes what Apply does */
              dbus_message_iter_init (message, &in);
              dbus_message_iter_get_basic (&in, &task);
              dbus_message_iter_next (&in);
              dbus_message_iter_recurse (&in, &variant);
              dbus_message_iter_recurse (&variant, &tuple);
              dbus_message_iter_get_basic (&tuple, &text);
              dbus_message_iter_init_append (reply, &out);
              dbus_message_iter_open_container (&out, DBUS_TYPE_VARIANT, "s", &inner);
              dbus_message_iter_append_basic (&inner, DBUS_TYPE_STRING, &text);
              dbus_message_iter_close_container (&out, &inner);
              dbus_connection_send (bus, reply, NULL);
              dbus_connection_flush (bus);
              dbus_message_unref (reply);
            }
          dbus_message_unref (message);
        }
    }
  return EXIT_SUCCESS;
}

static DBusMessage *
make_call (const char *name, const char *path, const char *interface, const char *method)
{
  DBusMessage *message = dbus_message_new_method_call (name, path, interface, method);
  DBusMessageIter iter, variant, tuple, options;
  const char *task = "debug.echo", *text = "hello";

  dbus_message_iter_init_append (message, &iter);
  dbus_message_iter_append_basic (&iter, DBUS_TYPE_STRING, &task);
  dbus_message_iter_open_container (&iter, DBUS_TYPE_VARIANT, "(s)", &variant);
  dbus_message_iter_open_container (&variant, DBUS_TYPE_STRUCT, NULL, &tuple);
  dbus_message_iter_append_basic (&tuple, DBUS_TYPE_STRING, &text);
  dbus_message_iter_close_container (&variant, &tuple);
  dbus_message_iter_close_container (&iter, &variant);
  dbus_message_iter_open_container (&iter, DBUS_TYPE_ARRAY, "{sv}", &options);
  dbus_message_iter_close_container (&iter, &options);
  return message;
}

static double
time_call (DBusConnection *bus, const char *name, const char *path, const char *interface, const char *method)
{
  DBusError error = DBUS_ERROR_INIT;
  gint64 start = g_get_monotonic_time ();
  DBusMessage *message = make_call (name, path, interface, method);
  DBusMessage *reply = dbus_connection_send_with_reply_and_block (bus, message, 60000, &error);
  double time = (double) (g_get_monotonic_time () - start);

  dbus_message_unref (message);
  if (reply == NULL)
    {
      fprintf (stderr, "%s: %s\n", error.name, error.message);
      exit (EXIT_FAILURE);
    }
  dbus_message_unref (reply);
  return time;
}

static int
compare (const void *a, const void *b)
{
  double one = *(const double *) a, other = *(const double *) b;

  return one < other ? -1 : one > other;
}

static int
call (DBusConnection *bus, const char *pool, guint n)
{
  g_autofree double *bare = g_new (double, n);
  g_autofree double *ours = g_new (double, n);

  for (guint i = 0; i < n; i++)
    {
      bare[i] = time_call (bus, "org.libpool.Echo", "/", "org.libpool.Echo", "Echo");
      ours[i] = time_call (bus, "org.libpool.Service1", pool, "org.libpool.Service1.Pool", "Apply");
    }
  qsort (bare, n, sizeof *bare, compare);
  qsort (ours, n, sizeof *ours, compare);
  printf ("%.1f %.1f\n", bare[n / 2], ours[n / 2]);
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusConnection *bus = dbus_bus_get (DBUS_BUS_SESSION, &error);

  if (bus == NULL)
    {
      fprintf (stderr, "%s\n", error.message);
      return EXIT_FAILURE;
    }
  if (argc == 2 && g_str_equal (argv[1], "echo"))
    {
      if (dbus_bus_request_name (bus, "org.libpool.Echo", 0, NULL) != DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER)
        return EXIT_FAILURE;
      printf ("ready\n");
      fflush (stdout);
      return serve (bus);
    }
  if (argc == 4 && g_str_equal (argv[1], "call"))
    return call (bus, argv[2], (guint) MAX (strtoul (argv[3], NULL, 10), 1));
  fprintf (stderr, "bench-service echo | call POOL N\n");
  return 2;
}
