/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-call.h"

#include "pool-service-error.h"

PoolServiceClient *
pool_service_client_new (const char *name, guint32 uid, const guint64 *limits, PoolServiceAccount *user)
{
  PoolServiceClient *self = g_new0 (PoolServiceClient, 1);

  self->ref_count = 1;
  self->name = g_strdup (name);
  self->uid = uid;
  self->account = pool_service_account_new ("client", limits, user);
  return self;
}

PoolServiceClient *
pool_service_client_ref (PoolServiceClient *self)
{
  self->ref_count++;
  return self;
}

void
pool_service_client_unref (PoolServiceClient *self)
{
  if (self == NULL || --self->ref_count > 0)
    return;
  pool_service_account_unref (self->account);
  g_free (self->name);
  g_free (self);
}

PoolServiceCall *
pool_service_call_new (PoolServiceClient *client, const char *path, const char *interface, const char *method,
                       GVariant *args, GUnixFDList *fds, const PoolServiceTransport *transport, gpointer token)
{
  PoolServiceCall *self = g_new0 (PoolServiceCall, 1);

  self->ref_count = 1;
  self->client = pool_service_client_ref (client);
  self->path = path;
  self->interface = interface;
  self->method = method;
  self->args = args;
  self->fds = fds;
  self->transport = transport;
  self->token = token;
  return self;
}

PoolServiceCall *
pool_service_call_ref (PoolServiceCall *self)
{
  self->ref_count++;
  return self;
}

static void
end (PoolServiceCall *self)
{
  self->transport->free_token (g_steal_pointer (&self->token));
  self->path = self->interface = self->method = NULL;
}

void
pool_service_call_unref (PoolServiceCall *self)
{
  if (self == NULL || --self->ref_count > 0)
    return;
  if (self->token != NULL)
    {
      g_autoptr (GError) error =
          g_error_new_literal (POOL_ERROR, POOL_ERROR_TERMINATED, "The pool or job has ended before the call did");

      pool_service_call_fail (self, error);
    }
  pool_service_client_unref (self->client);
  g_variant_unref (self->args);
  g_clear_object (&self->fds);
  g_free (self);
}

void
pool_service_call_reply (PoolServiceCall *self, GVariant *values, GUnixFDList *fds)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (values != NULL ? values : g_variant_new_tuple (NULL, 0));

  g_return_if_fail (self->token != NULL);
  self->transport->reply (self->token, sunk, fds);
  end (self);
}

void
pool_service_call_fail (PoolServiceCall *self, const GError *error)
{
  g_autofree char *name = pool_service_error_get_name (error);

  g_return_if_fail (self->token != NULL);
  self->transport->fail (self->token, name, error->message);
  end (self);
}

void
pool_service_call_take_error (PoolServiceCall *self, GError *error)
{
  pool_service_call_fail (self, error);
  g_error_free (error);
}
