/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-log.h"
#include "pool-task-private.h"

G_BEGIN_DECLS

/* A longer record is cut; it must fit into a datagram. */
#define POOL_LOG_RECORD_MAX (128 * 1024)
#define POOL_LOG_FIELDS_MAX 256

/* A record of a worker on its way to the manager. */
typedef struct
{
  GLogLevelFlags level;
  gint64 pid;   /* of the process that made it: the worker, or a child of a task */
  guint64 task; /* 0: none */
  guint attempt;
  guint lost;            /* records of the same process before this one that could not be sent */
  guint64 cut;           /* bytes of this one that were left out */
  const char *task_name; /* "": none */
  const GLogField *fields;
  guint n_fields;
} PoolLogRecord;

/* How many bytes pool_log_record_encode() would write if it had to leave nothing out; at most POOL_LOG_RECORD_MAX. */
POOL_EXPORT
gsize pool_log_record_size (const PoolLogRecord *self);
/* Returns the length. What does not fit into @size, which is at least 4096, is left out and counted. */
POOL_EXPORT
gsize pool_log_record_encode (const PoolLogRecord *self, guint8 *out, gsize size);
/* Names and values point into @data; the fields are to be freed. FALSE: no record. */
POOL_EXPORT
gboolean pool_log_record_parse (PoolLogRecord *self, const guint8 *data, gsize size);

/*
 * A worker's side. Hands an encoded record to the manager, from any thread; FALSE with EMSGSIZE if it is too long for
 * that, or with any other errno if it is lost.
 */
typedef gboolean (*PoolLogSendFunc) (gconstpointer record, gsize size, gpointer user_data);

/* Whether this process may set GLib's log writer: the program that it was forked from has not. Forks to find out. */
POOL_EXPORT
gboolean pool_log_writer_is_free (void);
/*
 * From now on records of @domains (a zero-terminated list, taken) go through @send; NULL: none do, and no @send that a
 * process inherited is called any more. @writer: also those that are made with GLib's structured functions.
 */
POOL_EXPORT
void pool_log_worker_begin (char **domains, gboolean writer, PoolTask *task, PoolLogSendFunc send,
                            gpointer user_data);

G_END_DECLS
