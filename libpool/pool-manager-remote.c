/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-error.h"

/* What a pool whose workers may be on other machines is set up with. */

enum
{
  PROP_ENDPOINT = POOL_MANAGER_REMOTE,
  PROP_LAUNCHER,
  PROP_KEY_FILE,
  PROP_ALLOWED_KEYS,
  PROP_AGENT_KEY_FILE,
  PROP_AGENT_COMMAND,
  PROP_PROCESSES_PER_AGENT,
  PROP_HEARTBEAT,
  PROP_N_REFUSED,
};

static char **
find_string (PoolManager *self, guint prop_id)
{
  PoolRemoteConfig *remote = &self->engine->settings.remote;

  switch (prop_id)
    {
    case PROP_ENDPOINT:
      return &remote->endpoint;
    case PROP_LAUNCHER:
      return &remote->launcher;
    case PROP_KEY_FILE:
      return &remote->key_file;
    case PROP_ALLOWED_KEYS:
      return &remote->allowed_keys;
    case PROP_AGENT_KEY_FILE:
      return &remote->agent_key_file;
    case PROP_AGENT_COMMAND:
      return &remote->agent_command;
    default:
      return NULL;
    }
}

void
pool_manager_get_remote (PoolManager *self, guint prop_id, GValue *value)
{
  PoolRemoteConfig *remote = &self->engine->settings.remote;
  char **string = find_string (self, prop_id);

  if (prop_id == PROP_ENDPOINT)
    {
      /* the backend may have found out more of it, at the start */
      pool_engine_lock (self->engine);
      g_value_set_string (value, remote->bound != NULL ? remote->bound : remote->endpoint);
      pool_engine_unlock (self->engine);
    }
  else if (string != NULL)
    g_value_set_string (value, *string);
  else if (prop_id == PROP_PROCESSES_PER_AGENT)
    g_value_set_uint (value, remote->processes_per_agent);
  else if (prop_id == PROP_N_REFUSED)
    {
      pool_engine_lock (self->engine);
      g_value_set_uint64 (value, remote->n_refused);
      pool_engine_unlock (self->engine);
    }
  else
    g_value_set_double (value, remote->heartbeat);
}

void
pool_manager_set_remote (PoolManager *self, guint prop_id, const GValue *value)
{
  PoolRemoteConfig *remote = &self->engine->settings.remote;
  char **string = find_string (self, prop_id);

  if (string != NULL)
    {
      g_free (*string);
      *string = g_value_dup_string (value);
    }
  else if (prop_id == PROP_PROCESSES_PER_AGENT)
    remote->processes_per_agent = g_value_get_uint (value);
  else
    remote->heartbeat = g_value_get_double (value);
}

/* One that a backend without agents would ignore. */
gboolean
pool_manager_check_remote (PoolManager *self, PoolBackendFlags flags, GError **error)
{
  static const struct
  {
    guint prop_id;
    const char *name;
  } strings[] = { { PROP_ENDPOINT, "endpoint" },
                  { PROP_LAUNCHER, "launcher" },
                  { PROP_KEY_FILE, "key-file" },
                  { PROP_ALLOWED_KEYS, "allowed-keys" },
                  { PROP_AGENT_KEY_FILE, "agent-key-file" },
                  { PROP_AGENT_COMMAND, "agent-command" } };

  for (guint i = 0; i < G_N_ELEMENTS (strings) && !(flags & POOL_BACKEND_REMOTE); i++)
    if (*find_string (self, strings[i].prop_id) != NULL)
      {
        g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                     "Workers of the backend \"%s\" are all on this machine, so %s does not go with it: take a backend "
                     "with workers elsewhere, such as zmq",
                     self->backend, strings[i].name);
        return FALSE;
      }
  return TRUE;
}

void
pool_manager_install_remote (GObjectClass *klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:endpoint:
   *
   * Where agents connect to the pool, for backends with workers on other machines: `tcp://ADDRESS:PORT`, with `*` for any
   * address or port, or `ipc:///PATH`. %NULL: a socket in a directory that only this user can enter, so that no other
   * machine and no other user can. A `tcp` endpoint needs [property@Manager:key-file] and [property@Manager:allowed-keys].
   * Once the pool has started this is the address that agents are to be given. For backends whose workers are all on this
   * machine any of these properties makes [method@Manager.start] fail.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_ENDPOINT, g_param_spec_string ("endpoint", NULL, NULL, NULL, flags));

  /**
   * PoolManager:launcher:
   *
   * Who starts agents: `local` (this program; the default without an endpoint), `ssh:HOST,…`, `slurm` or `slurm:OPTIONS`
   * of `srun`, `command:TEMPLATE`, in which `{command}` stands for the agent's command line as one word, `{argv}` for its words,
   * `{n}` for the number of workers; or `none` (the default with an endpoint): agents come by themselves, by `pool worker
   * --connect`. Then the number of workers is what they bring, and [property@Manager:processes] is only a guess at it.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_LAUNCHER, g_param_spec_string ("launcher", NULL, NULL, NULL, flags));

  /**
   * PoolManager:key-file:
   *
   * The file of the pool's own CURVE keys, as `pool keygen` makes it.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_KEY_FILE, g_param_spec_string ("key-file", NULL, NULL, NULL, flags));

  /**
   * PoolManager:allowed-keys:
   *
   * The public keys of the agents that may connect: a file with one in each line, or a directory of `*.pub` files. It is read
   * again when it has changed.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_ALLOWED_KEYS,
                                   g_param_spec_string ("allowed-keys", NULL, NULL, NULL, flags));

  /**
   * PoolManager:agent-key-file:
   *
   * The file of an agent's own keys on its machine, for agents that a launcher starts elsewhere.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_AGENT_KEY_FILE,
                                   g_param_spec_string ("agent-key-file", NULL, NULL, NULL, flags));

  /**
   * PoolManager:agent-command:
   *
   * The program `pool` on the machines of a launcher, where it is not found by that name.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_AGENT_COMMAND,
                                   g_param_spec_string ("agent-command", NULL, NULL, NULL, flags));

  /**
   * PoolManager:processes-per-agent:
   *
   * How many workers a launcher gives to an agent, at most. 0: all that are to be made at a time.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_PROCESSES_PER_AGENT,
                                   g_param_spec_uint ("processes-per-agent", NULL, NULL, 0, 4000, 0, flags));

  /**
   * PoolManager:heartbeat:
   *
   * How often agents on other machines are asked whether they are there, in seconds; one that has not answered three times
   * is lost, and its tasks are run elsewhere. Who copies or sends a value of more than 16 MiB is waited for a second longer for
   * each 8 MiB. 0: never, so that only a connection that ends is noticed.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_HEARTBEAT,
                                   g_param_spec_double ("heartbeat", NULL, NULL, 0, 3600, 1, flags));

  /**
   * PoolManager:n-refused:
   *
   * How often somebody was not let in by [property@Manager:endpoint], because of a key or the lack of one, or sent what is no
   * message of an agent and was cut off. The pool goes on.
   *
   * Since: 1.0
   */
  g_object_class_install_property (klass, PROP_N_REFUSED,
                                   g_param_spec_uint64 ("n-refused", NULL, NULL, 0, G_MAXUINT64, 0,
                                                        G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}
