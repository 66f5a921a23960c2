/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-arena-private.h"
#include "libpool/pool-backend.h"
#include "libpool/pool-function-private.h"

G_BEGIN_DECLS

#define POOL_SHM_MAGIC 0x6c6f6f70
#define POOL_SHM_FUNCTIONS POOL_FUNCTIONS_MAX
#define POOL_SHM_STAGING ((gsize) 256 * 1024)
/* larger results go into an extent */
#define POOL_SHM_STAGED_MAX ((gsize) 64 * 1024)

/* A function, for workers that have not inherited the program's table. */
typedef struct
{
  guint32 kind;
  guint32 reserved;
  guint64 address; /* in a copy of the program; 0: to be found by its name */
  char name[112];
} PoolShmFunction;

/* What a worker says of its memory, if that has a limit; a line for each. */
typedef struct
{
  guint64 start;           /* KiB that it was made with; written before it runs anything */
  _Atomic guint32 ran_out; /* it is dying of that */
  guint32 reserved[13];
} PoolShmMemory;

/* The start of the block. Offsets are from here. Written before there are workers. */
typedef struct
{
  guint32 magic;
  guint32 reserved;
  guint64 size;
  guint64 ring;
  guint64 functions;
  guint64 memory;
  guint64 staging;
  guint64 arguments, arguments_size;
  guint64 results, results_size;

  guint64 static_args, static_args_size; /* an encoded value; 0: none */
  guint64 initargs, initargs_size;
  guint64 initializer; /* function number + 1 */
  guint64 threads; /* that a worker may well run at a time, so that all of them fit the CPUs */
  guint64 first_worker; /* what tasks see added to their worker's place */
  guint64 max_memory;  /* KiB resident after a task, above which a worker leaves; 0: any */
  guint64 memory_limit; /* KiB that it gets beyond what it was made with; 0: any */

  PoolBackendChaos chaos;
  guint64 log_domains, log_domains_size; /* of type as; 0: none */

  guint8 token[POOL_BACKEND_TOKEN]; /* by which somebody else knows the memory */
} PoolShmHeader;

G_STATIC_ASSERT (sizeof (PoolShmFunction) == 128);
G_STATIC_ASSERT (sizeof (PoolShmMemory) == 64);

/* What a worker says when it is up, in the eight bytes that a message has: its pid and its PoolSandboxFlags. */
#define POOL_SHM_STARTED(pid, sandbox) ((guint32) (pid) | (guint64) (sandbox) << 32)
#define POOL_SHM_STARTED_PID(word) ((guint32) (word))
#define POOL_SHM_STARTED_SANDBOX(word) ((guint32) ((word) >> 32))

/* The memory of one pool as one process sees it. */
typedef struct
{
  gatomicrefcount ref_count;
  int fd;
  guint8 *base;
  PoolShmHeader *header;
  PoolArena arguments; /* manager only */
  PoolArena results;   /* manager only */
  gboolean is_manager;
  gboolean has_token;
} PoolShm;

PoolShm *pool_shm_new (gsize ring_size, guint max_workers, GError **error);
/* in an exec'd process */
PoolShm *pool_shm_open (int fd, GError **error);
PoolShm *pool_shm_ref (PoolShm *self);
void pool_shm_unref (PoolShm *self);
/* in a worker: it has no business writing to arguments */
void pool_shm_protect_arguments (PoolShm *self);

/* bytes that are a block of an arena, which is freed with them */
GBytes *pool_shm_wrap (PoolShm *self, PoolArena *arena, guint8 *block, gsize size);

static inline gpointer
pool_shm_at (PoolShm *self, guint64 offset)
{
  return self->base + offset;
}

static inline guint8 *
pool_shm_staging (PoolShm *self, guint worker)
{
  return self->base + self->header->staging + (gsize) worker * POOL_SHM_STAGING;
}

static inline PoolShmMemory *
pool_shm_memory (PoolShm *self, guint worker)
{
  return (PoolShmMemory *) pool_shm_at (self, self->header->memory) + worker;
}

static inline PoolShmFunction *
pool_shm_function (PoolShm *self, guint number)
{
  return (PoolShmFunction *) pool_shm_at (self, self->header->functions) + number;
}

G_END_DECLS
