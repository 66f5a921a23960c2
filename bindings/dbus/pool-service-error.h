/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>

G_BEGIN_DECLS

/* What the service has to say beside what pools say; on the bus they are org.libpool.Service1.Error.NAME. */
#define POOL_SERVICE_ERROR (pool_service_error_quark ())

typedef enum
{
  POOL_SERVICE_ERROR_LIMIT_EXCEEDED, /* of the client or its user */
  POOL_SERVICE_ERROR_NOT_ALLOWED,    /* the task, the backend or the caller */
  POOL_SERVICE_ERROR_STORE,          /* durable jobs cannot be kept */
} PoolServiceError;

GQuark pool_service_error_quark (void);

/* The stable name of an error on the bus. */
char *pool_service_error_get_name (const GError *error);
/* In a client: GDBus makes what they were of the names. */
void pool_service_error_register (void);

G_END_DECLS
