/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/libpool.h"
#include "unit-common.h"

#include <sched.h>

static guint
count_with (const char *text)
{
  if (text != NULL)
    g_setenv ("POOL_CPUS", text, TRUE);
  else
    g_unsetenv ("POOL_CPUS");
  return pool_cpu_count ();
}

/* CPUs that this thread may use */
static guint
usable (cpu_set_t *set)
{
  g_assert_cmpint (sched_getaffinity (0, sizeof *set, set), ==, 0);
  return CPU_COUNT (set);
}

static void
test_override (void)
{
  if (g_test_subprocess ())
    {
      g_assert_cmpuint (count_with ("1"), ==, 1);
      g_assert_cmpuint (count_with ("3"), ==, 3);
      g_assert_cmpuint (count_with ("4096"), ==, 4096);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static void
test_no_override (void)
{
  static const char *const nonsense[] = { "", "0", "-1", "many", " " };

  if (g_test_subprocess ())
    {
      guint count = count_with (NULL);

      g_assert_cmpuint (count, >=, 1);
      for (guint i = 0; i < G_N_ELEMENTS (nonsense); i++)
        g_assert_cmpuint (count_with (nonsense[i]), ==, count);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

/* In a process of its own: nothing has to be put back. */
static void
test_affinity (void)
{
  if (g_test_subprocess ())
    {
      cpu_set_t all, one;
      guint n;

      g_unsetenv ("POOL_CPUS");
      n = usable (&all);
      g_assert_cmpuint (pool_cpu_count (), <=, n);
      for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET (cpu, &all))
          {
            CPU_ZERO (&one);
            CPU_SET (cpu, &one);
            g_assert_cmpint (sched_setaffinity (0, sizeof one, &one), ==, 0);
            g_assert_cmpuint (pool_cpu_count (), ==, 1);
            /* who asks for more by name gets it */
            g_assert_cmpuint (count_with ("5"), ==, 5);
            g_unsetenv ("POOL_CPUS");
          }
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cpu-count/override", test_override);
  g_test_add_func ("/cpu-count/no-override", test_no_override);
  g_test_add_func ("/cpu-count/affinity", test_affinity);
  return g_test_run ();
}
