/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-chaos-private.h"

#include "pool-error.h"

#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define DELAY_MAX_US 5000
#define PAUSE_MIN_US (20 * 1000)
#define PAUSE_MAX_US (200 * 1000)

struct _PoolChaos
{
  PoolBackendChaos config;
  GRand *rand;
  PoolChaosFate fate; /* of the task that the worker has */
};

/* --- what is asked for --- */

static gboolean
fail (GError **error, const char *text, const char *what, ...) G_GNUC_PRINTF (3, 4);

static gboolean
fail (GError **error, const char *text, const char *what, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, what);
  message = g_strdup_vprintf (what, args);
  va_end (args);
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "The environment variable " POOL_CHAOS_VARIABLE " (\"%s\"): %s", text, message);
  return FALSE;
}

static gboolean
parse_probability (const char *text, const char *name, const char *value, double *probability,
                   GError **error)
{
  char *end = NULL;

  *probability = g_ascii_strtod (value, &end);
  /* written so that it does not hold for what is not a number */
  if (end != value && *end == '\0' && *probability >= 0 && *probability <= 1)
    return TRUE;
  return fail (error, text, "%s takes a probability from 0 to 1, not \"%s\"", name, value);
}

static gboolean
parse_part (const char *text, const char *part, PoolBackendChaos *config, guint *seen, GError **error)
{
  static const char *const names[] = { "kill", "stop", "delay", "seed" };
  double *const probabilities[] = { &config->kill, &config->stop, &config->delay };
  gsize length = strcspn (part, ":=");
  const char *value = part + length + 1;
  guint i = 0;

  while (i < G_N_ELEMENTS (names) &&
         (strlen (names[i]) != length || strncmp (names[i], part, length) != 0))
    i++;
  if (i == G_N_ELEMENTS (names))
    return fail (error, text, "\"%.*s\" is none of kill, stop, delay and seed", (int) length, part);
  if (part[length] == '\0')
    return fail (error, text, "%s has no value; write %s", names[i],
                 i < G_N_ELEMENTS (probabilities) ? "NAME:PROBABILITY" : "seed=NUMBER");
  if (*seen & 1u << i)
    return fail (error, text, "%s is given twice", names[i]);
  *seen |= 1u << i;

  if (i < G_N_ELEMENTS (probabilities))
    return parse_probability (text, names[i], value, probabilities[i], error);
  return g_ascii_string_to_unsigned (value, 10, 0, G_MAXUINT64, &config->seed, NULL) ||
         fail (error, text, "seed takes a whole number, not \"%s\"", value);
}

gboolean
pool_chaos_parse (const char *text, PoolBackendChaos *config, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  guint seen = 0;

  *config = (PoolBackendChaos){ 0 };
  for (char **part = parts; *part != NULL; part++)
    if (!parse_part (text, *part, config, &seen, error))
      return FALSE;
  if (config->kill + config->stop + config->delay > 1)
    return fail (error, text, "the probabilities add up to more than 1");
  return TRUE;
}

gboolean
pool_chaos_configure (PoolBackendChaos *config, const char *backend, PoolBackendFlags flags,
                      GError **error)
{
  const char *text = getauxval (AT_SECURE) ? NULL : g_getenv (POOL_CHAOS_VARIABLE);

  *config = (PoolBackendChaos){ 0 };
  if (text == NULL || *text == '\0')
    return TRUE;
  if (!pool_chaos_parse (text, config, error))
    return FALSE;
  if (!(flags & POOL_BACKEND_TAKES_CHAOS))
    return fail (error, text, "workers of the backend %s cannot be disturbed", backend);
  if ((config->kill > 0 || config->stop > 0) && !(flags & POOL_BACKEND_ISOLATES))
    return fail (error, text,
                 "workers of the backend %s share a process with the program, which kill and stop would "
                 "take along: ask for delay only, or take another backend",
                 backend);
  return TRUE;
}

/* --- what a worker does --- */

static GRand *
new_rand (const PoolBackendChaos *config, guint worker, guint32 incarnation, guint n)
{
  const guint32 seeds[] = { config->seed, config->seed >> 32, worker, incarnation, n };

  return g_rand_new_with_seed_array (seeds, G_N_ELEMENTS (seeds));
}

PoolChaos *
pool_chaos_new (const PoolBackendChaos *config, guint worker, guint32 incarnation)
{
  PoolChaos *self;

  if (config->kill <= 0 && config->stop <= 0 && config->delay <= 0)
    return NULL;
  self = g_new0 (PoolChaos, 1);
  self->config = *config;
  self->rand = new_rand (config, worker, incarnation, 0);
  return self;
}

void
pool_chaos_free (PoolChaos *self)
{
  if (self == NULL)
    return;
  g_rand_free (self->rand);
  g_free (self);
}

/* What happens during the next task. As many numbers are drawn whatever it is, so that each task has its own. */
PoolChaosFate
pool_chaos_draw (PoolChaos *self)
{
  const PoolBackendChaos *config = &self->config;
  double luck = g_rand_double (self->rand);
  PoolChaosFate fate = { .point = g_rand_int_range (self->rand, 0, POOL_CHAOS_N_POINTS),
                         .delay = g_rand_int_range (self->rand, 0, DELAY_MAX_US + 1) };

  if (luck < config->kill)
    fate.action = POOL_CHAOS_KILL;
  else if (luck < config->kill + config->stop)
    fate.action = POOL_CHAOS_STOP;
  else if (luck < config->kill + config->stop + config->delay)
    fate.action = POOL_CHAOS_DELAY;
  return fate;
}

void
pool_chaos_reach (PoolChaos *self, PoolChaosPoint point)
{
  if (point == POOL_CHAOS_CLAIMED)
    self->fate = pool_chaos_draw (self);
  if (self->fate.action == POOL_CHAOS_NOTHING || self->fate.point != point)
    return;

  if (self->fate.action == POOL_CHAOS_DELAY)
    g_usleep (self->fate.delay);
  else
    kill (getpid (), self->fate.action == POOL_CHAOS_KILL ? SIGKILL : SIGSTOP);
}

gint64
pool_chaos_get_pause (const PoolBackendChaos *config, guint worker, guint32 incarnation, guint n)
{
  g_autoptr (GRand) rand = NULL;

  if (config->stop <= 0)
    return 0;
  rand = new_rand (config, worker, incarnation, n + 1);
  return g_rand_int_range (rand, PAUSE_MIN_US, PAUSE_MAX_US + 1);
}
