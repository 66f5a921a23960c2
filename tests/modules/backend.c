/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A backend module that does nothing, and what may be wrong with one: the build says which (MODULE_…).
 */

#include "libpool/libpool-backend.h"

#include <gmodule.h>

#ifndef MODULE_ABI
#define MODULE_ABI POOL_BACKEND_ABI
#endif
#ifndef MODULE_TYPE
#define MODULE_TYPE test_backend_get_type
#endif
#ifndef MODULE_IS_AVAILABLE
#define MODULE_IS_AVAILABLE NULL
#endif
#ifndef MODULE_INFO
#define MODULE_INFO &module
#endif
#ifndef MODULE_ENTRY_POINT
#define MODULE_ENTRY_POINT pool_backend_module_query
#endif

typedef PoolBackend TestBackend;
typedef PoolBackendClass TestBackendClass;

GType test_backend_get_type (void);
gboolean test_backend_is_available (GError **error);
G_MODULE_EXPORT const PoolBackendModule *MODULE_ENTRY_POINT (void);
#ifdef MODULE_NEEDS
extern gboolean MODULE_NEEDS (GError **error);
#undef MODULE_IS_AVAILABLE
#define MODULE_IS_AVAILABLE MODULE_NEEDS
#endif

G_DEFINE_TYPE (TestBackend, test_backend, POOL_TYPE_BACKEND)

static void
test_backend_class_init (TestBackendClass *klass)
{
}

static void
test_backend_init (TestBackend *self)
{
}

gboolean
test_backend_is_available (GError **error)
{
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_BACKEND, "This machine has no abacus");
  return FALSE;
}

static const PoolBackendModule module G_GNUC_UNUSED = {
  .abi = MODULE_ABI,
  .name = MODULE_NAME,
  .description = "does nothing",
  .get_type = MODULE_TYPE,
  .is_available = MODULE_IS_AVAILABLE,
};

G_MODULE_EXPORT const PoolBackendModule *
MODULE_ENTRY_POINT (void)
{
  return MODULE_INFO;
}
