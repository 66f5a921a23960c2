/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-buffer-private.h"
#include "pool-share-private.h"
#include "pool-types.h"

G_BEGIN_DECLS

/*
 * What a pool and its agents on other machines say to each other. A message is a head and any number of parts:
 *
 *   head    u32 magic, u32 serial, u64 session, u32 number of records, u32 number of parts, then the records
 *   record  56 bytes (PoolWireRecord, all little-endian), then its data, filled up to a multiple of 8,
 *           unless they are a part of their own: long values are not copied; or, on one machine, are where a
 *           PoolSharePlace says, which follows
 *
 * In each direction the serials of a session count up from 0, so that a message that was lost on the way is noticed: then
 * the session is over. Where the two sides come from is not trusted: every head goes through pool_wire_parse(), which
 * looks at nothing but its bytes.
 */
#define POOL_WIRE_MAGIC 0x3157504cu /* "LPW1" */
#define POOL_WIRE_HEAD 24
#define POOL_WIRE_RECORD 56

/* The longest head that is taken, and how much goes into one before it is sent. */
#define POOL_WIRE_HEAD_MAX (16 * 1024 * 1024)
#define POOL_WIRE_HEAD_FULL (256 * 1024)
#define POOL_WIRE_PARTS_MAX 1024

/* Data from this size on are a part of their own. */
#define POOL_WIRE_PART_MIN (32 * 1024)

/*
 * Nothing else is heard of who copies or sends something of this size: it says before, in a message of its own, how long that is. The
 * other waits for it as if 8 MiB came in a second, which the slowest network does that a cluster has.
 */
#define POOL_WIRE_LONG (16 * 1024 * 1024)
#define POOL_WIRE_RATE (8 * 1024 * 1024)

/* How long somebody may be silent for so many bytes, µs. */
static inline gint64
pool_wire_get_time (guint64 n_bytes)
{
  return (gint64) (n_bytes / POOL_WIRE_RATE) * G_USEC_PER_SEC;
}

/* Numbers of parts that are none: the data are in memory of the sender's, or of the receiver's. */
#define POOL_WIRE_THEIRS 0xffff
#define POOL_WIRE_OURS 0xfffe

typedef enum
{
  POOL_WIRE_NONE,

  /* an agent to its pool; the first has no session */
  POOL_WIRE_HELLO,     /* data: a{sv}, see pool-agent-session.c; worker: how many it offers */
  POOL_WIRE_UP,        /* worker, item: its place, id: pid, flags: of the sandbox that is enforced */
  POOL_WIRE_DOWN,      /* worker, handle: of the task that it ran, item: of that; data: see pool_wire_exit */
  POOL_WIRE_RESULT,    /* worker, handle, kind, n_items, id: run time in ns, time: µs since it was started; data */
  POOL_WIRE_STATE,     /* worker, handle, item, time: µs since that was started, id: tasks done */
  POOL_WIRE_WAS_SPLIT, /* handle, item: the first that was taken back, or 0 */
  POOL_WIRE_LOG,       /* worker; data: the record */
  POOL_WIRE_OUTPUT,    /* handle, id: bytes lost, n_items: 1 for standard output, 2 for standard error; data */
  POOL_WIRE_LACKS,     /* n_items: so many of the workers that were asked for are not made, and nothing more is heard of them */
  POOL_WIRE_DRAINING,  /* takes no more tasks, and will go when its workers are done */
  POOL_WIRE_BYE,       /* is gone, with all its workers */

  /* a pool to an agent */
  POOL_WIRE_WELCOME,     /* the head has the new session; worker: the first one's number for tasks; data: a{sv}, how to start */
  POOL_WIRE_REFUSED,     /* no session; data: why, for people */
  POOL_WIRE_RESET,       /* no session: what was sent belongs to none; say hello again */
  POOL_WIRE_FUNCTION,    /* id: number, kind: of function; data: name, zero, checksum of its module or nothing, zero[, place in
                            the program, zero] */
  POOL_WIRE_TASK,        /* handle, id, function, flags, n_items, item: attempt, time: µs of its limit; data */
  POOL_WIRE_CANCEL,      /* handle: hand it back, or tell who is in it */
  POOL_WIRE_SPLIT,       /* handle, n_items */
  POOL_WIRE_NOTIFY,      /* worker, handle, item, kind: of notice */
  POOL_WIRE_ANSWER,      /* worker, handle, kind: may it start? */
  POOL_WIRE_DOOM,        /* worker, handle: no result of it is wanted, and the worker is to start no other */
  POOL_WIRE_KILL,        /* worker, kind: signal */
  POOL_WIRE_RETIRE,      /* worker */
  POOL_WIRE_ADD,         /* n_items: more workers */
  POOL_WIRE_TAKE_OUTPUT, /* handle */
  POOL_WIRE_STOP,        /* kind: 1 at once, 0 as soon as workers are idle */

  /* either way */
  POOL_WIRE_PING,   /* still here; id: bytes that are about to be copied or sent, or 0: if the other is an agent it answers */
  POOL_WIRE_SHARE,  /* kind: 1, the other's memory can be seen; data: an offer of type POOL_SHARE_TYPE, or nothing */
  POOL_WIRE_RETURN, /* handle: a block that is no longer looked at */

  POOL_WIRE_LAST = POOL_WIRE_RETURN,
} PoolWireType;

/* One thing that is said. What the fields mean depends on the type. */
typedef struct
{
  guint16 type;
  guint16 part; /* 1 + the number of the part that has the data; 0: they follow, or there are none; POOL_WIRE_THEIRS, POOL_WIRE_OURS */
  guint32 worker;
  guint64 handle;
  guint64 id;
  union
  {
    guint32 kind;
    guint32 function;
  };
  guint32 flags;
  guint32 n_items;
  guint32 item;
  gint64 time;
  guint64 size; /* of the data */
} PoolWireRecord;

G_STATIC_ASSERT (sizeof (PoolWireRecord) == POOL_WIRE_RECORD);

/* --- writing --- */

/* A message that is being made. */
typedef struct
{
  PoolBuffer head;
  GPtrArray *parts; /* GBytes */
  guint n_records;
  PoolShare *share; /* with the receiver; NULL: none */
} PoolWireWriter;

void pool_wire_writer_init (PoolWireWriter *self);
void pool_wire_writer_clear (PoolWireWriter *self);
/* Empties it for the next one. */
void pool_wire_writer_reset (PoolWireWriter *self);
static inline gboolean
pool_wire_writer_is_empty (const PoolWireWriter *self)
{
  return self->n_records == 0;
}
static inline gboolean
pool_wire_writer_is_full (const PoolWireWriter *self)
{
  return self->head.len >= POOL_WIRE_HEAD_FULL || self->parts->len >= POOL_WIRE_PARTS_MAX / 2;
}
/* @bytes: have @data and may be kept; NULL: long data are copied. */
void pool_wire_write (PoolWireWriter *self, const PoolWireRecord *record, gconstpointer data, gsize size,
                      GBytes *bytes);
/* Says what is to be given back of what was borrowed. */
void pool_wire_write_returns (PoolWireWriter *self);
/* Before it is sent. */
void pool_wire_finish (PoolWireWriter *self, guint64 session, guint32 serial);

/* --- reading --- */

/* A message that was received and found to be well-formed; borrows its parts. */
typedef struct
{
  guint64 session;
  guint32 serial;
  guint32 n_records;
  GBytes *const *parts; /* the head first */
  guint n_parts;
  gsize offset; /* of the next record */
  GPtrArray *shared; /* GBytes: data in memory of either side's, in their order; or NULL */
  guint n_shared; /* of those that are done with */
} PoolWireReader;

/* FALSE with POOL_ERROR_PROTOCOL: it is none. @from_agent: who says it. @share: with the sender; NULL: none. To be cleared in any case. */
POOL_EXPORT
gboolean pool_wire_parse (PoolWireReader *self, GBytes *const *parts, guint n_parts, gboolean from_agent,
                          PoolShare *share, GError **error);
POOL_EXPORT
void pool_wire_reader_clear (PoolWireReader *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PoolWireReader, pool_wire_reader_clear)
/* The next record and where its data are, within @bytes; FALSE: there are no more. */
POOL_EXPORT
gboolean pool_wire_next (PoolWireReader *self, PoolWireRecord *record, const guint8 **data, GBytes **bytes);

/* Values in messages: checked to be of @type, and in normal form. */
void pool_wire_write_value (PoolWireWriter *self, const PoolWireRecord *record, GVariant *value);
GVariant *pool_wire_read_value (const guint8 *data, gsize size, const char *type, GError **error);

G_END_DECLS
