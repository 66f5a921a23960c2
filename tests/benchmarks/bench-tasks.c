/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tasks that several figures run. */

#include "bench-pool.h"

#include <string.h>
#include <unistd.h>

/* Little-endian, as the format of blocks and of their items here. */
static void
write_u64 (guint8 *p, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (p, &value, sizeof value);
}

static guint64
read_u64 (const guint8 *p)
{
  guint64 value;

  memcpy (&value, p, sizeof value);
  return GUINT64_FROM_LE (value);
}

static gboolean
double_bytes (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint8 reply[8];

  if (size != sizeof reply)
    return bench_fail (error, "An argument of %" G_GSIZE_FORMAT " bytes", size);
  write_u64 (reply, 2 * read_u64 (data) + 1);
  pool_task_reply (task, reply, sizeof reply);
  return TRUE;
}

static gboolean
double_pair (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint64 pair[2];

  if (size != sizeof pair)
    return bench_fail (error, "An argument of %" G_GSIZE_FORMAT " bytes", size);
  memcpy (pair, data, sizeof pair);
  pair[1] = 2 * pair[1] + 1;
  pool_task_reply (task, (const guint8 *) pair, sizeof pair);
  return TRUE;
}

gboolean
bench_double_register (PoolManager *pool, GError **error)
{
  return pool_manager_register_bytes (pool, "double", double_bytes, NULL, NULL, error) &&
         pool_manager_register_bytes (pool, "double-pair", double_pair, NULL, NULL, error);
}

static gboolean
check_pair (GBytes *bytes, guint64 index, GError **error)
{
  guint64 pair[2];
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  if (size != sizeof pair)
    return bench_fail (error, "A result of %" G_GSIZE_FORMAT " bytes", size);
  memcpy (pair, data, sizeof pair);
  if (pair[0] != index || pair[1] != 2 * index + 1)
    return bench_fail (error, "The result of call %" G_GUINT64_FORMAT " is wrong", index);
  return TRUE;
}

gboolean
bench_double_call (PoolManager *pool, guint64 x, GError **error)
{
  guint64 pair[2] = { x, x };
  g_autoptr (GBytes) bytes = pool_manager_apply_bytes (
      pool, "double-pair", (const guint8 *) pair, sizeof pair, NULL, NULL, error);

  return bytes != NULL && check_pair (bytes, x, error);
}

guint8 *
bench_packed_new (gsize n, gsize *size)
{
  guint8 *block, *ends, *data;

  *size = 8 + 16 * n;
  block = g_malloc (*size);
  ends = block + 8;
  data = ends + 8 * n;
  write_u64 (block, n);
  for (gsize i = 0; i < n; i++)
    {
      write_u64 (ends + 8 * i, 8 * (i + 1));
      write_u64 (data + 8 * i, i);
    }
  return block;
}

gboolean
bench_packed_check (GBytes *packed, gsize n, GError **error)
{
  gsize size;
  const guint8 *block = g_bytes_get_data (packed, &size);
  const guint8 *ends = block + 8, *data = ends + 8 * n;

  if (size != 8 + 16 * n || read_u64 (block) != n)
    return bench_fail (error, "Not a block of %" G_GSIZE_FORMAT " results", n);
  for (gsize i = 0; i < n; i++)
    if (read_u64 (ends + 8 * i) != 8 * (i + 1) || read_u64 (data + 8 * i) != 2 * i + 1)
      return bench_fail (error, "Result %" G_GSIZE_FORMAT " is wrong", i);
  return TRUE;
}

static PoolAsyncResult *
submit_pair (PoolManager *pool, guint64 index)
{
  guint64 pair[2] = { index, index };

  return POOL_ASYNC_RESULT (pool_manager_apply_bytes_async (
      pool, "double-pair", (const guint8 *) pair, sizeof pair, NULL, NULL, NULL, NULL));
}

/* Takes the result and lets go of it. */
static gboolean
take_pair (PoolAsyncResult **slot, guint64 index, GError **error)
{
  g_autoptr (PoolAsyncResult) result = g_steal_pointer (slot);
  g_autoptr (GBytes) bytes = pool_async_result_get_bytes (result, -1, error);

  return bytes != NULL && check_pair (bytes, index, error);
}

gboolean
bench_window_bytes (PoolManager *pool, gsize window, guint64 n, double seconds, BenchTally *tally,
                    GError **error)
{
  g_autofree PoolAsyncResult **ring = g_new0 (PoolAsyncResult *, window);
  gint64 start = bench_now ();
  gint64 end = start + (gint64) (seconds * 1e9);
  guint64 submitted = 0, taken = 0;
  gsize slot = 0;
  gboolean ok = TRUE;

  /* the clock is looked at once a window */
  while (ok && (n > 0 ? submitted < n : slot != 0 || bench_now () < end))
    {
      if (ring[slot] != NULL)
        ok = take_pair (&ring[slot], taken++, error);
      if (ok)
        ring[slot] = submit_pair (pool, submitted++);
      slot = slot + 1 < window ? slot + 1 : 0;
    }
  for (; ok && taken < submitted; taken++)
    ok = take_pair (&ring[taken % window], taken, error);
  tally->calls += taken;
  tally->ns += bench_now () - start;

  for (gsize i = 0; i < window; i++)
    g_clear_object (&ring[i]);
  return ok;
}

struct _BenchMeeting
{
  guint32 ended; /* the futex: raised when all have come */
  guint32 come;
  guint32 wanted;
  guint32 seats[BENCH_MEETING_MAX]; /* the pid of who came for each index */
};

/* A task that is run again after its worker died takes the same seat and is not counted twice. */
static gboolean
attend (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  BenchMeeting *self = user_data;
  guint32 index, nobody = 0;

  if (size != sizeof index)
    return bench_fail (error, "An argument of %" G_GSIZE_FORMAT " bytes", size);
  memcpy (&index, data, sizeof index);

  if (__atomic_compare_exchange_n (&self->seats[index], &nobody, (guint32) getpid (), FALSE,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    {
      if (__atomic_add_fetch (&self->come, 1, __ATOMIC_ACQ_REL) == self->wanted)
        {
          __atomic_store_n (&self->ended, 1, __ATOMIC_RELEASE);
          bench_futex_wake (&self->ended, G_MAXINT);
        }
    }
  else
    __atomic_store_n (&self->seats[index], (guint32) getpid (), __ATOMIC_RELEASE);

  while (__atomic_load_n (&self->ended, __ATOMIC_ACQUIRE) == 0)
    if (!bench_futex_wait (&self->ended, 0, 20 * G_GINT64_CONSTANT (1000000000)))
      return bench_fail (error, "Only %u of %u workers run a task at the same time", self->come,
                         self->wanted);
  return TRUE;
}

BenchMeeting *
bench_meeting_new (GError **error)
{
  return bench_shared_new (sizeof (BenchMeeting), error);
}

void
bench_meeting_free (BenchMeeting *self)
{
  bench_shared_free (self, sizeof *self);
}

gboolean
bench_meeting_register (BenchMeeting *self, PoolManager *pool, GError **error)
{
  return pool_manager_register_bytes (pool, "attend", attend, self, NULL, error);
}

gboolean
bench_meeting_hold (BenchMeeting *self, PoolManager *pool, guint n, GError **error)
{
  g_autoptr (GPtrArray) results = g_ptr_array_new_with_free_func (g_object_unref);

  if (n > BENCH_MEETING_MAX)
    return bench_fail (error, "More than %u workers", BENCH_MEETING_MAX);
  memset (self, 0, sizeof *self);
  self->wanted = n;

  for (guint32 i = 0; i < n; i++)
    g_ptr_array_add (results,
                     pool_manager_apply_bytes_async (pool, "attend", (const guint8 *) &i, sizeof i,
                                                     NULL, NULL, NULL, NULL));
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GBytes) bytes = pool_async_result_get_bytes (results->pdata[i], 30, error);

      if (bytes == NULL)
        return FALSE;
    }
  return TRUE;
}

pid_t
bench_meeting_get_pid (BenchMeeting *self, guint index)
{
  return (pid_t) __atomic_load_n (&self->seats[index], __ATOMIC_ACQUIRE);
}
