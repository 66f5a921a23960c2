/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-interface.h"

typedef struct
{
  GDBusNodeInfo *node;
  char *xml;
  char **properties;
} Interface;

/* What the specification of D-Bus says that the standard interfaces are. */
static const char standard[] =
    "<node>"
    "  <interface name='org.freedesktop.DBus.Properties'>"
    "    <method name='Get'>"
    "      <arg name='interface' type='s' direction='in'/>"
    "      <arg name='property' type='s' direction='in'/>"
    "      <arg name='value' type='v' direction='out'/>"
    "    </method>"
    "    <method name='Set'>"
    "      <arg name='interface' type='s' direction='in'/>"
    "      <arg name='property' type='s' direction='in'/>"
    "      <arg name='value' type='v' direction='in'/>"
    "    </method>"
    "    <method name='GetAll'>"
    "      <arg name='interface' type='s' direction='in'/>"
    "      <arg name='properties' type='a{sv}' direction='out'/>"
    "    </method>"
    "    <signal name='PropertiesChanged'>"
    "      <arg name='interface' type='s'/>"
    "      <arg name='changed' type='a{sv}'/>"
    "      <arg name='invalidated' type='as'/>"
    "    </signal>"
    "  </interface>"
    "  <interface name='org.freedesktop.DBus.Introspectable'>"
    "    <method name='Introspect'>"
    "      <arg name='xml' type='s' direction='out'/>"
    "    </method>"
    "  </interface>"
    "</node>";

static const char object_manager[] =
    "<node>"
    "  <interface name='org.freedesktop.DBus.ObjectManager'>"
    "    <method name='GetManagedObjects'>"
    "      <arg name='objects' type='a{oa{sa{sv}}}' direction='out'/>"
    "    </method>"
    "    <signal name='InterfacesAdded'>"
    "      <arg name='path' type='o'/>"
    "      <arg name='interfaces' type='a{sa{sv}}'/>"
    "    </signal>"
    "    <signal name='InterfacesRemoved'>"
    "      <arg name='path' type='o'/>"
    "      <arg name='interfaces' type='as'/>"
    "    </signal>"
    "  </interface>"
    "</node>";

/* Compiled in, so that it is there and right, or the program is broken. */
static GDBusNodeInfo *
parse (const char *xml)
{
  g_autoptr (GError) error = NULL;
  GDBusNodeInfo *node = g_dbus_node_info_new_for_xml (xml, &error);

  if (node == NULL)
    g_error ("%s", error->message);
  return node;
}

static Interface *
load (const char *name)
{
  g_autofree char *path = g_strdup_printf ("/org/libpool/Service1/%s.xml", name);
  g_autoptr (GBytes) bytes = g_resources_lookup_data (path, G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
  g_autoptr (GPtrArray) properties = g_ptr_array_new ();
  Interface *self;

  if (bytes == NULL)
    return NULL;
  self = g_new0 (Interface, 1);
  self->xml = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  self->node = parse (self->xml);
  for (GDBusPropertyInfo **p = self->node->interfaces[0]->properties; p != NULL && *p != NULL; p++)
    g_ptr_array_add (properties, g_strdup ((*p)->name));
  g_ptr_array_add (properties, NULL);
  self->properties = (char **) g_ptr_array_free (g_steal_pointer (&properties), FALSE);
  return self;
}

static Interface *
get_ours (const char *name)
{
  static GHashTable *loaded;
  Interface *self;

  if (loaded == NULL)
    loaded = g_hash_table_new (g_str_hash, g_str_equal);
  self = g_hash_table_lookup (loaded, name);
  if (self == NULL && (self = load (name)) != NULL)
    g_hash_table_insert (loaded, g_strdup (name), self);
  return self;
}

static GDBusNodeInfo *
get_node (const char *which)
{
  static GDBusNodeInfo *nodes[2];
  guint i = which == object_manager;

  if (nodes[i] == NULL)
    nodes[i] = parse (which);
  return nodes[i];
}

static GDBusInterfaceInfo *
find (const char *name)
{
  GDBusInterfaceInfo *found = g_dbus_node_info_lookup_interface (get_node (standard), name);
  Interface *ours;

  if (found == NULL)
    found = g_dbus_node_info_lookup_interface (get_node (object_manager), name);
  if (found == NULL && (ours = get_ours (name)) != NULL)
    found = ours->node->interfaces[0];
  return found;
}

gboolean
pool_service_interface_has_method (const char *interface, const char *method)
{
  GDBusInterfaceInfo *info = find (interface);

  return info != NULL && g_dbus_interface_info_lookup_method (info, method) != NULL;
}

gboolean
pool_service_interface_check (const char *interface, const char *method, GVariant *args, GError **error)
{
  GDBusInterfaceInfo *info = find (interface);
  GDBusMethodInfo *found = info != NULL ? g_dbus_interface_info_lookup_method (info, method) : NULL;
  g_autoptr (GString) signature = g_string_new ("(");

  if (found == NULL)
    {
      g_set_error (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD, "There is no method %s in %s", method, interface);
      return FALSE;
    }
  for (GDBusArgInfo **arg = found->in_args; arg != NULL && *arg != NULL; arg++)
    g_string_append (signature, (*arg)->signature);
  g_string_append_c (signature, ')');
  if (g_str_equal (signature->str, g_variant_get_type_string (args)))
    return TRUE;
  g_set_error (error, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS, "%s takes %s, not %s", method, signature->str,
               g_variant_get_type_string (args));
  return FALSE;
}

gboolean
pool_service_interface_has_property (const char *interface, const char *property)
{
  GDBusInterfaceInfo *info = find (interface);

  return info != NULL && g_dbus_interface_info_lookup_property (info, property) != NULL;
}

const char *const *
pool_service_interface_list_properties (const char *interface)
{
  Interface *ours = get_ours (interface);

  return ours != NULL ? (const char *const *) ours->properties : NULL;
}

char *
pool_service_interface_introspect (const char *interface, const char *const *children)
{
  g_autoptr (GString) xml = g_string_new ("<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n"
                                          "\"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n");
  Interface *ours = interface != NULL ? get_ours (interface) : NULL;

  if (ours != NULL)
    g_dbus_interface_info_generate_xml (ours->node->interfaces[0], 2, xml);
  for (GDBusInterfaceInfo **p = get_node (standard)->interfaces; *p != NULL; p++)
    g_dbus_interface_info_generate_xml (*p, 2, xml);
  if (interface != NULL && g_str_equal (interface, POOL_SERVICE_INTERFACE))
    g_dbus_interface_info_generate_xml (get_node (object_manager)->interfaces[0], 2, xml);
  for (; children != NULL && *children != NULL; children++)
    g_string_append_printf (xml, "  <node name=\"%s\"/>\n", *children);
  g_string_append (xml, "</node>\n");
  return g_string_free (g_steal_pointer (&xml), FALSE);
}
