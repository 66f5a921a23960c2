/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-metrics-private.h"
#include "unit-common.h"

#include <math.h>

static guint
find_bucket (double seconds)
{
  PoolHistogram histogram = { 0 };
  guint found = G_MAXUINT;

  pool_histogram_add (&histogram, seconds);
  for (guint i = 0; i <= POOL_HISTOGRAM_BOUNDS; i++)
    if (histogram.counts[i] > 0)
      {
        g_assert_cmpuint (histogram.counts[i], ==, 1);
        g_assert_cmpuint (found, ==, G_MAXUINT);
        found = i;
      }
  g_assert_cmpuint (histogram.count, ==, found != G_MAXUINT);
  g_assert_cmpfloat (histogram.sum, ==, found != G_MAXUINT ? seconds : 0);
  return found;
}

/* A bound belongs to its bucket, and what is a hair above it to the next. */
static void
test_edges (void)
{
  for (guint i = 0; i < POOL_HISTOGRAM_BOUNDS; i++)
    {
      double bound = pool_histogram_get_bound (i);

      g_assert_cmpuint (find_bucket (bound), ==, i);
      g_assert_cmpuint (find_bucket (bound * (1 + 1e-15)), ==, i + 1);
      g_assert_cmpuint (find_bucket (bound * (1 - 1e-15)), ==, i);
    }
  g_assert_cmpuint (find_bucket (0), ==, 0);
  g_assert_cmpuint (find_bucket (1e-9), ==, 0);
  g_assert_cmpuint (find_bucket (1e6), ==, POOL_HISTOGRAM_BOUNDS);
  g_assert_cmpuint (find_bucket (G_MAXDOUBLE), ==, POOL_HISTOGRAM_BOUNDS);
}

static void
test_bounds (void)
{
  static const double steps[] = { 2, 2.5, 2 };

  g_assert_cmpfloat (pool_histogram_get_bound (0), ==, 1e-6);
  g_assert_cmpfloat (pool_histogram_get_bound (POOL_HISTOGRAM_BOUNDS - 1), ==, 1000);
  g_assert_true (isinf (pool_histogram_get_bound (POOL_HISTOGRAM_BOUNDS)));
  for (guint i = 1; i < POOL_HISTOGRAM_BOUNDS; i++)
    g_assert_cmpfloat_with_epsilon (pool_histogram_get_bound (i) / pool_histogram_get_bound (i - 1),
                                    steps[(i - 1) % 3], 1e-9);
}

static void
test_nonsense (void)
{
  g_assert_cmpuint (find_bucket (-1e-9), ==, G_MAXUINT);
  g_assert_cmpuint (find_bucket (NAN), ==, G_MAXUINT);
  g_assert_cmpuint (find_bucket (INFINITY), ==, G_MAXUINT);
  g_assert_cmpuint (find_bucket (-INFINITY), ==, G_MAXUINT);
}

static void
test_variant (void)
{
  PoolHistogram histogram = { 0 };
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) buckets = NULL;
  guint64 count, n = 0;
  double sum, bound;

  pool_histogram_add (&histogram, 0.25);
  pool_histogram_add (&histogram, 0.5);
  pool_histogram_add (&histogram, 5000);
  value = g_variant_ref_sink (pool_histogram_to_variant (&histogram));
  g_variant_get (value, "(@a(dt)dt)", &buckets, &sum, &count);
  g_assert_cmpfloat (sum, ==, 5000.75);
  g_assert_cmpuint (count, ==, 3);
  g_assert_cmpuint (g_variant_n_children (buckets), ==, POOL_HISTOGRAM_BOUNDS + 1);
  for (guint i = 0; i <= POOL_HISTOGRAM_BOUNDS; i++)
    {
      guint64 in_bucket;

      g_variant_get_child (buckets, i, "(dt)", &bound, &in_bucket);
      g_assert_cmpfloat (bound, ==, pool_histogram_get_bound (i));
      g_assert_cmpuint (in_bucket, ==, bound == 0.5 ? 2 : isinf (bound) ? 1 : 0);
      n += in_bucket;
    }
  g_assert_cmpuint (n, ==, count);
}

static void
assert_line (const char *text, const char *line)
{
  g_autofree char *whole = g_strdup_printf ("\n%s\n", line);

  if (strstr (text, whole) == NULL)
    g_error ("There is no line “%s” in:\n%s", line, text);
}

static void
test_metrics (void)
{
  PoolStatistics statistics = { 0 };
  PoolMetrics metrics = { .n_submitted = 7, .n_alive = 2, .bytes_in_flight = 123456789012, .statistics = &statistics };
  g_autofree char *text = NULL;

  metrics.counters.n_done = 5;
  metrics.counters.n_soft_timed_out = 3;
  metrics.counters.n_exits[POOL_DOWN_REASON_OUT_OF_MEMORY] = 4;
  pool_histogram_add (&statistics.histograms[POOL_HISTOGRAM_RUN_TIME], 1e-6);
  pool_histogram_add (&statistics.histograms[POOL_HISTOGRAM_RUN_TIME], 0.75);
  pool_histogram_add (&statistics.histograms[POOL_HISTOGRAM_RUN_TIME], 2000);
  text = pool_metrics_format (&metrics, "fork");

  assert_line (text, "libpool_tasks_submitted_total{backend=\"fork\"} 7");
  assert_line (text, "# TYPE libpool_tasks_done counter");
  assert_line (text, "libpool_tasks_done_total{backend=\"fork\"} 5");
  assert_line (text, "libpool_tasks_timed_out_total{backend=\"fork\",limit=\"soft\"} 3");
  assert_line (text, "libpool_worker_exits_total{backend=\"fork\",reason=\"out_of_memory\"} 4");
  assert_line (text, "# TYPE libpool_workers_alive gauge");
  assert_line (text, "libpool_workers_alive{backend=\"fork\"} 2");
  assert_line (text, "# UNIT libpool_in_flight_bytes bytes");
  assert_line (text, "libpool_in_flight_bytes{backend=\"fork\"} 123456789012");
  assert_line (text, "# TYPE libpool_run_time_seconds histogram");
  assert_line (text, "libpool_run_time_seconds_bucket{backend=\"fork\",le=\"1e-06\"} 1");
  assert_line (text, "libpool_run_time_seconds_bucket{backend=\"fork\",le=\"0.0005\"} 1");
  assert_line (text, "libpool_run_time_seconds_bucket{backend=\"fork\",le=\"0.5\"} 1");
  assert_line (text, "libpool_run_time_seconds_bucket{backend=\"fork\",le=\"1.0\"} 2");
  assert_line (text, "libpool_run_time_seconds_bucket{backend=\"fork\",le=\"1000.0\"} 2");
  assert_line (text, "libpool_run_time_seconds_bucket{backend=\"fork\",le=\"+Inf\"} 3");
  assert_line (text, "libpool_run_time_seconds_count{backend=\"fork\"} 3");
  assert_line (text, "libpool_run_time_seconds_sum{backend=\"fork\"} 2000.750001");
  assert_line (text, "libpool_restart_time_seconds_sum{backend=\"fork\"} 0.0");
  g_assert_true (g_str_has_suffix (text, "\n# EOF\n"));
}

/* A name may be anything, and no histogram is there that was not kept. */
static void
test_metrics_escaped (void)
{
  const PoolMetrics metrics = { 0 };
  g_autofree char *text = pool_metrics_format (&metrics, "a\"b\\c\nd");

  assert_line (text, "libpool_tasks_done_total{backend=\"a\\\"b\\\\c\\nd\"} 0");
  g_assert_null (strstr (text, "histogram"));
  g_assert_true (g_str_has_suffix (text, "\n# EOF\n"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/statistics/edges", test_edges);
  g_test_add_func ("/statistics/bounds", test_bounds);
  g_test_add_func ("/statistics/nonsense", test_nonsense);
  g_test_add_func ("/statistics/variant", test_variant);
  g_test_add_func ("/statistics/metrics", test_metrics);
  g_test_add_func ("/statistics/metrics-escaped", test_metrics_escaped);
  return g_test_run ();
}
