/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-run.h"

#include "pool-cli-flow.h"
#include "pool-cli-report.h"
#include "pool-cli.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* The life of a run: the pool, the signals, the end. What lies between is in pool-cli-flow.c. */

#define PROGRESS_INTERVAL_MS 100
/* After a signal the program ends within two seconds, whatever its tasks do. */
#define JOIN_SECONDS 1.0
#define DRAIN_MS 250

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

typedef struct
{
  PoolCliFlow flow;
  GSource *signal_sources[G_N_ELEMENTS (signals)];
  GSource *progress_source;
  PoolCliReport report;
  int caught_signal;
} Run;

static gboolean
on_progress (gpointer user_data)
{
  PoolCliFlow *flow = user_data;
  gint64 total = pool_cli_input_get_total (flow->input);

  if (total < 0 && flow->at_end)
    total = (gint64) flow->n_read;
  if (pool_cli_output_is_idle (flow->out) && pool_cli_output_is_idle (flow->err) &&
      pool_cli_output_at_line_start (flow->out) && pool_cli_output_at_line_start (flow->err))
    pool_cli_progress_show (flow->progress, flow->n_read - flow->n_open, flow->n_failed, total);
  return G_SOURCE_CONTINUE;
}

static void
on_output_changed (PoolCliOutput *output, gpointer user_data)
{
  Run *run = user_data;

  pool_cli_flow_output_changed (&run->flow);
}

static void
catch_signal (Run *run, int number)
{
  run->caught_signal = number;
  g_main_loop_quit (run->flow.loop);
}

static gboolean
on_interrupt (gpointer user_data)
{
  catch_signal (user_data, SIGINT);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_terminate (gpointer user_data)
{
  catch_signal (user_data, SIGTERM);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_hangup (gpointer user_data)
{
  catch_signal (user_data, SIGHUP);
  return G_SOURCE_CONTINUE;
}

/*
 * GLib's signal sources bring a thread along, and a program with threads is a worse one to fork
 * from: they are made when the pool has started, and a signal that comes while it does waits.
 */
static void
hold_signals (sigset_t *before)
{
  sigset_t set;

  sigemptyset (&set);
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    sigaddset (&set, signals[i]);
  pthread_sigmask (SIG_BLOCK, &set, before);
}

static void
release_signals (const sigset_t *before)
{
  pthread_sigmask (SIG_SETMASK, before, NULL);
}

static void
add_signals (Run *run)
{
  static const GSourceFunc funcs[] = { on_interrupt, on_terminate, on_hangup };
  struct sigaction action;

  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      /* what nohup ignores stays ignored */
      if (sigaction (signals[i], NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        continue;
      run->signal_sources[i] = g_unix_signal_source_new (signals[i]);
      g_source_set_priority (run->signal_sources[i], G_PRIORITY_HIGH);
      g_source_set_callback (run->signal_sources[i], funcs[i], run, NULL);
      g_source_attach (run->signal_sources[i], NULL);
    }
  /* a write to a pipe that nobody reads is an error of that write */
  signal (SIGPIPE, SIG_IGN);
}

static void
remove_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

/* After this the next signal ends the program as if it had no handlers. */
static void
remove_signals (Run *run)
{
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    remove_source (&run->signal_sources[i]);
}

static void
add_outputs (Run *run)
{
  PoolCliFlow *flow = &run->flow;
  const PoolCliSettings *settings = flow->settings;

  flow->progress = pool_cli_progress_new (settings->progress, settings->dry_run);
  flow->out = pool_cli_output_new (STDOUT_FILENO, flow->progress, on_output_changed, run);
  flow->err = pool_cli_output_new (STDERR_FILENO, flow->progress, on_output_changed, run);
  if (!pool_cli_progress_is_enabled (flow->progress))
    return;
  run->progress_source = g_timeout_source_new (PROGRESS_INTERVAL_MS);
  g_source_set_callback (run->progress_source, on_progress, flow, NULL);
  g_source_attach (run->progress_source, NULL);
}

/* The module is loaded before the pool starts, so that its workers have it from the beginning. */
static gboolean
start_pool (PoolCliFlow *flow, PoolCliReport *report, GError **error)
{
  const char *task = flow->kind->task;
  const char *dot = strchr (task, '.');
  g_autofree char *module = dot != NULL ? g_strndup (task, (gsize) (dot - task)) : NULL;
  g_autoptr (GVariant) unexpected = NULL;

  if (module != NULL && !pool_load_task_module (module, error))
    return FALSE;
  if (flow->settings->dry_run)
    return TRUE;
  flow->pool = pool_cli_settings_make_pool (flow->settings);
  if (!pool_cli_report_open (report, flow->settings, flow->pool, error) ||
      !pool_manager_start (flow->pool, error))
    return FALSE;
  pool_cli_settings_print_endpoint (flow->settings, flow->pool);
  if (pool_describe_task (task) != NULL)
    return TRUE;
  /* the library knows best how to say that there is no such task, and which one could be meant */
  unexpected = pool_manager_apply (flow->pool, task, g_variant_new ("()"), NULL, NULL, error);
  if (unexpected != NULL)
    g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK, "There is no task \"%s\"", task);
  return FALSE;
}

static gboolean
on_deadline (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Ends what still runs. Returns: whether all of it has ended; threads cannot be made to. */
static gboolean
give_up (PoolCliFlow *flow)
{
  GSource *deadline;
  gboolean late = FALSE;

  pool_cli_flow_give_up (flow);
  if (flow->pool == NULL)
    return TRUE;
  if (!pool_manager_terminate (flow->pool, NULL) ||
      !pool_manager_join (flow->pool, JOIN_SECONDS, NULL))
    return FALSE;

  /* the results that say so are still to come */
  deadline = g_timeout_source_new (DRAIN_MS);
  g_source_set_callback (deadline, on_deadline, &late, NULL);
  g_source_attach (deadline, NULL);
  while (!late && flow->n_calls > 0)
    g_main_context_iteration (NULL, TRUE);
  remove_source (&deadline);
  return flow->n_calls == 0;
}

static void
print_summary (Run *run)
{
  PoolCliFlow *flow = &run->flow;
  g_autofree char *given_up = NULL;

  if (flow->n_open > 0)
    given_up = g_strdup_printf (", %" G_GUINT64_FORMAT " given up", flow->n_open);
  if (run->caught_signal != 0)
    g_printerr ("pool: %s: %" G_GUINT64_FORMAT " tasks done%s\n",
                run->caught_signal == SIGINT ? "interrupted" : "terminated", flow->n_done,
                given_up != NULL ? given_up : "");
  else if (flow->n_failed > 0)
    g_printerr ("pool: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " tasks failed%s\n",
                flow->n_failed, flow->n_done, given_up != NULL ? given_up : "");
}

static int
get_status (Run *run)
{
  PoolCliFlow *flow = &run->flow;

  if (run->caught_signal != 0)
    return POOL_CLI_EXIT_SIGNAL + run->caught_signal;
  /* nobody reads any further: that is no failure to speak of */
  if (pool_cli_output_get_errno (flow->out) == EPIPE)
    return POOL_CLI_EXIT_SIGNAL + SIGPIPE;
  if (flow->fatal != NULL)
    return pool_cli_error (flow->fatal, POOL_CLI_EXIT_FAILED);
  return flow->n_failed > 0 ? POOL_CLI_EXIT_FAILED : POOL_CLI_EXIT_OK;
}

/* What was printed before --halt goes out, for as long as its reader takes. */
static void
drain_outputs (Run *run)
{
  PoolCliFlow *flow = &run->flow;

  pool_cli_flow_give_up (flow);
  if (!pool_cli_output_is_idle (flow->out) || !pool_cli_output_is_idle (flow->err))
    g_main_loop_run (flow->loop);
}

/* Returns: whether nothing of the pool is left. */
static gboolean
end_pool (PoolCliFlow *flow, gboolean at_once)
{
  if (at_once)
    return give_up (flow);
  return flow->pool == NULL || !pool_manager_close (flow->pool, NULL) ||
         pool_manager_join (flow->pool, -1, NULL);
}

static int
finish (Run *run)
{
  PoolCliFlow *flow = &run->flow;
  g_autoptr (GError) error = NULL;
  gboolean clean;
  int status;

  remove_source (&run->progress_source);
  pool_cli_progress_hide (flow->progress);
  if (run->caught_signal != 0)
    remove_signals (run);
  clean = end_pool (flow, flow->n_open > 0 || run->caught_signal != 0);
  if (flow->halted && run->caught_signal == 0)
    drain_outputs (run);
  remove_signals (run);

  status = get_status (run);
  /* also of a run that was interrupted: that is when one wants to see it */
  if (!pool_cli_report_write (&run->report, flow->pool, &error))
    status = pool_cli_error (error, status != POOL_CLI_EXIT_OK ? status : POOL_CLI_EXIT_FAILED);
  if (status != POOL_CLI_EXIT_SIGNAL + SIGPIPE)
    print_summary (run);
  if (!clean)
    {
      /* threads still run, and would meet a program that is taking itself apart */
      fflush (NULL);
      _exit (status);
    }
  return status;
}

/* Returns: the program's exit status */
int
pool_cli_run (const PoolCliSettings *settings, const PoolCliKind *kind, gpointer user_data,
              PoolCliInput *input)
{
  Run run = {
    .flow = { .settings = settings, .kind = kind, .user_data = user_data, .input = input },
  };
  g_autoptr (GError) error = NULL;
  sigset_t before;
  int status;

  hold_signals (&before);
  if (!pool_cli_flow_init (&run.flow, &error) || !start_pool (&run.flow, &run.report, &error))
    {
      release_signals (&before);
      status = pool_cli_start_error (error);
    }
  else
    {
      add_signals (&run);
      release_signals (&before);
      add_outputs (&run);
      pool_cli_flow_start (&run.flow);
      g_main_loop_run (run.flow.loop);
      status = finish (&run);
    }
  pool_cli_report_clear (&run.report);
  pool_cli_flow_clear (&run.flow);
  return status;
}
