/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-flow.h"

#include <string.h>

/*
 * Runs a task for each input, however many there are:
 *
 *   input ── fill ── chunk ── submit ══ pool ══ on_applied ── finish_job ── emit_job ── output
 *     ▲                                         on_mapped         │                       │
 *     └───── when there is room: in the window, in the outputs ───┴───────────────────────┘
 *
 * All of it in the main loop, and nothing of it blocks. A job is in the window from when it is read
 * to when its result is on its way out, so that neither inputs nor results that wait for their turn
 * pile up.
 */

/*
 * Jobs in the window for each worker. The few are enough that none waits while tasks take long; the
 * many make short tasks three to six times faster, as fewer of them find everybody asleep. They are
 * there only while inputs and results are small, and not before some results have shown that.
 */
#define JOBS_PER_WORKER 8
#define SMALL_JOBS_PER_WORKER 256
#define SMALL_JOBS_BYTES (1024 * 1024)
/* Jobs read in one turn of the main loop; signals are heard between turns. */
#define JOBS_PER_TURN 256

/* What a call to the pool carries: one job, or a chunk of them. */
typedef struct
{
  PoolCliFlow *flow;
  PoolCliJob *job;
  GPtrArray *jobs;
} Call;

typedef struct
{
  guint64 out_mark;
  guint64 err_mark;
  char *text;
} LogLine;

static void fill (PoolCliFlow *self);
static void submit_job (PoolCliFlow *self, PoolCliJob *job);

static void
log_line_free (gpointer data)
{
  LogLine *line = data;

  g_free (line->text);
  g_free (line);
}

static void
free_job (gpointer job)
{
  pool_cli_job_free (job);
}

/* An input in a message: one line, whatever is in it. */
static char *
make_label (const PoolCliJob *job)
{
  for (gsize i = 0; i < job->size; i++)
    if (g_ascii_iscntrl (job->input[i]))
      return g_strescape (job->input, NULL);
  return g_strdup (job->input);
}

/* Many messages begin with the file's name already, which is the input. */
static void
say_error (PoolCliFlow *self, const PoolCliJob *job)
{
  g_autofree char *label = make_label (job);
  g_autofree char *prefix = g_strconcat (label, ": ", NULL);

  pool_cli_output_add (self->err, "pool: ");
  if (!g_str_has_prefix (job->error->message, prefix))
    pool_cli_output_add (self->err, prefix);
  pool_cli_output_add (self->err, job->error->message);
  pool_cli_output_add (self->err, "\n");
}

/* The run is over when all is read, run and written; when it is given up, all that was printed. */
static void
check_end (PoolCliFlow *self)
{
  int saved_errno = pool_cli_output_get_errno (self->out);
  gboolean written = pool_cli_output_is_idle (self->out) && pool_cli_output_is_idle (self->err);
  gboolean complete = self->at_end && self->n_open == 0 && self->chunk->len == 0;

  if (saved_errno != 0 && self->fatal == NULL)
    self->fatal = g_error_new (G_IO_ERROR, g_io_error_from_errno (saved_errno),
                              "Cannot write the results: %s", g_strerror (saved_errno));
  if (saved_errno != 0 || (written && (complete || self->given_up)) ||
      (self->halted && self->settings->halt == POOL_CLI_HALT_NOW && !self->given_up))
    g_main_loop_quit (self->loop);
}

/* The log may only call done what the reader of the output has got. */
static void
write_log_lines (PoolCliFlow *self)
{
  LogLine *line;

  while ((line = g_queue_peek_head (&self->log_lines)) != NULL)
    {
      g_autoptr (GError) error = NULL;

      if (line->out_mark > pool_cli_output_get_written (self->out) ||
          (line->err_mark > pool_cli_output_get_written (self->err) &&
           pool_cli_output_get_errno (self->err) == 0))
        return;
      if (self->fatal == NULL && !pool_cli_joblog_write (self->joblog, line->text, &error))
        {
          self->fatal = g_steal_pointer (&error);
          self->at_end = TRUE;
        }
      log_line_free (g_queue_pop_head (&self->log_lines));
    }
}

static void
check_halt (PoolCliFlow *self)
{
  const PoolCliSettings *settings = self->settings;
  gint64 successes = (gint64) (self->n_done - self->n_failed);

  if (self->halted ||
      !((settings->halt_failures > 0 && (gint64) self->n_failed >= settings->halt_failures) ||
        (settings->halt_successes > 0 && successes >= settings->halt_successes)))
    return;
  self->halted = self->at_end = TRUE;
}

/* Prints a job and is done with it. */
static void
emit_job (PoolCliFlow *self, PoolCliJob *job)
{
  self->n_open--;
  self->n_bytes -= job->weight;
  self->n_done++;
  if (self->settings->json)
    {
      g_autofree char *line = pool_cli_job_to_json (job, self->kind, self->user_data);

      pool_cli_output_add (self->out, line);
    }
  else if (job->value != NULL)
    self->kind->print (self->user_data, job, self->out, self->err);
  if (job->error != NULL)
    {
      self->n_failed++;
      say_error (self, job);
    }
  if (self->joblog != NULL)
    {
      LogLine *line = g_new0 (LogLine, 1);

      line->text = pool_cli_job_to_log (job, self->kind, self->user_data);
      line->out_mark = pool_cli_output_get_added (self->out);
      line->err_mark = pool_cli_output_get_added (self->err);
      g_queue_push_tail (&self->log_lines, line);
      write_log_lines (self);
    }
  check_halt (self);
  pool_cli_job_free (job);
}

/* Results that nobody takes stay as they are, in the window, where they keep the next ones out. */
static void
emit_jobs (PoolCliFlow *self)
{
  PoolCliJob *job;

  while ((job = g_queue_peek_head (&self->order)) != NULL && job->finished &&
         !pool_cli_output_is_full (self->out) && !pool_cli_output_is_full (self->err))
    {
      g_queue_pop_head (&self->order);
      emit_job (self, job);
    }
}

static void
add_weight (PoolCliFlow *self, PoolCliJob *job, gsize bytes)
{
  job->weight += bytes;
  self->n_bytes += bytes;
}

static void
finish_job (PoolCliFlow *self, PoolCliJob *job)
{
  job->finished = TRUE;
  if (job->value != NULL)
    {
      gsize size = g_variant_get_size (job->value);

      add_weight (self, job, size);
      self->result_size = MAX (size, self->result_size - self->result_size / 16);
    }
  if (!self->settings->keep_order)
    g_queue_push_tail (&self->order, job);
  emit_jobs (self);
}

static void
drop_result (PoolCliFlow *self, PoolCliJob *job, GVariant *value, GError *error)
{
  g_clear_pointer (&value, g_variant_unref);
  g_clear_error (&error);
  g_queue_remove (&self->order, job);
  pool_cli_job_free (job);
}

/* Takes @value and @error, one of which is NULL. */
static void
take_result (PoolCliFlow *self, PoolCliJob *job, PoolAsyncResult *result, double run_time,
             GVariant *value, GError *error)
{
  if (self->given_up)
    {
      drop_result (self, job, value, error);
      return;
    }
  g_clear_pointer (&job->value, g_variant_unref);
  g_clear_error (&job->error);
  job->exit_code = job->exit_signal = 0;
  job->value = value;
  job->attempts += pool_async_result_get_attempts (result);
  job->worker = pool_async_result_get_worker (result);
  job->run_time = run_time;
  job->started_at = (double) g_get_real_time () / G_USEC_PER_SEC - run_time;
  job->tries++;
  if (error != NULL)
    pool_cli_job_take_error (job, error);
  else if (self->kind->check != NULL)
    self->kind->check (self->user_data, job);

  if (job->error != NULL && job->tries < (guint) self->settings->retries && self->fatal == NULL &&
      !self->halted)
    {
      submit_job (self, job);
      return;
    }
  /* a pool that cannot keep workers alive fails what it is given: stop feeding it */
  if (pool_manager_get_state (self->pool) == POOL_STATE_BROKEN)
    self->at_end = TRUE;
  finish_job (self, job);
}

static void
on_applied (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree Call *call = user_data;
  PoolCliFlow *self = call->flow;
  PoolAsyncResult *async_result = POOL_ASYNC_RESULT (result);
  GError *error = NULL;
  GVariant *value = pool_manager_apply_finish (POOL_MANAGER (source), result, &error);

  self->n_calls--;
  take_result (self, call->job, async_result, pool_async_result_get_run_time (async_result), value,
               error);
  fill (self);
  check_end (self);
}

/* The pool tells the time of the whole chunk only: each of its items is given the same share. */
static void
on_mapped (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree Call *call = user_data;
  g_autoptr (GPtrArray) jobs = call->jobs;
  PoolCliFlow *self = call->flow;
  PoolAsyncResult *async_result = POOL_ASYNC_RESULT (result);
  double share = pool_async_result_get_run_time (async_result) / jobs->len;

  self->n_calls--;
  for (guint i = 0; i < jobs->len; i++)
    {
      GError *error = NULL;
      GVariant *value = pool_map_result_get_item (POOL_MAP_RESULT (result), i, &error);

      take_result (self, jobs->pdata[i], async_result, share, value, error);
    }
  fill (self);
  check_end (self);
}

/* Arguments that cannot be made are the job's failure. */
static GVariant *
make_args (PoolCliFlow *self, PoolCliJob *job)
{
  g_autoptr (GVariant) args = NULL;
  GError *error = NULL;

  if (pool_cli_job_has_zero (job))
    error = g_error_new_literal (POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                                 "There is a zero byte in this input (see --null)");
  else
    args = self->kind->make_args (self->user_data, job, &error);
  if (args != NULL)
    return g_variant_take_ref (g_steal_pointer (&args));
  pool_cli_job_take_error (job, error);
  finish_job (self, job);
  return NULL;
}

static void
submit_job (PoolCliFlow *self, PoolCliJob *job)
{
  g_autoptr (GVariant) args = make_args (self, job);
  Call *call;

  if (args == NULL)
    return;
  call = g_new0 (Call, 1);
  call->flow = self;
  call->job = job;
  self->n_calls++;
  pool_manager_apply_async (self->pool, self->kind->task, args, NULL, NULL, on_applied, call);
}

static void
submit_chunk (PoolCliFlow *self)
{
  g_autoptr (GPtrArray) jobs = self->chunk;
  g_autoptr (GPtrArray) good = g_ptr_array_new ();
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  Call *call;

  self->chunk = g_ptr_array_new ();
  for (guint i = 0; i < jobs->len; i++)
    {
      GVariant *args = make_args (self, jobs->pdata[i]);

      if (args == NULL)
        continue;
      g_ptr_array_add (good, jobs->pdata[i]);
      g_ptr_array_add (items, args);
    }
  if (good->len == 0)
    return;
  call = g_new0 (Call, 1);
  call->flow = self;
  call->jobs = g_steal_pointer (&good);
  self->n_calls++;
  pool_manager_starmap_async (self->pool, self->kind->task,
                              g_variant_new_tuple ((GVariant *const *) items->pdata, items->len),
                              items->len, NULL, on_mapped, call);
}

static void
add_job (PoolCliFlow *self, GBytes *input)
{
  PoolCliJob *job = pool_cli_job_new (++self->n_read, input);

  if (self->joblog != NULL && self->settings->resume &&
      pool_cli_joblog_is_done (self->joblog, job->seq,
                               pool_cli_job_get_command (job, self->kind, self->user_data)))
    {
      pool_cli_job_free (job);
      return;
    }
  if (self->pool == NULL)
    {
      pool_cli_output_add (self->out, pool_cli_job_get_command (job, self->kind, self->user_data));
      pool_cli_output_add (self->out, "\n");
      pool_cli_job_free (job);
      return;
    }
  self->n_open++;
  add_weight (self, job, job->size);
  if (self->settings->keep_order)
    g_queue_push_tail (&self->order, job);
  if (self->settings->chunksize <= 1)
    {
      submit_job (self, job);
      return;
    }
  g_ptr_array_add (self->chunk, job);
  if (self->chunk->len >= (guint) self->settings->chunksize)
    submit_chunk (self);
}

static gboolean
on_fill (gpointer user_data)
{
  PoolCliFlow *self = user_data;

  g_clear_pointer (&self->fill_source, g_source_unref);
  fill (self);
  check_end (self);
  return G_SOURCE_REMOVE;
}

static gboolean
on_readable (int fd, GIOCondition condition, gpointer user_data)
{
  PoolCliFlow *self = user_data;

  g_clear_pointer (&self->input_source, g_source_unref);
  fill (self);
  check_end (self);
  return G_SOURCE_REMOVE;
}

static void
fill_later (PoolCliFlow *self)
{
  if (self->fill_source != NULL)
    return;
  self->fill_source = g_idle_source_new ();
  g_source_set_priority (self->fill_source, G_PRIORITY_DEFAULT);
  g_source_set_callback (self->fill_source, on_fill, self, NULL);
  g_source_attach (self->fill_source, NULL);
}

static void
wait_for_input (PoolCliFlow *self)
{
  self->input_source = pool_cli_input_create_source (self->input);
  g_source_set_callback (self->input_source, G_SOURCE_FUNC (on_readable), self, NULL);
  g_source_attach (self->input_source, NULL);
}

/*
 * The rest of a chunk may be long in coming: it is not waited for while a worker has nothing to do.
 */
static void
submit_partial_chunk (PoolCliFlow *self)
{
  if (self->chunk->len > 0 && self->n_calls < self->jobs)
    submit_chunk (self);
}

static gboolean
has_room (PoolCliFlow *self)
{
  if (self->at_end || pool_cli_output_is_full (self->out) || pool_cli_output_is_full (self->err))
    return FALSE;
  return self->n_open < self->window ||
         (self->n_open < MIN (self->window + self->n_done, self->small_window) &&
          self->n_bytes + self->n_open * self->result_size < SMALL_JOBS_BYTES);
}

/* Reads inputs while there is room for them. */
static void
fill (PoolCliFlow *self)
{
  guint n = 0;

  if (self->given_up)
    return;
  if (self->input_source != NULL)
    {
      submit_partial_chunk (self);
      return;
    }
  while (has_room (self))
    {
      g_autoptr (GBytes) item = NULL;

      if (n++ == JOBS_PER_TURN)
        {
          fill_later (self);
          return;
        }
      switch (pool_cli_input_next (self->input, &item, self->fatal == NULL ? &self->fatal : NULL))
        {
        case POOL_CLI_INPUT_ITEM:
          add_job (self, item);
          break;
        case POOL_CLI_INPUT_WAIT:
          wait_for_input (self);
          submit_partial_chunk (self);
          return;
        case POOL_CLI_INPUT_END:
        case POOL_CLI_INPUT_ERROR:
        default:
          self->at_end = TRUE;
          break;
        }
    }
  if (self->at_end && self->chunk->len > 0)
    submit_chunk (self);
}


static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

/* To be called when the settings, the kind of tasks and the input are set. */
gboolean
pool_cli_flow_init (PoolCliFlow *self, GError **error)
{
  const PoolCliSettings *settings = self->settings;

  self->loop = g_main_loop_new (NULL, FALSE);
  self->chunk = g_ptr_array_new ();
  g_queue_init (&self->order);
  g_queue_init (&self->log_lines);
  self->jobs = pool_cli_settings_get_jobs (settings);
  self->window = self->jobs * (guint) MAX (settings->chunksize, 1) * JOBS_PER_WORKER;
  self->small_window = MAX (self->window, self->jobs * SMALL_JOBS_PER_WORKER);
  if (settings->halt != POOL_CLI_HALT_NEVER)
    /* a job that waits in the pool cannot be held back any more: none does */
    self->window = self->small_window = self->jobs * (guint) MAX (settings->chunksize, 1);
  if (settings->joblog == NULL)
    return TRUE;
  self->joblog =
      pool_cli_joblog_open (settings->joblog, settings->resume, settings->dry_run, error);
  return self->joblog != NULL;
}

void
pool_cli_flow_clear (PoolCliFlow *self)
{
  clear_source (&self->input_source);
  clear_source (&self->fill_source);
  /* what is still here was given up */
  if (!self->settings->keep_order)
    g_ptr_array_set_free_func (self->chunk, free_job);
  g_clear_pointer (&self->chunk, g_ptr_array_unref);
  g_queue_clear_full (&self->order, free_job);
  g_queue_clear_full (&self->log_lines, log_line_free);
  g_clear_object (&self->pool);
  g_clear_pointer (&self->out, pool_cli_output_free);
  g_clear_pointer (&self->err, pool_cli_output_free);
  g_clear_pointer (&self->progress, pool_cli_progress_free);
  g_clear_pointer (&self->joblog, pool_cli_joblog_free);
  g_clear_pointer (&self->loop, g_main_loop_unref);
  g_clear_error (&self->fatal);
}

void
pool_cli_flow_start (PoolCliFlow *self)
{
  fill_later (self);
}

/* From now on nothing is read; results that still come are dropped. */
void
pool_cli_flow_give_up (PoolCliFlow *self)
{
  clear_source (&self->input_source);
  clear_source (&self->fill_source);
  self->given_up = TRUE;
}

/* To be called when one of the outputs has written something, or has failed. */
void
pool_cli_flow_output_changed (PoolCliFlow *self)
{
  if (self->joblog != NULL)
    write_log_lines (self);
  if (!self->given_up)
    emit_jobs (self);
  fill (self);
  check_end (self);
}
