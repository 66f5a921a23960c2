/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zmq-security.h"
PoolZmqSecurity *pool_zmq_security_new (void *context, void *socket, const PoolRemoteConfig *config, GError **error) { g_set_error (error, POOL_ERROR, POOL_ERROR_AUTHENTICATION, "no keys"); return NULL; }
void pool_zmq_security_free (PoolZmqSecurity *self) {}
const char *pool_zmq_security_get_public_key (PoolZmqSecurity *self) { return NULL; }
int pool_zmq_security_get_fd (PoolZmqSecurity *self) { return -1; }
gboolean pool_zmq_security_has_message (PoolZmqSecurity *self) { return FALSE; }
void pool_zmq_security_dispatch (PoolZmqSecurity *self) {}
guint pool_zmq_security_get_n_refused (PoolZmqSecurity *self) { return 0; }
gboolean pool_zmq_security_set_up_agent (void *socket, const char *server_key, const char *key_file, GError **error) { return FALSE; }
