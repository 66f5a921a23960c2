/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-backend.h"

G_BEGIN_DECLS

/*
 * Who may connect over a network: CURVE (https://rfc.zeromq.org/spec/26/), by which both sides prove that they have their
 * keys and all is encrypted; and a list of the agents' keys that are let in, which ZeroMQ asks for by ZAP
 * (https://rfc.zeromq.org/spec/27/). Without both a pool does not listen.
 */
typedef struct _PoolZmqSecurity PoolZmqSecurity;

/* Before @socket is bound. NULL with POOL_ERROR_AUTHENTICATION: what is missing, and how to come by it. */
PoolZmqSecurity *pool_zmq_security_new (void *context, void *socket, const PoolRemoteConfig *config, GError **error);
/* Before the socket that it is for is closed. */
void pool_zmq_security_free (PoolZmqSecurity *self);
/* As text. */
const char *pool_zmq_security_get_public_key (PoolZmqSecurity *self);
#define POOL_ZMQ_SECURITY_FDS 2
void pool_zmq_security_get_fds (PoolZmqSecurity *self, int *fds);
/* To be asked before every wait for the descriptors. */
gboolean pool_zmq_security_has_message (PoolZmqSecurity *self);
/* Answers who asks to be let in. Returns how many were not. */
guint pool_zmq_security_dispatch (PoolZmqSecurity *self);

/* Before an agent's socket is connected. @server_key: 40 characters, or a file. */
gboolean pool_zmq_security_set_up_agent (void *socket, const char *server_key, const char *key_file, GError **error);

G_END_DECLS
