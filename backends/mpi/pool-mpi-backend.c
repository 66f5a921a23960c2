/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-agent.h"
#include "pool-mpi-bridge.h"
#include "pool-mpi-process.h"

#include "libpool/pool-copy-private.h"
#include "libpool/pool-error.h"
#include "libpool/pool-ranks-private.h"
#include "libpool/pool-remote-backend-private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The pool's side: nothing of an MPI, but a process that has it. */

/* Frames that are taken of one link in one go, so that other things get their turn; and links. */
#define RECEIVE_MAX 256
#define READY_MAX 64

typedef struct
{
  PoolRemoteBackend parent_instance;

  PoolMpiProcess *process; /* NULL: not open */
  gboolean is_rank; /* it is that of rank 0, and stays */
  char *how_ended;  /* of the process */
  guint n_places;   /* ranks that are no agents yet */
  int epoll_fd;     /* of the links, and of what the process says */
  GHashTable *links; /* peer → AgentLink, owned */
  gboolean has_left; /* more may have come than was received */
  GPtrArray *parts; /* of the frame that is being received */
} PoolMpiBackend;

/* To an agent on this machine. */
typedef struct
{
  PoolMpiLink link; /* the first, so that it is this */
  guint peer;
} AgentLink;

typedef PoolRemoteBackendClass PoolMpiBackendClass;

static GType pool_mpi_backend_get_type (void);

G_DEFINE_FINAL_TYPE (PoolMpiBackend, pool_mpi_backend, POOL_TYPE_REMOTE_BACKEND)

static PoolMpiBackend *
cast (gpointer self)
{
  return self;
}

/* --- opening --- */

/* "spawn", with KEY=VALUE for the MPI behind it, or "ranks". */
static gboolean
read_launcher (const char *launcher, gboolean *spawns, char ***info, GError **error)
{
  const char *rest = launcher != NULL && g_str_has_prefix (launcher, "spawn:") ? launcher + strlen ("spawn:") : "";

  *spawns = launcher != NULL && !g_str_equal (launcher, "ranks");
  *info = NULL;
  if (launcher == NULL || g_str_equal (launcher, "ranks") || g_str_equal (launcher, "spawn"))
    return TRUE;
  if (*rest != '\0' && g_shell_parse_argv (rest, NULL, info, NULL))
    {
      gboolean ok = TRUE;

      for (char **word = *info; *word != NULL; word++)
        ok &= strchr (*word, '=') != NULL && **word != '=';
      if (ok)
        return TRUE;
      g_strfreev (*info);
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "The launcher of a pool of MPI ranks is \"ranks\", \"spawn\" or \"spawn:KEY=VALUE …\" with keys of MPI_Info, such "
               "as \"spawn:host=a,b wdir=/tmp\"; not \"%s\"",
               launcher);
  return FALSE;
}

static gboolean
find_process (PoolMpiBackend *self, GError **error)
{
  const PoolRemoteConfig *config = POOL_REMOTE_BACKEND (self)->config->remote;
  g_auto (GStrv) info = NULL;
  const char *unused = config->endpoint != NULL         ? "endpoint"
                       : config->key_file != NULL       ? "key-file"
                       : config->allowed_keys != NULL   ? "allowed-keys"
                       : config->agent_key_file != NULL ? "agent-key-file"
                       : config->agent_command != NULL  ? "agent-command"
                                                        : NULL;
  PoolRanks ranks = { 0 };
  gboolean spawns, is_job = pool_ranks_get (&ranks);

  if (unused != NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Ranks find each other by their MPI, so %s does not go with the backend \"mpi\": take \"zmq\" for agents that "
                   "connect over a network",
                   unused);
      return FALSE;
    }
  if (!read_launcher (config->launcher, &spawns, &info, error))
    return FALSE;
  if (is_job && ranks.rank > 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
                   "This is rank %u of %u, and rank 0 has the pool: call pool_init() first in main(), which makes the "
                   "others its agents",
                   ranks.rank, ranks.size);
      return FALSE;
    }
  if (!is_job && g_strcmp0 (config->launcher, "ranks") == 0)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                           "There are no ranks for this pool: start the program with mpirun -n N, N at least 2");
      return FALSE;
    }
  self->is_rank = is_job && !spawns;
  self->process = self->is_rank ? pool_mpi_process_take_rank (error)
                                : pool_mpi_process_start ((const char *const *) info, TRUE, error);
  return self->process != NULL;
}

/* In a job whose user has not said how many workers there are to be, each rank is one, as MPI programs have it. */
static void
adjust_size (PoolMpiBackend *self)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  const PoolBackendConfig *config = remote->config;
  guint n = MIN (self->n_places * MAX (config->remote->processes_per_agent, 1), config->max_processes);

  if (config->has_size || self->n_places == 0 || n == config->processes)
    return;
  pool_backend_add_wanted (POOL_BACKEND (self), (int) n - (int) config->processes);
  remote->n_planned = n - config->processes; /* the rest is added by who calls this; may wrap around */
}

static gboolean
pool_mpi_backend_open (PoolRemoteBackend *remote, gboolean is_remote, GError **error)
{
  PoolMpiBackend *self = cast (remote);
  struct epoll_event event = { .events = EPOLLIN };

  if (!find_process (self, error) || !pool_mpi_process_open (self->process, error))
    return FALSE;
  self->n_places = self->process->n_ranks;
  if (self->is_rank && self->n_places == 0)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_BACKEND, "No other rank of this job is left");
      return FALSE;
    }
  remote->agents_have_program = self->is_rank && pool_copy_exists ();
  adjust_size (self);
  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll_fd < 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No epoll for a pool: %s", g_strerror (errno));
      return FALSE;
    }
  if (self->process->error_fd >= 0)
    epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, self->process->error_fd, &event);
  /* the process may have had another pool before */
  self->process->link.watched = 0;
  pool_mpi_link_watch (&self->process->link, self->epoll_fd);
  self->has_left = TRUE;
  return pool_remote_backend_watch_fd (remote, self->epoll_fd);
}

/* --- agents --- */

static gboolean
is_gone (PoolMpiBackend *self)
{
  return self->process == NULL || self->process->link.is_broken;
}

static gboolean
pool_mpi_backend_start_agent (PoolRemoteBackend *remote, guint agent, guint n_workers, GError **error)
{
  PoolMpiBackend *self = cast (remote);

  if (!is_gone (self) && pool_mpi_link_send (&self->process->link, POOL_MPI_START, agent, n_workers, NULL))
    {
      self->n_places -= self->is_rank && self->n_places > 0;
      return TRUE;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "the process that has the MPI is gone: %s",
               self->how_ended != NULL ? self->how_ended : "it ended");
  return FALSE;
}

static void
pool_mpi_backend_end_agent (PoolRemoteBackend *remote, guint agent)
{
  PoolMpiBackend *self = cast (remote);

  if (!is_gone (self))
    pool_mpi_link_send (&self->process->link, POOL_MPI_END, 0, agent, NULL);
}

/* Ranks are dealt out evenly; processes can be spawned for ever. */
static guint
pool_mpi_backend_get_share (PoolRemoteBackend *remote, guint n)
{
  PoolMpiBackend *self = cast (remote);
  guint each = remote->config->remote->processes_per_agent;

  /* where nothing can be started, that is to be told */
  if (!self->is_rank || is_gone (self))
    return each > 0 ? MIN (each, n) : n;
  if (self->n_places == 0)
    return 0;
  return MIN (n, MAX (each, (n + self->n_places - 1) / self->n_places));
}

/* --- messages --- */

static void
pool_mpi_backend_forget (PoolRemoteBackend *remote, guint peer)
{
  PoolMpiBackend *self = cast (remote);

  if (!is_gone (self))
    pool_mpi_link_send (&self->process->link, POOL_MPI_FORGET, peer, 0, NULL);
}

static AgentLink *
find_link (PoolMpiBackend *self, guint peer)
{
  return g_hash_table_lookup (self->links, GUINT_TO_POINTER (peer));
}

static gboolean
pool_mpi_backend_send (PoolRemoteBackend *remote, guint peer, PoolWireWriter *message)
{
  PoolMpiBackend *self = cast (remote);
  AgentLink *agent = find_link (self, peer);
  PoolMpiLink *link;
  gboolean ok;

  if (is_gone (self))
    return FALSE;
  link = agent != NULL ? &agent->link : &self->process->link;
  ok = pool_mpi_link_send_message (link, peer, message);
  pool_mpi_link_watch (link, self->epoll_fd);
  return ok;
}

static char *
get_text (PoolMpiBackend *self)
{
  gsize size = 0;
  const char *data = self->parts->len > 0 ? g_bytes_get_data (self->parts->pdata[0], &size) : "";

  return g_utf8_make_valid (data, size);
}

/* --- links to agents --- */

static void
free_link (gpointer data)
{
  AgentLink *self = data;

  pool_mpi_link_clear (&self->link);
  g_free (self);
}

static gboolean
receive_frames (PoolMpiBackend *self, AgentLink *agent)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  PoolMpiFrame frame;
  guint n = 0;

  for (; n < RECEIVE_MAX && pool_mpi_link_receive (&agent->link, &frame, self->parts); n++)
    if (frame.kind == POOL_MPI_MESSAGE)
      pool_remote_backend_take_message (remote, agent->peer, (GBytes *const *) self->parts->pdata, self->parts->len);
  g_ptr_array_set_size (self->parts, 0);
  self->has_left |= n == RECEIVE_MAX;
  return n > 0;
}

/* What it has said before is heard yet; nothing more comes that way. */
static void
drop_link (PoolMpiBackend *self, guint peer)
{
  AgentLink *agent = find_link (self, peer);

  while (agent != NULL && receive_frames (self, agent))
    ;
  g_hash_table_remove (self->links, GUINT_TO_POINTER (peer));
}

static void
add_link (PoolMpiBackend *self, guint peer)
{
  int fd = pool_mpi_link_take_fd (&self->process->link);
  AgentLink *agent;

  drop_link (self, peer);
  if (fd < 0)
    return;
  agent = g_new (AgentLink, 1);
  agent->peer = peer;
  pool_mpi_link_init (&agent->link, fd);
  g_hash_table_insert (self->links, GUINT_TO_POINTER (peer), agent);
  pool_mpi_link_watch (&agent->link, self->epoll_fd);
}

static gboolean
receive_from_agent (PoolMpiBackend *self, AgentLink *agent)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  gboolean any = receive_frames (self, agent);
  guint peer = agent->peer;

  pool_mpi_link_flush (&agent->link);
  if (pool_mpi_link_is_moving (&agent->link))
    pool_remote_backend_hear_peer (remote, peer);
  pool_mpi_link_watch (&agent->link, self->epoll_fd);
  if (!agent->link.is_broken)
    return any;
  /* the MPI will say so, too, but later */
  drop_link (self, peer);
  pool_remote_backend_lose_peer (remote, peer, "its process has ended");
  return TRUE;
}

/* --- the process --- */

static void
agent_ended (PoolMpiBackend *self, guint number, const char *how)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  PoolRemoteAgent *agent = pool_remote_backend_find_launched (remote, number);

  /* what it said last came by another way, and may be that it has ended as it should */
  if (agent != NULL && agent->peer != 0)
    drop_link (self, agent->peer);
  pool_remote_backend_agent_ended (remote, number, how);
}

static void
take_frame (PoolMpiBackend *self, const PoolMpiFrame *frame)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  g_autofree char *text = NULL;

  switch (frame->kind)
    {
    case POOL_MPI_MESSAGE:
      pool_remote_backend_take_message (remote, frame->peer, (GBytes *const *) self->parts->pdata, self->parts->len);
      return;
    case POOL_MPI_PLACES:
      self->n_places = frame->value;
      return;
    case POOL_MPI_MOVING:
      pool_remote_backend_hear_peer (remote, frame->peer);
      return;
    case POOL_MPI_ENDED:
      text = get_text (self);
      agent_ended (self, frame->value, text);
      return;
    case POOL_MPI_DIRECT:
      add_link (self, frame->peer);
      return;
    default:
      return;
    }
}

/* --- the end --- */

static void
pool_mpi_backend_close (PoolRemoteBackend *remote)
{
  PoolMpiBackend *self = cast (remote);

  g_hash_table_remove_all (self->links);
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  self->epoll_fd = -1;
  if (self->process == NULL)
    return;
  if (self->is_rank)
    {
      pool_mpi_link_send (&self->process->link, POOL_MPI_CLOSE, 0, 0, NULL);
      pool_mpi_process_release_rank (g_steal_pointer (&self->process));
    }
  else
    g_clear_pointer (&self->process, pool_mpi_process_free);
}

static gboolean
has_agents (PoolRemoteBackend *remote)
{
  for (guint i = 0; i < remote->agents->len; i++)
    if (remote->agents->pdata[i] != NULL)
      return TRUE;
  return FALSE;
}

/* Whatever ended it, all ranks are lost with it. */
static gboolean
lose_all (PoolMpiBackend *self)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  g_autofree char *whole = NULL;

  if (!has_agents (remote))
    return FALSE;
  if (self->how_ended == NULL)
    self->how_ended = pool_mpi_process_describe_end (self->process);
  g_hash_table_remove_all (self->links);
  whole = g_strdup_printf ("the process that has the MPI is gone: %s", self->how_ended);
  for (guint i = 0; i < remote->agents->len; i++)
    if (remote->agents->pdata[i] != NULL)
      pool_remote_backend_agent_ended (remote, ((PoolRemoteAgent *) remote->agents->pdata[i])->number, whole);
  return TRUE;
}

static gboolean
receive_from_process (PoolMpiBackend *self)
{
  PoolRemoteBackend *remote = POOL_REMOTE_BACKEND (self);
  PoolMpiLink *link = &self->process->link;
  PoolMpiFrame frame;
  guint n = 0;

  for (; n < RECEIVE_MAX && pool_mpi_link_receive (link, &frame, self->parts); n++)
    take_frame (self, &frame);
  g_ptr_array_set_size (self->parts, 0);
  self->has_left |= n == RECEIVE_MAX;
  pool_mpi_link_flush (link);
  if (pool_mpi_link_is_moving (link))
    pool_remote_backend_hear_peer (remote, 0);
  if (!link->is_broken)
    {
      pool_mpi_link_watch (link, self->epoll_fd);
      return n > 0;
    }
  /* it would be readable for ever */
  epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, link->fd, NULL);
  return lose_all (self) || n > 0;
}

/* Who is done with may be gone by the time that another one is heard. */
static gboolean
receive_from_peers (PoolMpiBackend *self, const guint *peers, guint n)
{
  gboolean any = FALSE;

  for (guint i = 0; i < n; i++)
    {
      AgentLink *agent = find_link (self, peers[i]);

      any |= agent != NULL && receive_from_agent (self, agent);
    }
  return any;
}

static gboolean
receive_from_ready (PoolMpiBackend *self)
{
  struct epoll_event events[READY_MAX];
  guint peers[READY_MAX] = { 0 }, n_peers = 0;
  gboolean process_is_ready = FALSE, any;
  int n = epoll_wait (self->epoll_fd, events, READY_MAX, 0);

  for (int i = 0; i < n; i++)
    if (events[i].data.ptr == &self->process->link)
      process_is_ready = TRUE;
    else if (events[i].data.ptr == NULL)
      pool_mpi_process_read_errors (self->process);
    else
      peers[n_peers++] = ((AgentLink *) events[i].data.ptr)->peer;
  any = receive_from_peers (self, peers, n_peers);
  return (process_is_ready && receive_from_process (self)) || any;
}

static gboolean
receive_from_all (PoolMpiBackend *self)
{
  g_autofree gpointer *keys = NULL;
  g_autofree guint *peers = NULL;
  gboolean any;
  guint n;

  self->has_left = FALSE;
  keys = g_hash_table_get_keys_as_array (self->links, &n);
  peers = g_new (guint, n);
  for (guint i = 0; i < n; i++)
    peers[i] = GPOINTER_TO_UINT (keys[i]);
  any = receive_from_peers (self, peers, n);
  return receive_from_process (self) || any;
}

static gboolean
pool_mpi_backend_receive (PoolRemoteBackend *remote)
{
  PoolMpiBackend *self = cast (remote);
  gboolean any;

  if (self->process == NULL)
    return FALSE;
  any = self->has_left ? receive_from_all (self) : receive_from_ready (self);
  /* a pool that has ended may not be joined before the next one wants the ranks */
  if (self->is_rank && remote->is_stopping && !has_agents (remote))
    pool_mpi_backend_close (remote);
  return any;
}

/* What has come to a link makes its descriptor readable; a buffer may hold a frame only if receive() left one. */
static gboolean
pool_mpi_backend_has_message (PoolRemoteBackend *remote)
{
  PoolMpiBackend *self = cast (remote);

  return self->process != NULL && self->has_left;
}

static void
pool_mpi_backend_finalize (GObject *object)
{
  PoolMpiBackend *self = cast (object);

  pool_mpi_backend_close (POOL_REMOTE_BACKEND (object));
  g_hash_table_unref (self->links);
  g_ptr_array_unref (self->parts);
  g_free (self->how_ended);
  G_OBJECT_CLASS (pool_mpi_backend_parent_class)->finalize (object);
}

/* argv: … agent … or … bridge …: the programs of pool-mpi-agent.c and pool-mpi-bridge.c */
static int
pool_mpi_backend_worker_main (PoolBackend *backend, int argc, char **argv)
{
  if (argc >= 3 && g_str_equal (argv[2], "agent"))
    return pool_mpi_agent_main (argc, argv);
  if (argc >= 3 && g_str_equal (argv[2], "bridge"))
    return pool_mpi_bridge_main (argc, argv);
  return 2;
}

static gboolean
pool_mpi_backend_join (PoolBackend *backend, guint rank, GError **error)
{
  if (rank > 0)
    pool_mpi_agent_be (TRUE);
  /* the other ranks wait for this one: it comes, whether the program will have a pool or not */
  return pool_mpi_process_start_rank (error);
}

static void
pool_mpi_backend_class_init (PoolMpiBackendClass *klass)
{
  POOL_BACKEND_CLASS (klass)->worker_main = pool_mpi_backend_worker_main;
  POOL_BACKEND_CLASS (klass)->join = pool_mpi_backend_join;
  G_OBJECT_CLASS (klass)->finalize = pool_mpi_backend_finalize;
  klass->open = pool_mpi_backend_open;
  klass->start_agent = pool_mpi_backend_start_agent;
  klass->end_agent = pool_mpi_backend_end_agent;
  klass->get_share = pool_mpi_backend_get_share;
  klass->send = pool_mpi_backend_send;
  klass->forget = pool_mpi_backend_forget;
  klass->receive = pool_mpi_backend_receive;
  klass->has_message = pool_mpi_backend_has_message;
  klass->close = pool_mpi_backend_close;
}

static void
pool_mpi_backend_init (PoolMpiBackend *self)
{
  self->epoll_fd = -1;
  self->links = g_hash_table_new_full (NULL, NULL, NULL, free_link);
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
}

static const PoolBackendModule module = {
  .abi = POOL_BACKEND_ABI,
  .name = "mpi",
  .description = "ranks of an MPI job, or processes that an MPI spawns",
  .get_type = pool_mpi_backend_get_type,
};

G_MODULE_EXPORT const PoolBackendModule *pool_backend_module_query (void);

G_MODULE_EXPORT const PoolBackendModule *
pool_backend_module_query (void)
{
  return &module;
}
