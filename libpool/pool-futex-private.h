/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

G_BEGIN_DECLS

/*
 * Not FUTEX_PRIVATE: the words lie in memory that processes share. A negative timeout (nanoseconds) waits for ever.
 */
static inline void
pool_futex_wait (_Atomic guint32 *word, guint32 expected, gint64 timeout)
{
  struct timespec ts = { timeout / 1000000000, timeout % 1000000000 };

  syscall (SYS_futex, (guint32 *) word, FUTEX_WAIT, expected, timeout < 0 ? NULL : &ts, NULL, 0);
}

static inline void
pool_futex_wake (_Atomic guint32 *word, int n)
{
  syscall (SYS_futex, (guint32 *) word, FUTEX_WAKE, n, NULL, NULL, 0);
}

static inline gint64
pool_now_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (gint64) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline void
pool_cpu_relax (void)
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#elif defined(__aarch64__)
  __asm__ volatile ("yield" ::: "memory");
#else
  atomic_signal_fence (memory_order_seq_cst);
#endif
}

G_END_DECLS
