/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libpool.h"
#include "libpool/pool-chaos-private.h"

/* What POOL_CHAOS may say, and that what a worker does follows from the seed. */

static void
test_forms (void)
{
  PoolBackendChaos config;
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_chaos_parse ("kill:0.01,stop:0.001,delay:1e-1,seed=7", &config, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (config.kill, ==, 0.01);
  g_assert_cmpfloat (config.stop, ==, 0.001);
  g_assert_cmpfloat (config.delay, ==, 0.1);
  g_assert_cmpuint (config.seed, ==, 7);

  g_assert_true (pool_chaos_parse ("seed=18446744073709551615", &config, &error));
  g_assert_cmpfloat (config.kill, ==, 0);
  g_assert_cmpuint (config.seed, ==, G_MAXUINT64);
  g_assert_null (pool_chaos_new (&config, 0, 1));
  g_assert_true (pool_chaos_parse ("delay=1", &config, &error));
  g_assert_cmpfloat (config.delay, ==, 1);
  g_assert_cmpuint (config.seed, ==, 0);
}

static void
test_malformed (void)
{
  static const struct
  {
    const char *text, *what;
  } cases[] = {
    { "kil:0.1", "\"kil\" is none of" },
    { "killer:0.1", "\"killer\" is none of" },
    { "KILL:0.1", "\"KILL\" is none of" },
    { "kill", "kill has no value" },
    { "seed", "seed has no value" },
    { "kill:", "kill takes a probability" },
    { "kill:much", "not \"much\"" },
    { "kill:0.1x", "not \"0.1x\"" },
    { "kill:0,1", "\"1\" is none of" },
    { "kill:-0.1", "from 0 to 1" },
    { "delay:1.5", "from 0 to 1" },
    { "stop:nan", "not \"nan\"" },
    { "stop:inf", "not \"inf\"" },
    { "kill:0.1,kill:0.2", "kill is given twice" },
    { "kill:0.6,stop:0.3,delay:0.2", "add up to more than 1" },
    { "kill:0.1,", "\"\" is none of" },
    { ",kill:0.1", "\"\" is none of" },
    { "kill:0.1 seed=7", "not \"0.1 seed=7\"" },
    { "seed=-1", "seed takes a whole number" },
    { "seed=7.5", "seed takes a whole number" },
    { "seed=18446744073709551616", "seed takes a whole number" },
    { "seed=", "seed takes a whole number" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      PoolBackendChaos config;
      g_autoptr (GError) error = NULL;

      g_assert_false (pool_chaos_parse (cases[i].text, &config, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, "POOL_CHAOS"));
      g_assert_nonnull (strstr (error->message, cases[i].text));
      g_assert_nonnull (strstr (error->message, cases[i].what));
    }
}

static guint
count_differences (const PoolBackendChaos *a, guint worker_a, guint32 incarnation_a,
                   const PoolBackendChaos *b, guint worker_b, guint32 incarnation_b)
{
  PoolChaos *one = pool_chaos_new (a, worker_a, incarnation_a);
  PoolChaos *two = pool_chaos_new (b, worker_b, incarnation_b);
  guint n = 0;

  for (guint i = 0; i < 1000; i++)
    {
      PoolChaosFate x = pool_chaos_draw (one), y = pool_chaos_draw (two);

      n += x.action != y.action || x.point != y.point || x.delay != y.delay;
    }
  pool_chaos_free (one);
  pool_chaos_free (two);
  return n;
}

static void
test_same_seed (void)
{
  const PoolBackendChaos seven = { .kill = 0.2, .stop = 0.2, .delay = 0.2, .seed = 7 };
  const PoolBackendChaos high = { .kill = 0.2, .stop = 0.2, .delay = 0.2, .seed = 7 + (1ull << 32) };

  g_assert_cmpuint (count_differences (&seven, 3, 5, &seven, 3, 5), ==, 0);
  g_assert_cmpuint (count_differences (&seven, 3, 5, &high, 3, 5), >, 500);
  g_assert_cmpuint (count_differences (&seven, 3, 5, &seven, 4, 5), >, 500);
  g_assert_cmpuint (count_differences (&seven, 3, 5, &seven, 3, 6), >, 500);
  g_assert_cmpint (pool_chaos_get_pause (&seven, 3, 5, 0), ==, pool_chaos_get_pause (&seven, 3, 5, 0));
  g_assert_cmpint (pool_chaos_get_pause (&seven, 3, 5, 0), !=, pool_chaos_get_pause (&seven, 3, 5, 1));
}

static void
test_shares (void)
{
  const PoolBackendChaos config = { .kill = 0.1, .stop = 0.2, .delay = 0.3, .seed = 1 };
  const PoolBackendChaos calm = { .kill = 0.1 };
  PoolChaos *chaos = pool_chaos_new (&config, 0, 1);
  guint actions[POOL_CHAOS_DELAY + 1] = { 0 }, points[POOL_CHAOS_N_POINTS] = { 0 };

  for (guint i = 0; i < 10000; i++)
    {
      PoolChaosFate fate = pool_chaos_draw (chaos);

      actions[fate.action]++;
      points[fate.point]++;
      g_assert_cmpuint (fate.delay, <=, 5000);
    }
  pool_chaos_free (chaos);
  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    g_assert_cmpuint (points[i], >, 3000);
  g_assert_cmpuint (ABS ((int) actions[POOL_CHAOS_KILL] - 1000), <, 200);
  g_assert_cmpuint (ABS ((int) actions[POOL_CHAOS_STOP] - 2000), <, 300);
  g_assert_cmpuint (ABS ((int) actions[POOL_CHAOS_DELAY] - 3000), <, 300);
  for (guint i = 0; i < 100; i++)
    {
      g_assert_cmpint (pool_chaos_get_pause (&config, i, 1, i), >=, 20000);
      g_assert_cmpint (pool_chaos_get_pause (&config, i, 1, i), <=, 200000);
    }
  g_assert_cmpint (pool_chaos_get_pause (&calm, 0, 1, 0), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/chaos/forms", test_forms);
  g_test_add_func ("/chaos/malformed", test_malformed);
  g_test_add_func ("/chaos/same-seed", test_same_seed);
  g_test_add_func ("/chaos/shares", test_shares);
  return g_test_run ();
}
