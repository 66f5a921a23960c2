/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-error.h"
#include "libpool/pool-launcher-private.h"
#include "tests/count-things.h"
#include "unit-common.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Real processes, each of which ends by itself or by what is tested. */

#define AGENTS_MAX 8

typedef struct
{
  PoolLauncher *launcher;
  guint n_ended;
  char *how[AGENTS_MAX];
} Fixture;

static void
note_end (guint agent, const char *how, gpointer user_data)
{
  Fixture *fixture = user_data;

  g_assert_cmpuint (agent, <, AGENTS_MAX);
  g_free (fixture->how[agent]);
  fixture->how[agent] = g_strdup (how);
  fixture->n_ended++;
}

static void
open_fixture (Fixture *fixture, const char *spec)
{
  g_autoptr (GError) error = NULL;

  memset (fixture, 0, sizeof *fixture);
  fixture->launcher = pool_launcher_new (spec, note_end, fixture, &error);
  g_assert_no_error (error);
}

static void
close_fixture (Fixture *fixture, double grace)
{
  pool_launcher_free (fixture->launcher, grace);
  for (guint i = 0; i < AGENTS_MAX; i++)
    g_free (fixture->how[i]);
}

static void
start (Fixture *fixture, guint agent, const char *const *argv)
{
  g_autoptr (GError) error = NULL;

  pool_launcher_start (fixture->launcher, agent, 2, argv, &error);
  g_assert_no_error (error);
}

static void
start_script (Fixture *fixture, guint agent, const char *script)
{
  const char *const argv[] = { "/bin/sh", "-c", script, NULL };

  start (fixture, agent, argv);
}

static void
wait_for_ends (Fixture *fixture, guint n)
{
  struct pollfd ready = { pool_launcher_get_fd (fixture->launcher), POLLIN, 0 };

  while (fixture->n_ended < n)
    {
      g_assert_cmpint (poll (&ready, 1, 30000), ==, 1);
      pool_launcher_dispatch (fixture->launcher);
    }
}

/* What becomes of a script under @spec */
static char *
run_script (const char *spec, const char *script)
{
  Fixture fixture;
  char *how;

  open_fixture (&fixture, spec);
  start_script (&fixture, 1, script);
  wait_for_ends (&fixture, 1);
  g_assert_cmpint (pool_launcher_get_pid (fixture.launcher, 1), ==, 0);
  how = g_strdup (fixture.how[1]);
  close_fixture (&fixture, 0);
  return how;
}

static void
assert_how (const char *script, const char *expected)
{
  g_autofree char *how = run_script ("local", script);

  g_assert_cmpstr (how, ==, expected);
}

static void
test_ends (void)
{
  assert_how ("exit 0", "exited with status 0");
  assert_how ("exit 7", "exited with status 7");
  assert_how ("kill -9 $$", "was killed by signal 9 (Killed)");
  assert_how ("echo to stdout; echo no route >&2; exit 255", "exited with status 255: to stdout\nno route");
  assert_how ("printf 'a\\r\\n\\033[31mred\\001\\377\\n\\n' >&2; kill -TERM $$",
              "was killed by signal 15 (Terminated): a\n?[31mred?\357\277\275");
  assert_how ("read line; echo \"<$line>\"; ls /proc/$$/fd | tr -d '\\n'", "exited with status 0: <>\n012");
}

static void
test_last_lines (void)
{
  g_autofree char *how = run_script ("local", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 3");
  g_autofree char *one = run_script ("local", "head -c 100000 /dev/zero | tr '\\0' x >&2");

  g_assert_true (g_str_has_prefix (how, "exited with status 3: line 1"));
  g_assert_true (g_str_has_suffix (how, "\nline 19999"));
  g_assert_cmpuint (strlen (how), >, 3500);
  g_assert_cmpuint (strlen (how), <, 4200);
  g_assert_true (g_str_has_suffix (one, "xxxx"));
  g_assert_cmpuint (strlen (one), ==, strlen ("exited with status 0: ") + 4096);
}

/* A process that somebody else has waited for, or that nobody can wait for, is not another's. */
static void
test_reaped_by_others (void)
{
  Fixture fixture;

  open_fixture (&fixture, "local");
  start_script (&fixture, 1, "exit 3");
  g_assert_cmpint (waitpid (pool_launcher_get_pid (fixture.launcher, 1), NULL, 0), >, 0);
  wait_for_ends (&fixture, 1);
  g_assert_true (g_str_has_prefix (fixture.how[1], "ended, nobody knows how"));
  close_fixture (&fixture, 0);
}

static void
test_signals (void)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  const char *const argv[] = { "/bin/true", NULL };

  open_fixture (&fixture, "local");
  start_script (&fixture, 1, "exec sleep 1000");
  start_script (&fixture, 2, "exec sleep 1000");
  g_assert_cmpint (pool_launcher_get_pid (fixture.launcher, 1), >, 1);
  g_assert_false (pool_launcher_start (fixture.launcher, 1, 1, argv, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  pool_launcher_signal (fixture.launcher, 1, SIGUSR1);
  pool_launcher_signal (fixture.launcher, 3, SIGUSR1);
  wait_for_ends (&fixture, 1);
  g_assert_cmpstr (fixture.how[1], ==, "was killed by signal 10 (User defined signal 1)");
  g_assert_null (fixture.how[2]);
  pool_launcher_signal (fixture.launcher, 1, SIGUSR1);
  /* the number is free again */
  start (&fixture, 1, argv);
  wait_for_ends (&fixture, 2);
  g_assert_cmpstr (fixture.how[1], ==, "exited with status 0");
  close_fixture (&fixture, 10);
}

/* What a program blocks or ignores is not passed on; its own open files are not, either. */
static void
test_clean_start (void)
{
  g_autofree char *how = NULL;
  sigset_t blocked, before;
  int fd = open ("/dev/null", O_RDONLY);

  sigemptyset (&blocked);
  sigaddset (&blocked, SIGTERM);
  sigprocmask (SIG_BLOCK, &blocked, &before);
  signal (SIGHUP, SIG_IGN);
  /* not 32 and above: the C library keeps some of those for itself */
  how = run_script ("local", "sed -n 's/^Sig[BI][lg][kn]:.*\\(.......\\)$/\\1/p' /proc/self/status; "
                             "ls /proc/$$/fd | tr -d '\\n'");
  signal (SIGHUP, SIG_DFL);
  sigprocmask (SIG_SETMASK, &before, NULL);
  close (fd);
  g_assert_cmpstr (how, ==, "exited with status 0: 0000000\n0000000\n012");
}

static void
test_no_program (void)
{
  static const struct
  {
    const char *spec, *program, *named;
  } tries[] = {
    { "local", "/nowhere/pool-agent", "/nowhere/pool-agent" },
    { "command:no-such-program-here -x {argv}", "pool-agent", "no-such-program-here" },
    { "local", "/", "\"/\"" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (tries); i++)
    {
      const char *const argv[] = { tries[i].program, "x", NULL };
      g_autoptr (GError) error = NULL;
      Fixture fixture;

      open_fixture (&fixture, tries[i].spec);
      g_assert_false (pool_launcher_start (fixture.launcher, 1, 1, argv, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
      g_assert_nonnull (strstr (error->message, tries[i].named));
      g_assert_cmpint (pool_launcher_get_pid (fixture.launcher, 1), ==, 0);
      close_fixture (&fixture, 10);
    }
}

static void
test_leaves_nothing (void)
{
  guint fds = count_fds (), children = count_children ();
  Fixture fixture;

  open_fixture (&fixture, "local");
  for (guint i = 1; i <= 200; i++)
    {
      start_script (&fixture, i % AGENTS_MAX, "exit 0");
      if (i % AGENTS_MAX == 0)
        wait_for_ends (&fixture, i);
    }
  wait_for_ends (&fixture, 200);
  /* the keeper and its socket, and the epoll */
  g_assert_cmpuint (count_fds (), ==, fds + 2);
  g_assert_cmpuint (count_children (), ==, children + 1);
  close_fixture (&fixture, 0);
  g_assert_cmpuint (count_fds (), ==, fds);
  g_assert_cmpuint (count_children (), ==, children);
}

/* A pipe that all who get it hold open; at its end nobody does. */
static char *
make_fifo (const char *folder)
{
  char *path = g_build_filename (folder, "fifo", NULL);
  g_autofree char *command = g_strdup_printf ("mkfifo '%s'", path);

  g_assert_cmpint (system (command), ==, 0);
  return path;
}

static void
remove_folder (const char *folder)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", folder);

  g_assert_cmpint (system (command), ==, 0);
}

static void
assert_all_gone (int fifo)
{
  struct pollfd ready = { fifo, POLLIN, 0 };
  char c;

  /* one byte of each that has come to its point, then the end */
  do
    g_assert_cmpint (poll (&ready, 1, 30000), ==, 1);
  while (read (fifo, &c, 1) == 1);
}

static void
read_bytes (int fifo, guint n)
{
  struct pollfd ready = { fifo, POLLIN, 0 };
  char c;

  while (n-- > 0)
    {
      g_assert_cmpint (poll (&ready, 1, 30000), ==, 1);
      g_assert_cmpint (read (fifo, &c, 1), ==, 1);
    }
}

/* Under @spec a shell and what it starts ignore SIGTERM. */
static void
check_stubborn (const char *spec)
{
  g_autofree char *folder = g_dir_make_tmp ("launcher-XXXXXX", NULL);
  g_autofree char *path = make_fifo (folder);
  g_autofree char *script = g_strdup_printf (
      "exec 3> '%s'; trap '' TERM; (printf x >&3; while :; do sleep 1000; done) & printf x >&3; while :; do wait; "
      "sleep 1000; done",
      path);
  int fifo = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  gint64 begin, took;
  Fixture fixture;

  open_fixture (&fixture, spec);
  start_script (&fixture, 1, script);
  /* both have begun */
  read_bytes (fifo, 2);
  begin = g_get_monotonic_time ();
  close_fixture (&fixture, 0.3);
  took = g_get_monotonic_time () - begin;
  g_assert_cmpint (took, >=, 250000);
  g_assert_cmpint (took, <, 5 * G_USEC_PER_SEC);
  assert_all_gone (fifo);
  close (fifo);
  remove_folder (folder);
}

static void
test_stubborn (void)
{
  check_stubborn ("local");
  check_stubborn ("command:{argv}");
  check_stubborn ("command:sh -c \"{command} ; true\"");
}

/* An agent behind a shell is asked to end, and has its time for that. */
static void
test_grace (void)
{
  g_autofree char *folder = g_dir_make_tmp ("launcher-XXXXXX", NULL);
  g_autofree char *path = make_fifo (folder);
  g_autofree char *script =
      g_strdup_printf ("exec 3> '%s'; trap 'sleep 0.2; printf bye >&3; exit 0' TERM; printf x >&3; while :; do sleep "
                       "0.1; done",
                       path);
  int fifo = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  Fixture fixture;
  char said[4] = "";

  open_fixture (&fixture, "command:sh -c \"{command} ; true\"");
  start_script (&fixture, 1, script);
  read_bytes (fifo, 1);
  close_fixture (&fixture, 30);
  g_assert_cmpint (read (fifo, said, 3), ==, 3);
  g_assert_cmpstr (said, ==, "bye");
  close (fifo);
  remove_folder (folder);
}

/* What a process leaves behind in its session when it ends is ended. */
static void
test_left_behind (void)
{
  g_autofree char *folder = g_dir_make_tmp ("launcher-XXXXXX", NULL);
  g_autofree char *path = make_fifo (folder);
  g_autofree char *script = g_strdup_printf ("exec 3> '%s'; sleep 1000 & exit 4", path);
  int fifo = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  Fixture fixture;

  open_fixture (&fixture, "local");
  start_script (&fixture, 1, script);
  wait_for_ends (&fixture, 1);
  g_assert_cmpstr (fixture.how[1], ==, "exited with status 4");
  assert_all_gone (fifo);
  close_fixture (&fixture, 0);
  close (fifo);
  remove_folder (folder);
}

/* A program that is killed takes its agents along. */
static void
test_with_the_program (void)
{
  g_autofree char *folder = g_dir_make_tmp ("launcher-XXXXXX", NULL);
  g_autofree char *path = make_fifo (folder);
  g_autofree char *script =
      g_strdup_printf ("exec 3> '%s'; trap '' TERM; (printf x >&3; sleep 1000) & printf x >&3; wait", path);
  int fifo = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  pid_t pid = fork ();

  if (pid == 0)
    {
      Fixture fixture;

      open_fixture (&fixture, "local");
      start_script (&fixture, 1, script);
      for (;;)
        pause ();
    }
  read_bytes (fifo, 2);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  assert_all_gone (fifo);
  close (fifo);
  remove_folder (folder);
}

/* A child that has a copy of the launcher frees that, and nobody ends of it. */
static void
test_forked_child (void)
{
  Fixture fixture;
  int status;
  pid_t pid;

  open_fixture (&fixture, "local");
  start_script (&fixture, 1, "sleep 0.5; exit 5");
  pid = fork ();
  if (pid == 0)
    {
      pool_launcher_free (fixture.launcher, 0);
      _exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  wait_for_ends (&fixture, 1);
  g_assert_cmpstr (fixture.how[1], ==, "exited with status 5");
  close_fixture (&fixture, 0);
}

static void
write_script (const char *path, const char *text)
{
  g_assert_true (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));
}

/* stands for ssh: shows its words, and does with the last one what sshd does */
static const char fake_ssh[] = "#!/bin/sh\n"
                               "while [ $# -gt 1 ]; do echo \"[$1]\"; shift; done\n"
                               "exec sh -c \"$1\"\n";

static void
test_ssh (void)
{
  g_autofree char *folder = g_dir_make_tmp ("launcher-XXXXXX", NULL);
  g_autofree char *program = g_build_filename (folder, "fake-ssh", NULL);
  const char *const argv[] = { "printf", "<%s>\\n", "a b", "it's", "$HOME `id` \"x\"", "", "two\nlines", "*", NULL };
  const char words[] = "<a b>\n<it's>\n<$HOME `id` \"x\">\n<>\n<two\nlines>\n<*>";
  Fixture fixture;

  write_script (program, fake_ssh);
  g_setenv ("POOL_SSH", program, TRUE);
  open_fixture (&fixture, "ssh:one,me@two:2222, [fe80::1%eth0]:22");
  g_assert_true (pool_launcher_is_remote (fixture.launcher));
  for (guint i = 0; i < 4; i++)
    start (&fixture, i, argv);
  wait_for_ends (&fixture, 4);
  for (guint i = 0; i < 4; i++)
    {
      g_assert_true (g_str_has_suffix (fixture.how[i], words));
      g_assert_nonnull (strstr (fixture.how[i], "[BatchMode=yes]"));
    }
  g_assert_nonnull (strstr (fixture.how[0], "[-T]\n[-x]\n[one]\n[--]\n<"));
  g_assert_nonnull (strstr (fixture.how[1], "[-p]\n[2222]\n[me@two]\n[--]\n<"));
  g_assert_nonnull (strstr (fixture.how[2], "[-p]\n[22]\n[fe80::1%eth0]\n[--]\n<"));
  g_assert_nonnull (strstr (fixture.how[3], "[one]\n"));
  close_fixture (&fixture, 10);
  g_unsetenv ("POOL_SSH");
  remove_folder (folder);
}

static void
check_slurm (const char *spec, const char *expected)
{
  const char *const argv[] = { "pool-agent", "-x", "a b", NULL };
  Fixture fixture;

  open_fixture (&fixture, spec);
  g_assert_true (pool_launcher_is_remote (fixture.launcher));
  start (&fixture, 1, argv);
  wait_for_ends (&fixture, 1);
  g_assert_cmpstr (fixture.how[1], ==, expected);
  close_fixture (&fixture, 10);
}

static void
test_slurm (void)
{
  g_autofree char *folder = g_dir_make_tmp ("launcher-XXXXXX", NULL);
  g_autofree char *program = g_build_filename (folder, "srun", NULL);
  g_autofree char *before = g_strdup (g_getenv ("PATH"));
  g_autofree char *path = g_strconcat (folder, ":", before, NULL);

  write_script (program, "#!/bin/sh\nprintf '[%s]' \"$@\"\n");
  g_setenv ("PATH", path, TRUE);
  check_slurm ("slurm", "exited with status 0: [--job-name=pool-agent][--input=none][--kill-on-bad-exit=1]"
                        "[--cpus-per-task=2][--ntasks=1][pool-agent][-x][a b]");
  check_slurm ("slurm:--time=10 --signal=USR1@60 --comment='a b'",
               "exited with status 0: [--job-name=pool-agent][--input=none][--kill-on-bad-exit=1]"
               "[--cpus-per-task=2][--time=10][--signal=USR1@60][--comment=a b][--ntasks=1][pool-agent][-x][a b]");
  g_setenv ("PATH", before, TRUE);
  remove_folder (folder);
}

static void
check_template (const char *spec, const char *expected)
{
  const char *const argv[] = { "pool agent", "{n}", "it's", NULL };
  Fixture fixture;

  open_fixture (&fixture, spec);
  g_assert_true (pool_launcher_is_remote (fixture.launcher));
  start (&fixture, 7, argv);
  wait_for_ends (&fixture, 1);
  g_assert_cmpstr (fixture.how[7], ==, expected);
  close_fixture (&fixture, 10);
}

static void
test_templates (void)
{
  check_template ("command:printf [%s] {argv}", "exited with status 0: [pool agent][{n}][it's]");
  check_template ("command:printf [%s] {command} {n} x{agent}-{n}",
                  "exited with status 0: ['pool agent' '{n}' 'it'\\''s'][2][x7-2]");
  check_template ("command:printf [%s] {argv} 'a {agent}' ${HOME} {} '{ x; }' {.Id} {n",
                  "exited with status 0: [pool agent][{n}][it's][a 7][${HOME}][{}][{ x; }][{.Id}][{n]");
  check_template ("command:sh -c 'n={n}; printf \"[%s]\" ${n} {command}'",
                  "exited with status 0: [2][pool agent][{n}][it's]");
}

static void
test_bad_specs (void)
{
  static const struct
  {
    const char *spec, *message;
  } bad[] = {
    { "", "*no launcher \"\"*\"local\"*\"slurm\"*" },
    { "pbs", "*no launcher \"pbs\"*\"local\"*" },
    { "pbs:x", "*no launcher \"pbs:x\"*" },
    { "loca", "*no launcher*" },
    { "locals", "*no launcher*" },
    { "\xff", "*no launcher*" },
    { "local:x", "*\"local\"*\"x\"*" },
    { "ssh", "*no launcher \"ssh\"*ssh:HOST*" },
    { "ssh:", "*has no name*[USER@]HOST[:PORT]*" },
    { "ssh:a,,b", "*has no name*" },
    { "ssh:a,", "*has no name*" },
    { "ssh:@a", "*\"@a\"*no name*" },
    { "ssh:a@", "*\"a@\"*no name*" },
    { "ssh:-oProxyCommand=x", "*\"-oProxyCommand=x\"*no name*" },
    { "ssh:me@-a", "*\"me@-a\"*no name*" },
    { "ssh:-a@b", "*\"-a@b\"*no name*" },
    { "ssh:a b", "*\"a b\"*no name*" },
    { "ssh:a;id", "*\"a;id\"*no name*" },
    { "ssh:a$(id)", "*no name*" },
    { "ssh:a\nb", "*no name*" },
    { "ssh:a:", "*\"a:\"*1 to 65535*" },
    { "ssh:a:x", "*\"a:x\"*1 to 65535*" },
    { "ssh:a:22x", "*1 to 65535*" },
    { "ssh:a:-1", "*1 to 65535*" },
    { "ssh:a:0", "*1 to 65535*" },
    { "ssh:a:65536", "*1 to 65535*" },
    { "ssh:fe80::1", "*\"fe80::1\"*brackets*" },
    { "ssh:[fe80::1", "*bracket*" },
    { "ssh:[fe80::1]x", "*bracket*" },
    { "ssh:[]:22", "*no name*" },
    { "slurm:job.sh", "*options of srun*\"job.sh\"*" },
    { "slurm:--time=1 -- x", "*options of srun*" },
    { "slurm:'--time", "*cannot be told apart*" },
    { "command", "*no launcher \"command\"*command:*" },
    { "command:", "*cannot be told apart*" },
    { "command:ssh host", "*\"ssh host\"*{command}*{argv}*{n}*{agent}*" },
    { "command:ssh {host} {command}", "*{host}*stands for nothing*{command}*{argv}*{n}*{agent}*" },
    { "command:ssh {Command}", "*{Command}*stands for nothing*" },
    { "command:run x{argv}", "*\"x{argv}\"*word of its own*" },
    { "command:run {argv}{argv}", "*word of its own*" },
    { "command:{command}", "*{argv}*sh -c {command}*" },
    { "command:sh -c \"{command}", "*cannot be told apart*" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (pool_launcher_new (bad[i].spec, note_end, NULL, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
      if (!g_pattern_match_simple (bad[i].message, error->message))
        g_error ("%s: %s", bad[i].spec, error->message);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
    }
}

static void
test_local_is_here (void)
{
  Fixture fixture;

  open_fixture (&fixture, "local");
  g_assert_false (pool_launcher_is_remote (fixture.launcher));
  close_fixture (&fixture, 0);
  pool_launcher_free (NULL, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  unit_watchdog (100);
  g_test_add_func ("/launcher/local-is-here", test_local_is_here);
  g_test_add_func ("/launcher/ends", test_ends);
  g_test_add_func ("/launcher/last-lines", test_last_lines);
  g_test_add_func ("/launcher/reaped-by-others", test_reaped_by_others);
  g_test_add_func ("/launcher/signals", test_signals);
  g_test_add_func ("/launcher/clean-start", test_clean_start);
  g_test_add_func ("/launcher/no-program", test_no_program);
  g_test_add_func ("/launcher/leaves-nothing", test_leaves_nothing);
  g_test_add_func ("/launcher/stubborn", test_stubborn);
  g_test_add_func ("/launcher/grace", test_grace);
  g_test_add_func ("/launcher/left-behind", test_left_behind);
  g_test_add_func ("/launcher/with-the-program", test_with_the_program);
  g_test_add_func ("/launcher/forked-child", test_forked_child);
  g_test_add_func ("/launcher/ssh", test_ssh);
  g_test_add_func ("/launcher/slurm", test_slurm);
  g_test_add_func ("/launcher/templates", test_templates);
  g_test_add_func ("/launcher/bad-specs", test_bad_specs);
  return g_test_run ();
}
