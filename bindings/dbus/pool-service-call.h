/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-account.h"
#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* Who calls: a connection of the bus, and whose it is. */
typedef struct
{
  int ref_count;
  char *name; /* unique on the bus, and never used again */
  guint32 uid;
  gboolean gone;
  PoolServiceAccount *account;
  guint n_agents; /* of its own pool */
} PoolServiceClient;

PoolServiceClient *pool_service_client_new (const char *name, guint32 uid, const guint64 *limits, PoolServiceAccount *user);
PoolServiceClient *pool_service_client_ref (PoolServiceClient *self);
void pool_service_client_unref (PoolServiceClient *self);

typedef struct _PoolServiceCall PoolServiceCall;

/* What the service wants of the bus; everything else of it does not concern the service. */
typedef struct
{
  void (*reply) (gpointer token, GVariant *values, GUnixFDList *fds);
  void (*fail) (gpointer token, const char *name, const char *message);
  void (*free_token) (gpointer token);
  /* @destination: a client's name. @values: a floating tuple */
  void (*emit) (gpointer bus, const char *destination, const char *path, const char *interface, const char *signal,
                GVariant *values);
} PoolServiceTransport;

/* One call of a method: it is replied to once, at the latest when it is let go of. */
struct _PoolServiceCall
{
  int ref_count;
  PoolServiceClient *client;
  const char *path; /* the token's */
  const char *interface;
  const char *method;
  GVariant *args; /* a tuple */
  GUnixFDList *fds;

  const PoolServiceTransport *transport;
  gpointer token; /* NULL: it was replied to */
};

/* Takes @args, @fds and @token. @interface: NULL if the caller leaves it out */
PoolServiceCall *pool_service_call_new (PoolServiceClient *client, const char *path, const char *interface,
                                        const char *method, GVariant *args, GUnixFDList *fds,
                                        const PoolServiceTransport *transport, gpointer token);
PoolServiceCall *pool_service_call_ref (PoolServiceCall *self);
void pool_service_call_unref (PoolServiceCall *self);

/* @values: a tuple, floating or not; NULL: none */
void pool_service_call_reply (PoolServiceCall *self, GVariant *values, GUnixFDList *fds);
void pool_service_call_fail (PoolServiceCall *self, const GError *error);
/* @error: taken */
void pool_service_call_take_error (PoolServiceCall *self, GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolServiceClient, pool_service_client_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolServiceCall, pool_service_call_unref)

G_END_DECLS
