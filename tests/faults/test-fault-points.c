/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault-scenario.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Every call of the system that a pool makes fails once, each in a run of its own: the first, the second, and so on until
 * a run has seen no fault; and then from the first on for ever. In each run every call of the program works or
 * gets a typed error, the pool comes to its end, and nothing is left of it.
 */

/* Larger is what grows with the program's data; GLib ends the program over what is smaller, by design. */
#define PAYLOAD_MIN (64 * 1024 + 1)

static const struct
{
  const char *name;
  int error;
} calls[FAULT_N_CALLS] = {
  [FAULT_FORK] = { "fork", EAGAIN },
  [FAULT_MMAP] = { "mmap", ENOMEM },
  [FAULT_MEMFD] = { "memfd_create", EMFILE },
  [FAULT_EVENTFD] = { "eventfd", EMFILE },
  [FAULT_SIGNALFD] = { "signalfd", EMFILE },
  [FAULT_EPOLL_CREATE] = { "epoll_create1", EMFILE },
  [FAULT_EPOLL_CTL] = { "epoll_ctl", ENOMEM },
  [FAULT_TIMERFD] = { "timerfd_create", EMFILE },
  [FAULT_SOCKETPAIR] = { "socketpair", EMFILE },
  [FAULT_PIDFD] = { "pidfd_open", EMFILE },
  [FAULT_SEND] = { "send", ENOBUFS },
  [FAULT_FTRUNCATE] = { "ftruncate", ENOSPC },
  [FAULT_THREAD] = { "pthread_create", EAGAIN },
  [FAULT_SPAWN] = { "posix_spawn", EAGAIN },
  [FAULT_OPEN] = { "open", EMFILE },
  [FAULT_ALLOC] = { "malloc", ENOMEM },
};

static const char *const roles[FAULT_N_ROLES] = { "manager", "zygote", "worker" };

static const char *program;
static FaultControl *control;
static int reached[FAULT_N_CALLS][FAULT_N_ROLES]; /* how often, in a run without a fault */

/* Runs the scenario; FALSE: the test has failed. */
static gboolean
run (int call, FaultRole role, int first, int times)
{
  const char *argv[] = { program, "--scenario", NULL };
  g_auto (GStrv) environment = g_get_environ ();
  g_autofree char *output = NULL;
  g_autofree char *errors = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  memset (control, 0, sizeof *control);
  control->min_size = PAYLOAD_MIN;
  control->call = call;
  control->role = role;
  control->first = first;
  control->times = times;
  control->error = call >= 0 ? calls[call].error : 0;
  environment = g_environ_setenv (environment, "LD_PRELOAD", g_getenv ("POOL_FAULT_PRELOAD"), TRUE);
  g_spawn_sync (NULL, (char **) argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &output, &errors,
                &status, &error);
  g_assert_no_error (error);
  if (status == 0)
    return TRUE;

  g_test_message ("%s number %d of the %s%s: %s %d\n%s%s", call >= 0 ? calls[call].name : "nothing",
                  first, roles[role], times > 1 ? " and all after it" : "",
                  WIFSIGNALED (status) ? "ended by signal" : "exit status",
                  WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status), output, errors);
  g_test_fail ();
  return FALSE;
}

static void
test_call (gconstpointer data)
{
  FaultCall call = GPOINTER_TO_INT (data);
  GString *summary = g_string_new (NULL);
  guint n_points = 0;

  for (FaultRole role = 0; role < FAULT_N_ROLES; role++)
    {
      guint n = 0;

      if (reached[call][role] == 0)
        continue;
      while (run (call, role, n + 1, 1) && control->n_fired > 0)
        n++;
      if (control->n_fired == 0)
        run (call, role, 1, INT_MAX);
      g_string_append_printf (summary, ", %u in the %s", n, roles[role]);
      n_points += n;
    }
  g_test_message ("%s: %u points%s", calls[call].name, n_points, summary->str);
  g_string_free (summary, TRUE);
}

static void
test_no_fault (void)
{
  if (!run (-1, FAULT_MANAGER, 0, 0))
    return;
  for (guint call = 0; call < FAULT_N_CALLS; call++)
    for (guint role = 0; role < FAULT_N_ROLES; role++)
      reached[call][role] = control->counts[call][role];
}

int
main (int argc, char **argv)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  int fd, status;

  if (argc > 1 && g_str_equal (argv[1], "--scenario"))
    return fault_scenario_main ();

  g_test_init (&argc, &argv, NULL);
  g_test_set_nonfatal_assertions ();
  program = argv[0];
  fd = g_file_open_tmp ("pool-fault-XXXXXX", &path, &error);
  g_assert_no_error (error);
  g_assert_cmpint (ftruncate (fd, sizeof *control), ==, 0);
  close (fd);
  control = fault_control_map (path);
  g_assert_nonnull (control);
  g_setenv ("POOL_FAULT_CONTROL", path, TRUE);

  g_test_add_func ("/fault-points/none", test_no_fault);
  for (guint call = 0; call < FAULT_N_CALLS; call++)
    {
      g_autofree char *name = g_strdup_printf ("/fault-points/%s", calls[call].name);

      g_test_add_data_func (name, GINT_TO_POINTER (call), test_call);
    }
  status = g_test_run ();
  unlink (path);
  return status;
}
