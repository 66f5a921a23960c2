/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-job.h"

#include "pool-cli-joblog.h"
#include "pool-cli-json.h"

PoolCliJob *
pool_cli_job_new (guint64 seq, GBytes *input)
{
  PoolCliJob *self = g_new0 (PoolCliJob, 1);
  const char *data = g_bytes_get_data (input, &self->size);

  self->seq = seq;
  self->input = g_malloc (self->size + 1);
  if (self->size > 0)
    memcpy (self->input, data, self->size);
  self->input[self->size] = '\0';
  return self;
}

void
pool_cli_job_free (PoolCliJob *self)
{
  g_free (self->input);
  g_free (self->command);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  g_free (self);
}

/* Neither a text nor a file name can have a zero byte in it; lines of a file can. */
gboolean
pool_cli_job_has_zero (const PoolCliJob *self)
{
  return strlen (self->input) != self->size;
}

const char *
pool_cli_job_get_command (PoolCliJob *self, const PoolCliKind *kind, gpointer user_data)
{
  if (self->command == NULL)
    self->command = kind->describe (user_data, self);
  return self->command;
}

void
pool_cli_job_take_error (PoolCliJob *self, GError *error)
{
  g_clear_error (&self->error);
  self->error = error;
  if (self->exit_code == 0 && self->exit_signal == 0)
    self->exit_code = 1;
}

/* Returns: (transfer full): one line */
char *
pool_cli_job_to_json (PoolCliJob *self, const PoolCliKind *kind, gpointer user_data)
{
  g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());

  json_builder_set_member_name (builder, "seq");
  json_builder_add_int_value (builder, (gint64) self->seq);
  pool_cli_json_add_bytes (builder, "input", self->input, self->size);
  if (self->value != NULL)
    kind->add_json (user_data, self, builder);
  if (self->error != NULL)
    pool_cli_json_add_error (builder, self->error);
  json_builder_set_member_name (builder, "attempts");
  json_builder_add_int_value (builder, self->attempts);
  json_builder_set_member_name (builder, "worker");
  json_builder_add_int_value (builder, self->worker);
  json_builder_set_member_name (builder, "run_time");
  json_builder_add_double_value (builder, self->run_time);
  return pool_cli_json_to_line (builder);
}

/* Returns: (transfer full): a line for the joblog */
char *
pool_cli_job_to_log (PoolCliJob *self, const PoolCliKind *kind, gpointer user_data)
{
  const PoolCliJoblogEntry entry = {
    .seq = self->seq,
    .started_at = self->started_at,
    .run_time = self->run_time,
    .received = self->received,
    .exit_code = self->exit_code,
    .exit_signal = self->exit_signal,
    .command = pool_cli_job_get_command (self, kind, user_data),
  };

  return pool_cli_joblog_format (&entry);
}
