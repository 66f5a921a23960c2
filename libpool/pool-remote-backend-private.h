/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"
#include "pool-launcher-private.h"
#include "pool-share-private.h"
#include "pool-wire-private.h"

G_BEGIN_DECLS

/*
 * What backends with agents have in common: an agent is a program, here or on another machine, that runs workers of its own
 * (with a backend for local ones) and passes on what this side asks of them. All that is decided is decided by the
 * engine; here are the tasks that agents have, so that none is lost with one of them, and what is known of far-away workers.
 *
 * A subclass carries messages (pool-wire-private.h) to and from peers, which it numbers from 1 as they appear.
 *
 * pool-remote-backend.c   the class, and waiting
 * pool-remote-tasks.c     tasks and their results
 * pool-remote-agents.c    agents come, are heard of, and go
 * pool-remote-launch.c    agents are started
 */
#define POOL_TYPE_REMOTE_BACKEND (pool_remote_backend_get_type ())
#define POOL_REMOTE_BACKEND(o) (G_TYPE_CHECK_INSTANCE_CAST ((o), POOL_TYPE_REMOTE_BACKEND, PoolRemoteBackend))
#define POOL_REMOTE_BACKEND_CLASS(k)                                                               \
  (G_TYPE_CHECK_CLASS_CAST ((k), POOL_TYPE_REMOTE_BACKEND, PoolRemoteBackendClass))
#define POOL_REMOTE_BACKEND_GET_CLASS(o)                                                           \
  (G_TYPE_INSTANCE_GET_CLASS ((o), POOL_TYPE_REMOTE_BACKEND, PoolRemoteBackendClass))

typedef struct _PoolRemoteBackend PoolRemoteBackend;
typedef struct _PoolRemoteBackendClass PoolRemoteBackendClass;
typedef struct _PoolRemoteAgent PoolRemoteAgent;

typedef struct
{
  guint id;     /* the engine's */
  guint number; /* the agent's; never used again in a session */
  PoolRemoteAgent *agent;
  gboolean is_doomed;
  gboolean is_leaving;
  guint64 handle; /* of the task that it was last said to be in, or 0 */
  guint item;
  gint64 since; /* monotonic µs */
  guint64 done;
} PoolRemoteWorker;

/* A task that an agent has. */
typedef struct
{
  guint64 handle;
  PoolRemoteAgent *agent;
  GList link; /* in the agent's tasks */
  guint n_items;
  gint64 no_split_until; /* monotonic µs; G_MAXINT64: it has been asked for */
  gboolean is_recalled;  /* it was asked to be handed back */
} PoolRemoteTask;

struct _PoolRemoteAgent
{
  PoolRemoteBackend *backend;
  guint slot;   /* its place in the backend's agents */
  guint number; /* by which the launcher knows it; never used again */
  guint peer;     /* 0: it has not said anything yet */
  guint64 session; /* 0: likewise */
  guint64 nonce;   /* of its greeting */
  guint32 n_sent, n_received; /* messages of the session */
  gboolean is_launched;
  gboolean is_draining;
  gboolean has_left; /* by itself */
  gboolean is_unreachable; /* a message could not be sent: it is given up at the next dispatch */
  char *host;
  gint64 pid; /* on its machine */

  guint first_worker, max_workers; /* their ids */
  guint n_workers; /* made, or to be made, and of whose end the engine has not been told */
  guint n_up;
  guint n_lost; /* that it had, and could make again */
  guint n_offered; /* that the pool has more because of it, if it came by itself */
  GHashTable *workers; /* number → PoolRemoteWorker, owned */

  GQueue tasks; /* PoolRemoteTask by its link, the oldest first */
  guint window; /* how many tasks it is given at once */
  guint n_held; /* of those, that are in out */
  guint n_finished; /* since rate was last looked at */
  gint64 rate_since;
  GArray *functions; /* gboolean by number: it has been told of it */

  PoolWireWriter out;
  PoolShare share; /* if it is on this machine */
  guint n_unanswered; /* pings, since something was heard of it */
  guint64 n_pings, n_pongs; /* of the session */
  guint64 n_announced; /* bytes that it copies or sends now */
  guint64 n_given; /* bytes of long values that it may not have got yet, the last of them after the first n_given_pings pings */
  guint64 n_given_pings;
};

struct _PoolRemoteBackend
{
  PoolBackend parent_instance;

  const PoolBackendConfig *config; /* the engine's own, which stays */
  GPtrArray *agents;  /* PoolRemoteAgent by slot; NULL: free */
  GPtrArray *workers; /* PoolRemoteWorker by id; NULL: free */
  GHashTable *tasks;  /* handle → PoolRemoteTask, owned */
  GHashTable *payloads; /* what alloc_payload() has given out: address → GBytes, owned */
  PoolShareHeap *heap; /* NULL: there is no such memory */
  GVariant *welcome;  /* what agents are told first */
  gint64 heartbeat;   /* µs */
  guint64 next_session;
  guint last_number; /* of an agent */

  PoolLauncher *launcher; /* NULL: agents come by themselves, or the transport starts them */
  guint n_failed_launches; /* in a row */
  guint n_planned;  /* workers for whom an agent is to be started */
  gint64 launch_at; /* monotonic µs */

  int epoll_fd, wake_fd, kick_fd, timer_fd;
  _Atomic gboolean is_woken;
  _Atomic guint kicks;
  _Atomic gboolean launcher_ready;
  gint64 timer_at;
  gint64 ping_at; /* monotonic µs; 0: nobody is to be asked */
  gint64 give_up_at; /* monotonic µs: the pool ends, and agents had time; 0: it does not */
  gboolean is_stopping;
  gboolean agents_are_watched;  /* set by open(): the transport tells at once of the end of an agent */
  gboolean agents_have_program; /* set by open(): agents run this very program, and have its functions */
};

struct _PoolRemoteBackendClass
{
  PoolBackendClass parent_class;

  /* Before agents are started. @is_remote: they will be on other machines */
  gboolean (*open) (PoolRemoteBackend *self, gboolean is_remote, GError **error);
  /* The command line of an agent, NULL-terminated; NULL: start_agent() starts them. */
  char **(*get_command) (PoolRemoteBackend *self, guint agent, guint n_workers);
  /*
   * Where the transport itself starts agents, in place of a launcher; that one has ended, or never came, is told by
   * pool_remote_backend_agent_ended(), never from within.
   */
  gboolean (*start_agent) (PoolRemoteBackend *self, guint agent, guint n_workers, GError **error);
  /* Ends one that is no longer wanted; it may be gone. */
  void (*end_agent) (PoolRemoteBackend *self, guint agent);
  /* How many of @n workers the next agent is to have; 0: no more agents can be started. NULL: all, or processes-per-agent */
  guint (*get_share) (PoolRemoteBackend *self, guint n);
  /* Never blocks. FALSE: there is no way to that peer any more. */
  gboolean (*send) (PoolRemoteBackend *self, guint peer, PoolWireWriter *message);
  /* It is no agent any more; if it says anything else it is another peer. */
  void (*forget) (PoolRemoteBackend *self, guint peer);
  /* Hands what has come to pool_remote_backend_take_message(); TRUE if there was anything. */
  gboolean (*receive) (PoolRemoteBackend *self);
  /* Would receive() have something? To be asked before every wait. */
  gboolean (*has_message) (PoolRemoteBackend *self);
  void (*close) (PoolRemoteBackend *self);
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolRemoteBackend, g_object_unref)

POOL_EXPORT
GType pool_remote_backend_get_type (void) G_GNUC_CONST;

/* For subclasses. */
POOL_EXPORT
gboolean pool_remote_backend_watch_fd (PoolRemoteBackend *self, int fd);
POOL_EXPORT
void pool_remote_backend_take_message (PoolRemoteBackend *self, guint peer, GBytes *const *parts, guint n_parts);
/* FALSE: it is no agent, and what is known of it may be forgotten. */
POOL_EXPORT
gboolean pool_remote_backend_has_peer (PoolRemoteBackend *self, guint peer);

/* Messages that were none, and peers that were not let in. */
POOL_EXPORT
void pool_remote_backend_add_refused (PoolRemoteBackend *self, guint n);

/* agents */
PoolRemoteAgent *pool_remote_agent_new (PoolRemoteBackend *self, guint n_workers);
void pool_remote_agent_free (PoolRemoteAgent *agent);
/* A record for it, sent with the next flush; data as for pool_wire_write(). */
void pool_remote_agent_say (PoolRemoteAgent *agent, const PoolWireRecord *record, gconstpointer data, gsize size,
                            GBytes *bytes);
/* Sends what was said, to all. */
void pool_remote_backend_flush (PoolRemoteBackend *self);
/* The same; but tasks for one that has enough to do are kept until it has not. */
void pool_remote_backend_flush_needed (PoolRemoteBackend *self);
/* Asks agents that are there to make workers: each those that it has lost, or, @more, any. Returns how many are left. */
guint pool_remote_backend_ask_agents (PoolRemoteBackend *self, guint n, gboolean more);
/* The one that was started by this side under this number; NULL: there is none, or no longer. */
POOL_EXPORT
PoolRemoteAgent *pool_remote_backend_find_launched (PoolRemoteBackend *self, guint number);
/* It is gone, or as good as gone: @how, for people. Frees it. */
void pool_remote_agent_lose (PoolRemoteAgent *agent, const char *how);
void pool_remote_backend_beat (PoolRemoteBackend *self, gint64 now);
void pool_remote_backend_set_timer (PoolRemoteBackend *self);
static inline gboolean
pool_remote_agent_is_ready (const PoolRemoteAgent *agent)
{
  return agent != NULL && agent->session != 0 && !agent->is_draining && agent->n_up > 0;
}

/* For the report on a worker that never was. */
guint pool_remote_backend_free_id (PoolRemoteBackend *self);
/* Wakes whoever waits: there is something to dispatch that no descriptor tells of. */
POOL_EXPORT
void pool_remote_backend_wake (PoolRemoteBackend *self);

/* An agent that this side has started is gone. @how: for people */
POOL_EXPORT
void pool_remote_backend_agent_ended (PoolRemoteBackend *self, guint agent, const char *how);
/* Something long is on its way to or from that peer, or (0) any: others have to wait, and nothing is wrong. */
POOL_EXPORT
void pool_remote_backend_hear_peer (PoolRemoteBackend *self, guint peer);
/* The same, of one that said something as that peer. */
POOL_EXPORT
void pool_remote_backend_lose_peer (PoolRemoteBackend *self, guint peer, const char *how);

/* launch */
/* Does this side start agents? */
gboolean pool_remote_backend_launches (PoolRemoteBackend *self);
/* Are those that it starts on this machine, and is their end seen? */
gboolean pool_remote_backend_launches_here (PoolRemoteBackend *self);
void pool_remote_backend_signal_agent (PoolRemoteBackend *self, guint agent, int signum);
guint pool_remote_backend_get_share (PoolRemoteBackend *self, guint n);
gboolean pool_remote_backend_open_launcher (PoolRemoteBackend *self, GError **error);
void pool_remote_backend_plan (PoolRemoteBackend *self, guint n_workers);
gboolean pool_remote_backend_launch (PoolRemoteBackend *self, GError **error);
void pool_remote_backend_launch_in_time (PoolRemoteBackend *self, gint64 now);
void pool_remote_backend_launch_failed (PoolRemoteBackend *self, guint n_workers, const char *how);

/* tasks */
guint pool_remote_backend_get_room (PoolBackend *backend);
guint pool_remote_backend_submit (PoolBackend *backend, const PoolBackendTask *tasks, guint n);
gboolean pool_remote_backend_cancel (PoolBackend *backend, guint64 handle);
guint pool_remote_backend_split (PoolBackend *backend, guint64 handle, guint n_items);
void pool_remote_backend_adopt_payload (PoolBackend *backend, guint64 handle, guint8 *payload, gboolean is_ours);
guint8 *pool_remote_backend_alloc_payload (PoolBackend *backend, gsize size);
void pool_remote_backend_free_payload (PoolBackend *backend, guint8 *payload);
GBytes *pool_remote_backend_wrap_payload (PoolBackend *backend, guint8 *payload, gsize size);
void pool_remote_backend_rebalance (PoolRemoteBackend *self);
/* FALSE: the agent has not that task */
gboolean pool_remote_agent_take_result (PoolRemoteAgent *agent, const PoolWireRecord *record, const guint8 *data,
                                        GBytes *bytes);
gboolean pool_remote_agent_take_split (PoolRemoteAgent *agent, const PoolWireRecord *record);
void pool_remote_agent_take_output (PoolRemoteAgent *agent, const PoolWireRecord *record, const guint8 *data,
                                    GBytes *bytes);
PoolRemoteTask *pool_remote_agent_find_task (PoolRemoteAgent *agent, guint64 handle);
void pool_remote_task_free (PoolRemoteTask *task);
PoolRemoteWorker *pool_remote_agent_get_worker (PoolRemoteAgent *agent, guint number);
/* Hands all that it has back: those that may have been started as lost, in the order in which they were given. */
void pool_remote_agent_return_tasks (PoolRemoteAgent *agent, GQueue *tasks, const char *how);

G_END_DECLS
