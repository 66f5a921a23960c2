/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What ThreadSanitizer cannot see of GLib, which is not built with it: that a lock orders what happens before
 * its release and after it is taken. To be preloaded into tests of a build with b_sanitize=thread; it does
 * nothing in a program that has no sanitizer.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <glib-object.h>

void __tsan_acquire (void *address) __attribute__ ((weak));
void __tsan_release (void *address) __attribute__ ((weak));

#define EXPORT __attribute__ ((visibility ("default")))
#define REAL(name)                                                                                 \
  static __typeof__ (name) *real;                                                                  \
  if (real == NULL)                                                                                \
  *(void **) &real = dlsym (RTLD_NEXT, #name)

static void
acquire (gconstpointer address)
{
  if (__tsan_acquire != NULL)
    __tsan_acquire ((void *) address);
}

static void
release (gconstpointer address)
{
  if (__tsan_release != NULL)
    __tsan_release ((void *) address);
}

#define LOCK(type, name)                                                                           \
  EXPORT void name (type *lock)                                                                    \
  {                                                                                                \
    REAL (name);                                                                                   \
    real (lock);                                                                                   \
    acquire (lock);                                                                                \
  }
#define TRYLOCK(type, name)                                                                        \
  EXPORT gboolean name (type *lock)                                                                \
  {                                                                                                \
    REAL (name);                                                                                   \
    if (!real (lock))                                                                              \
      return FALSE;                                                                                \
    acquire (lock);                                                                                \
    return TRUE;                                                                                   \
  }
#define UNLOCK(type, name)                                                                         \
  EXPORT void name (type *lock)                                                                    \
  {                                                                                                \
    REAL (name);                                                                                   \
    release (lock);                                                                                \
    real (lock);                                                                                   \
  }

LOCK (GMutex, g_mutex_lock)
TRYLOCK (GMutex, g_mutex_trylock)
UNLOCK (GMutex, g_mutex_unlock)
LOCK (GRecMutex, g_rec_mutex_lock)
TRYLOCK (GRecMutex, g_rec_mutex_trylock)
UNLOCK (GRecMutex, g_rec_mutex_unlock)
LOCK (GRWLock, g_rw_lock_writer_lock)
TRYLOCK (GRWLock, g_rw_lock_writer_trylock)
UNLOCK (GRWLock, g_rw_lock_writer_unlock)
LOCK (GRWLock, g_rw_lock_reader_lock)
TRYLOCK (GRWLock, g_rw_lock_reader_trylock)
UNLOCK (GRWLock, g_rw_lock_reader_unlock)

EXPORT void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  REAL (g_cond_wait);
  release (mutex);
  real (cond, mutex);
  acquire (mutex);
}

EXPORT gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  gboolean signalled;

  REAL (g_cond_wait_until);
  release (mutex);
  signalled = real (cond, mutex, end_time);
  acquire (mutex);
  return signalled;
}

EXPORT gboolean
(g_once_init_enter) (volatile void *location)
{
  gboolean first;

  REAL (g_once_init_enter);
  first = real (location);
  acquire ((void *) location);
  return first;
}

EXPORT void
(g_once_init_leave) (volatile void *location, gsize result)
{
  REAL (g_once_init_leave);
  release ((void *) location);
  real (location, result);
}

EXPORT void
g_async_queue_push (GAsyncQueue *queue, gpointer data)
{
  REAL (g_async_queue_push);
  release (queue);
  real (queue, data);
}

EXPORT gpointer
g_async_queue_pop (GAsyncQueue *queue)
{
  gpointer data;

  REAL (g_async_queue_pop);
  data = real (queue);
  acquire (queue);
  return data;
}

EXPORT gpointer
g_async_queue_timeout_pop (GAsyncQueue *queue, guint64 timeout)
{
  gpointer data;

  REAL (g_async_queue_timeout_pop);
  data = real (queue, timeout);
  acquire (queue);
  return data;
}

EXPORT gboolean
(g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  gboolean last;

  REAL (g_atomic_ref_count_dec);
  release (count);
  last = real (count);
  acquire (count);
  return last;
}

/* The last of several owners frees what the others have written. */
EXPORT void
g_object_unref (gpointer object)
{
  REAL (g_object_unref);
  release (object);
  acquire (object);
  real (object);
}

EXPORT void
g_bytes_unref (GBytes *bytes)
{
  REAL (g_bytes_unref);
  release (bytes);
  acquire (bytes);
  real (bytes);
}

EXPORT void
g_variant_unref (GVariant *value)
{
  REAL (g_variant_unref);
  release (value);
  acquire (value);
  real (value);
}
