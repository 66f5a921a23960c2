/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-call.h"

G_BEGIN_DECLS

typedef struct _PoolService PoolService;
typedef struct _PoolServiceObject PoolServiceObject;

typedef struct
{
  const char *name;
  void (*func) (PoolServiceObject *self, PoolServiceCall *call);
} PoolServiceMethod;

typedef struct
{
  const char *interface;
  const PoolServiceMethod *methods; /* those of the interface; the last has no name */
  GVariant *(*get_property) (PoolServiceObject *self, const char *name);
  void (*finalize) (PoolServiceObject *self);
} PoolServiceObjectClass;

/* What can be called: the service, a pool or a job. To be the first member of its struct. */
struct _PoolServiceObject
{
  int ref_count;
  const PoolServiceObjectClass *klass;
  PoolService *service;
  char *path;
  guint64 id;
  guint32 uid;              /* of its user */
  PoolServiceClient *owner; /* NULL: all clients of its user may see it; the service itself is for everybody */
  gboolean is_exported;
};

void pool_service_object_init (PoolServiceObject *self, const PoolServiceObjectClass *klass, PoolService *service,
                               const char *path);
gpointer pool_service_object_ref (gpointer self);
void pool_service_object_unref (gpointer self);

/* Handles a call whose method and arguments were checked. */
void pool_service_object_handle (PoolServiceObject *self, PoolServiceCall *call);
/* Of the interface's own properties; floating: a{sv} */
GVariant *pool_service_object_get_properties (PoolServiceObject *self);

/* To whoever may see it. */
void pool_service_object_emit (gpointer self, const char *signal, GVariant *values);
/* @names: (array zero-terminated=1) */
void pool_service_object_notify (gpointer self, const char *const *names);

G_END_DECLS
