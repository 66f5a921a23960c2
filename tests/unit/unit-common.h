/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

G_BEGIN_DECLS

#ifdef __has_feature
#define UNIT_HAS_FEATURE(feature) __has_feature (feature)
#else
#define UNIT_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_THREAD__) || UNIT_HAS_FEATURE (thread_sanitizer)
#define UNIT_TSAN 1
#else
#define UNIT_TSAN 0
#endif

#if UNIT_TSAN || defined(__SANITIZE_ADDRESS__) || UNIT_HAS_FEATURE (address_sanitizer)
#define UNIT_SANITIZED 1
#else
#define UNIT_SANITIZED 0
#endif

static inline gboolean
unit_on_valgrind (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

  return preload != NULL && strstr (preload, "vgpreload") != NULL;
}

/* How often to do something that is worth doing @n times at full speed. */
static inline guint
unit_scale (guint n)
{
  if (unit_on_valgrind ())
    return MAX (n / 100, 100);
  return UNIT_SANITIZED ? n / 10 : n;
}

static inline void
unit_watchdog_barks (int signum)
{
  static const char text[] = "Bail out! Stalled: the watchdog's time is over\n";
  ssize_t written = write (STDOUT_FILENO, text, sizeof text - 1);

  _exit (written > 0 ? 70 : 71);
}

/* Ends the program when the test is not over in that many seconds; 0: it is. */
static inline void
unit_watchdog (guint seconds)
{
  signal (SIGALRM, unit_watchdog_barks);
  alarm (unit_on_valgrind () || UNIT_SANITIZED ? 6 * seconds : seconds);
}

/* Random numbers for threads and children: each has its own state. */
static inline guint32
unit_random (guint64 *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state >> 32;
}

static inline guint64
unit_random_seed (void)
{
  return (guint64) g_test_rand_int () << 32 | (guint32) g_test_rand_int () | 1;
}

/* Expects that the code before it, in a subprocess, ends the program by an assertion. */
#define unit_expect_abort(path, pattern)                                                           \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_test_trap_subprocess (path, 0, 0);                                                           \
    g_test_trap_assert_failed ();                                                                  \
    g_test_trap_assert_stderr (pattern);                                                           \
  }                                                                                                \
  G_STMT_END

G_END_DECLS
