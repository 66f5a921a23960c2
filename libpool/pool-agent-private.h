/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend-private.h"
#include "pool-wire-private.h"

G_BEGIN_DECLS

/*
 * The other end of a remote backend (pool-remote-backend-private.h): a program that has workers, made by a backend for this
 * machine, and does with them what its pool says. It decides nothing but what cannot wait for an answer from afar.
 *
 * pool-agent.c          the program: waiting, signals, time
 * pool-agent-session.c  a pool that it works for, and what comes up from workers
 * pool-agent-tasks.c    what the pool says
 */
typedef struct _PoolAgent PoolAgent;
typedef struct _PoolAgentTransport PoolAgentTransport;

/* Carries messages to the pool and back. */
struct _PoolAgentTransport
{
  /* FALSE: nobody can be reached */
  gboolean (*send) (PoolAgentTransport *self, PoolWireWriter *message);
  /* Hands what has come to pool_agent_take_message(); TRUE if there was anything. */
  gboolean (*receive) (PoolAgentTransport *self, PoolAgent *agent);
  /* Would receive() have something? To be asked before every wait for the fd. */
  gboolean (*has_message) (PoolAgentTransport *self);
  /* Lets go of what was not sent, and of a connection that may be dead. */
  void (*reconnect) (PoolAgentTransport *self);
  /* Is there a pool to say hello to? NULL: that shows when it is said. */
  gboolean (*has_pool) (PoolAgentTransport *self);
  /* The pool has ended, and what was said to it has been sent. May be NULL. */
  void (*forget_pool) (PoolAgentTransport *self);
  int fd;
  const char *name; /* of the other end, for messages */
};

typedef struct
{
  guint n_workers;
  guint max_workers;                 /* at a time, with those that are leaving; 0: as many as the pool says */
  guint number;                      /* by which the pool that started it knows it; 0: it came by itself */
  const char *const *worker_command; /* of its workers; NULL: that of task modules */
  gboolean accepts_command;          /* the pool may name one */
  double retry;                      /* seconds for which a pool is looked for; < 0: for ever */
  gboolean stays;                    /* after the end of a pool it waits for the next */
  pid_t parent;                      /* goes with it; 0: with nobody */
  const char *tags;                  /* what this machine has, for the pool to see; or NULL */
  gboolean is_verbose;
  gboolean has_program; /* this is the pool's own program: its functions are here, too */
  pid_t streams; /* of the process to whose standard output and error tasks write, if it is on this machine; 0: this one's */
} PoolAgentSettings;

typedef enum
{
  POOL_AGENT_GREETING, /* no pool has answered yet */
  POOL_AGENT_SERVING,
  POOL_AGENT_DRAINING, /* takes no more tasks */
  POOL_AGENT_STOPPING, /* the pool has ended */
  POOL_AGENT_ENDED,
} PoolAgentState;

/* A task of the pool's. */
typedef struct
{
  PoolBackendTask task;
  GBytes *bytes; /* have its argument */
  GList link;    /* in pending, if it has not been submitted */
  gboolean is_submitted;
  gboolean is_asked_for; /* the pool wants to know who is in it */
} PoolAgentTask;

/* By the number that the local backend has for it. */
typedef struct
{
  guint number; /* that the pool knows; 0: it is not up */
  PoolSandboxFlags sandbox;
  gboolean is_spared; /* it was to be killed for a task that it had come to the end of: it is replaced instead */
  gboolean ran_out_of_memory;
  guint64 seen_handle; /* that it was in when it was last looked at */
  guint64 told_handle; /* what the pool was told that it is in */
  guint told_item;
} PoolAgentWorker;

struct _PoolAgent
{
  PoolBackendSink sink; /* of the local backend; the first, so that it is the agent */
  PoolAgentTransport *transport;
  const PoolAgentSettings *settings;
  PoolAgentState state;
  int status; /* of its exit */

  guint64 session;
  guint32 n_sent, n_received;
  PoolWireWriter out;
  PoolShare share; /* if the pool is on this machine */

  PoolBackend *local; /* NULL: no session */
  PoolEngine *engine; /* has the functions; nobody else's tasks */
  guint next_number;
  guint n_down; /* workers of whose end the pool was told */
  GArray *workers; /* PoolAgentWorker */
  GHashTable *indexes; /* number → 1 + place in workers */
  GHashTable *tasks; /* handle → PoolAgentTask, owned */
  GQueue pending;
  GArray *functions; /* gint64 by the pool's number: ours, or -1 - place in errors */
  GPtrArray *errors; /* GError */
  guint64 memory_limit;

  gint64 heartbeat; /* µs; 0: the pool is on this machine */
  gint64 heard_at, hello_at, lost_at; /* monotonic µs */
  guint64 n_announced; /* bytes that come next */
  gint64 given_until;  /* monotonic µs; the pool may be busy with what it was given */
  gint64 hello_interval;
  guint64 nonce; /* of a greeting that may have to be said again */
  gboolean is_greeted; /* a hello could be sent */
  gint64 look_at, look_interval; /* 0: there is nothing to be looked at */
  gint64 memory_at;

  gint64 submitted_at; /* monotonic µs; 0: no worker has been given anything since it was waited for last */
  gboolean may_spin;
  int spin_credit;
  guint n_not_spun;
};

/* Runs until there is nothing more to do, and returns what the program is to exit with. */
POOL_EXPORT
int pool_agent_run (PoolAgentTransport *transport, const PoolAgentSettings *settings);
/* From within receive(): something long is on its way, so that the pool is there though nothing whole comes. */
POOL_EXPORT
void pool_agent_hear (PoolAgent *self);
/* From within receive(): the pool wants it no more; @ends: nor will another one. */
POOL_EXPORT
void pool_agent_leave (PoolAgent *self, gboolean ends);
POOL_EXPORT
void pool_agent_take_message (PoolAgent *self, GBytes *const *parts, guint n_parts);

/* pool-agent.c */
void pool_agent_say (PoolAgent *self, const PoolWireRecord *record, gconstpointer data, gsize size, GBytes *bytes);
/* For so many bytes nothing is heard of it. */
void pool_agent_announce (PoolAgent *self, guint64 n_bytes);
void pool_agent_note (PoolAgent *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* Workers may have begun with something: tell the pool of what lasts. */
void pool_agent_look_soon (PoolAgent *self, gint64 delay);

/* pool-agent-session.c */
/* FALSE: there is no connection yet */
gboolean pool_agent_say_hello (PoolAgent *self);
void pool_agent_begin (PoolAgent *self, guint64 session, guint first_worker, GVariant *welcome);
void pool_agent_end (PoolAgent *self);
void pool_agent_drain (PoolAgent *self);
void pool_agent_look (PoolAgent *self, gint64 now);
void pool_agent_check_memory (PoolAgent *self);

/* pool-agent-tasks.c */
void pool_agent_take_record (PoolAgent *self, const PoolWireRecord *record, const guint8 *data, GBytes *bytes);
void pool_agent_submit (PoolAgent *self);
void pool_agent_hand_back (PoolAgent *self, PoolAgentTask *task);
void pool_agent_forget_task (PoolAgent *self, PoolAgentTask *task);
PoolAgentTask *pool_agent_find_task (PoolAgent *self, guint64 handle);
int pool_agent_find_worker (PoolAgent *self, guint number);

G_END_DECLS
