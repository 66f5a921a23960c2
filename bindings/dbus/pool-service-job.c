/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-job.h"

#include "pool-service-error.h"
#include "pool-service-expiry.h"
#include "pool-service-interface.h"
#include "pool-service-option.h"
#include "pool-service-value.h"
#include "pool-service.h"

/*
 * A durable job is in the store from before its path is told until its result was fetched, and what it ended with is told to nobody
 * before it is there: so it ends once, whatever happens to the service.
 */
struct _PoolServiceJob
{
  PoolServiceObject object;
  char *pool_path;
  PoolServicePool *pool; /* while it has not ended */
  PoolServiceWork *work;
  gint64 submitted_at, ended_at; /* real time, µs */
  guint runs;
  gboolean is_held;  /* the service, on its behalf */
  gboolean has_ended, is_released;
  GVariant *value;   /* if it is not in the store */
  GError *error;
  gboolean has_failed;
  GPtrArray *waiters; /* Waiter */
  gpointer expiry;
  PoolServiceCall *submission; /* to be replied to when it is on the disk */
};

typedef struct
{
  PoolServiceJob *job;
  PoolServiceCall *call;
  gboolean wants_result, keeps, is_inline;
  guint timer;
} Waiter;

static const PoolServiceObjectClass job_class;

static PoolServiceStore *
get_store (PoolServiceJob *self)
{
  return pool_service_get_store (self->object.service);
}

static PoolServiceJob *
new_job (PoolService *service, guint64 id, guint32 uid, const char *pool_path, PoolServiceWork *work)
{
  PoolServiceJob *self = g_new0 (PoolServiceJob, 1);
  g_autofree char *path = g_strdup_printf (POOL_SERVICE_PATH "/job/%" G_GUINT64_FORMAT, id);

  pool_service_object_init (&self->object, &job_class, service, path);
  self->object.id = id;
  self->object.uid = uid;
  self->pool_path = g_strdup (pool_path);
  self->work = work;
  self->waiters = g_ptr_array_new ();
  self->runs = 1;
  g_free (work->job_path);
  work->job_path = g_strdup (path);
  return self;
}

static void
hold (PoolServiceJob *self)
{
  if (!self->is_held)
    pool_service_hold (self->object.service);
  self->is_held = TRUE;
}

static void
let_go (PoolServiceJob *self)
{
  if (self->is_held)
    pool_service_release (self->object.service);
  self->is_held = FALSE;
}

static void
finalize (PoolServiceObject *object)
{
  PoolServiceJob *self = (PoolServiceJob *) object;

  let_go (self);
  pool_service_call_unref (self->submission);
  pool_service_object_unref (self->pool);
  pool_service_work_unref (self->work);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  g_ptr_array_unref (self->waiters);
  g_free (self->pool_path);
}

/* --- its end --- */

static PoolServiceExpiry *
get_expiry (PoolServiceJob *self)
{
  return pool_service_get_expiry (self->object.service, self->work->is_durable);
}

/* The job goes. */
static void
drop (PoolServiceJob *self)
{
  if (self->expiry != NULL)
    pool_service_expiry_remove (get_expiry (self), g_steal_pointer (&self->expiry));
  let_go (self);
  pool_service_unexport (self->object.service, self);
}

static void
remove_and_drop (PoolServiceJob *self)
{
  g_autoptr (GError) error = NULL;

  if (self->work->is_durable && !pool_service_store_remove_job (get_store (self), self->object.id, &error))
    g_debug ("%s", error->message);
  drop (self);
}

/* Returns: whether it was handed out */
static gboolean
reply_with_result (PoolServiceJob *self, PoolServiceCall *call, gboolean is_inline)
{
  g_autoptr (GVariant) value = self->value != NULL ? g_variant_ref (self->value) : NULL;
  g_autoptr (GError) error = self->error != NULL ? g_error_copy (self->error) : NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  gboolean failed = error != NULL;
  GVariant *variant;

  if (value == NULL && error == NULL)
    value = pool_service_store_read_result (get_store (self), self->object.id, &failed, &error);
  if (value != NULL && pool_service_value_give (value, is_inline, &variant, &fds, &error))
    {
      pool_service_call_reply (call, g_variant_new ("(@v)", variant), fds);
      return TRUE;
    }
  pool_service_call_fail (call, error);
  return failed;
}

static void
free_waiter (Waiter *waiter)
{
  g_clear_handle_id (&waiter->timer, g_source_remove);
  pool_service_call_unref (waiter->call);
  g_free (waiter);
}

/* Returns: whether the result was handed out to somebody who leaves it behind */
static gboolean
serve (PoolServiceJob *self, Waiter *waiter)
{
  gboolean taken = FALSE;

  if (waiter->wants_result)
    taken = reply_with_result (self, waiter->call, waiter->is_inline) && !waiter->keeps;
  else
    pool_service_call_reply (waiter->call, g_variant_new ("(b)", !self->has_failed), NULL);
  free_waiter (waiter);
  return taken;
}

static void
tell_end (PoolServiceJob *self, const GError *error)
{
  static const char *const names[] = { "State", NULL };
  g_autofree char *name = error != NULL ? pool_service_error_get_name (error) : g_strdup ("");
  g_autoptr (GPtrArray) waiters = g_steal_pointer (&self->waiters);
  gboolean taken = FALSE;

  self->waiters = g_ptr_array_new ();
  pool_service_object_emit (self, "Completed", g_variant_new ("(bss)", error == NULL, name, error != NULL ? error->message : ""));
  pool_service_object_notify (self, names);
  for (guint i = 0; i < waiters->len; i++)
    taken = serve (self, waiters->pdata[i]) || taken;
  if (taken)
    remove_and_drop (self);
  else
    self->expiry = pool_service_expiry_add (get_expiry (self), self, self->ended_at);
}

typedef struct
{
  PoolServiceJob *job;
  GError *error;
} Ending;

static void
on_end_kept (const GError *failure, gpointer user_data)
{
  Ending *ending = user_data;
  PoolServiceJob *self = ending->job;

  /* it is not on the disk: it is told as it is, but might be run again by a later service */
  if (failure != NULL)
    g_debug ("%s", failure->message);
  self->has_ended = TRUE;
  let_go (self);
  if (!self->is_released)
    tell_end (self, ending->error);
  /* the store has it */
  if (failure == NULL)
    g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&ending->error);
  pool_service_object_unref (self);
  g_free (ending);
}

static void
end_durable (PoolServiceJob *self, GVariant *value, const GError *error)
{
  Ending *ending = g_new0 (Ending, 1);
  g_autoptr (GError) failure = NULL;

  ending->job = pool_service_object_ref (self);
  ending->error = error != NULL ? g_error_copy (error) : NULL;
  if (!self->is_released &&
      !pool_service_store_end_job (get_store (self), self->object.id, value, error, self->ended_at, &failure))
    {
      /* a result that cannot be kept is one that nobody gets */
      g_clear_error (&ending->error);
      ending->error = g_error_copy (failure);
      g_clear_error (&self->error);
      self->error = g_error_copy (failure);
      self->has_failed = TRUE;
      g_clear_pointer (&self->value, g_variant_unref);
      if (!pool_service_store_end_job (get_store (self), self->object.id, NULL, failure, self->ended_at, NULL))
        g_debug ("%s", failure->message);
    }
  pool_service_store_when_committed (get_store (self), on_end_kept, ending);
}

static void
on_done (PoolServiceWork *work, GVariant *value, const GError *error, gpointer user_data)
{
  PoolServiceJob *self = user_data;

  /* a service that leaves has ended nothing */
  if (work->is_durable && pool_service_pool_is_abandoned (self->pool))
    {
      pool_service_object_unref (self);
      return;
    }
  self->ended_at = g_get_real_time ();
  self->has_failed = error != NULL;
  self->value = value != NULL ? g_variant_ref (value) : NULL;
  self->error = error != NULL ? g_error_copy (error) : NULL;
  pool_service_work_drop_args (work);
  g_clear_pointer (&self->pool, pool_service_object_unref);
  if (work->is_durable)
    end_durable (self, value, error);
  else
    {
      self->has_ended = TRUE;
      pool_service_work_set_bytes (work, value != NULL ? g_variant_get_size (value) : 0);
      if (!self->is_released)
        tell_end (self, error);
    }
  pool_service_object_unref (self);
}

/* --- its beginning --- */

static void
begin (PoolServiceJob *self)
{
  pool_service_pool_start_work (self->pool, self->work, on_done, pool_service_object_ref (self));
}

static void
on_submission_kept (const GError *failure, gpointer user_data)
{
  PoolServiceJob *self = user_data;
  g_autoptr (PoolServiceCall) call = g_steal_pointer (&self->submission);

  if (failure != NULL)
    {
      pool_service_call_fail (call, failure);
      drop (self);
    }
  else
    {
      pool_service_call_reply (call, g_variant_new ("(o)", self->object.path), NULL);
      if (!self->is_released)
        begin (self);
    }
  pool_service_object_unref (self);
}

static gboolean
keep (PoolServiceJob *self, PoolServicePool *pool, GError **error)
{
  PoolServiceWork *work = self->work;
  const PoolServiceStoredJob stored = {
    .id = self->object.id,
    .uid = self->object.uid,
    .pool = ((PoolServiceObject *) pool)->id,
    .kind = work->kind,
    .task = work->task,
    .args = work->args,
    .options = work->options,
    .submitted_at = self->submitted_at,
  };

  return pool_service_pool_make_persistent (pool, error) &&
         pool_service_store_add_job (get_store (self), &stored, error);
}

void
pool_service_job_submit (PoolServicePool *pool, PoolServiceWork *work, PoolServiceCall *call)
{
  PoolServiceObject *object = (PoolServiceObject *) pool;
  PoolServiceJob *self = new_job (object->service, pool_service_make_id (object->service), object->uid, object->path, work);
  GError *error = NULL;

  self->submitted_at = g_get_real_time ();
  self->pool = pool_service_object_ref (pool);
  if (work->is_durable && !keep (self, pool, &error))
    {
      pool_service_call_take_error (call, error);
      pool_service_object_unref (self);
      return;
    }
  self->object.owner = object->owner != NULL ? pool_service_client_ref (object->owner) : NULL;
  hold (self);
  pool_service_export (object->service, self);
  if (work->is_durable)
    {
      self->submission = pool_service_call_ref (call);
      pool_service_store_when_committed (get_store (self), on_submission_kept, pool_service_object_ref (self));
    }
  else
    {
      pool_service_call_reply (call, g_variant_new ("(o)", self->object.path), NULL);
      begin (self);
    }
  pool_service_object_unref (self);
}

/* A job of a pool that is gone, or whose task is not allowed any more, ends with an error. */
static void
resume (PoolServiceJob *self, const char *pool_path)
{
  PoolServiceObject *pool = pool_service_lookup (self->object.service, pool_path);
  g_autoptr (GError) error = NULL;

  hold (self);
  self->runs++;
  if (!pool_service_store_begin_job (get_store (self), self->object.id, self->runs, &error))
    g_debug ("%s", error->message);
  if (pool == NULL || !pool_service_pool_is (pool))
    self->error = g_error_new (POOL_ERROR, POOL_ERROR_CLOSED, "The job's pool %s is gone", pool_path);
  else if (pool_service_allows_task (self->object.service, self->work->task, &self->error))
    {
      self->pool = pool_service_object_ref (pool);
      begin (self);
      return;
    }
  self->ended_at = g_get_real_time ();
  self->has_failed = TRUE;
  end_durable (self, NULL, self->error);
}

gboolean
pool_service_job_restore (const PoolServiceStoredJob *stored, gpointer user_data, GError **error)
{
  PoolService *service = user_data;
  g_autofree char *pool_path = g_strdup_printf (POOL_SERVICE_PATH "/pool/%" G_GUINT64_FORMAT, stored->pool);
  g_autoptr (GVariant) args = stored->args != NULL ? g_variant_ref (stored->args)
                              : stored->kind == POOL_SERVICE_APPLY ? g_variant_ref_sink (g_variant_new_tuple (NULL, 0))
                                                    : g_variant_ref_sink (g_variant_new_bytestring (""));
  g_autoptr (GVariant) variant = g_variant_ref_sink (g_variant_new_variant (args));
  PoolServiceWork *work;
  PoolServiceJob *self;

  work = pool_service_work_new (NULL, stored->kind, stored->task, variant, stored->options, NULL, error);
  if (work == NULL)
    return FALSE;
  pool_service_work_force_charge (work, pool_service_get_user (service, stored->uid));
  self = new_job (service, stored->id, stored->uid, pool_path, work);
  self->submitted_at = stored->submitted_at;
  self->runs = stored->runs;
  self->has_ended = stored->ended;
  self->has_failed = stored->failed;
  self->ended_at = stored->ended_at;
  pool_service_export (service, self);
  if (!stored->ended)
    resume (self, pool_path);
  else
    {
      pool_service_work_drop_args (work);
      self->expiry = pool_service_expiry_add (get_expiry (self), self, self->ended_at);
    }
  pool_service_object_unref (self);
  return TRUE;
}

/* --- calls --- */

void
pool_service_job_release (PoolServiceJob *self)
{
  if (self->is_released || !self->object.is_exported)
    return;
  pool_service_object_ref (self);
  self->is_released = TRUE;
  if (!self->has_ended)
    pool_service_work_cancel (self->work);
  while (self->waiters->len > 0)
    /* the last reference says that the job has ended */
    free_waiter (g_ptr_array_steal_index (self->waiters, 0));
  remove_and_drop (self);
  pool_service_object_unref (self);
}

static gboolean
on_waited (gpointer user_data)
{
  Waiter *waiter = user_data;

  waiter->timer = 0;
  pool_service_call_take_error (waiter->call, g_error_new (POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT,
                                                           "The job has not ended yet: %s", waiter->job->object.path));
  g_ptr_array_remove (waiter->job->waiters, waiter);
  free_waiter (waiter);
  return G_SOURCE_REMOVE;
}

static void
wait_or_serve (PoolServiceJob *self, Waiter *waiter, double timeout)
{
  if (self->has_ended)
    {
      if (serve (self, waiter))
        remove_and_drop (self);
      return;
    }
  g_ptr_array_add (self->waiters, waiter);
  if (timeout >= 0 && timeout < G_MAXINT / 1000)
    waiter->timer = g_timeout_add ((guint) (timeout * 1000), on_waited, waiter);
}

static Waiter *
new_waiter (PoolServiceJob *self, PoolServiceCall *call)
{
  Waiter *waiter = g_new0 (Waiter, 1);

  waiter->job = self;
  waiter->call = pool_service_call_ref (call);
  return waiter;
}

static void
wait_for (PoolServiceObject *object, PoolServiceCall *call)
{
  double timeout;

  g_variant_get (call->args, "(d)", &timeout);
  wait_or_serve ((PoolServiceJob *) object, new_waiter ((PoolServiceJob *) object, call), timeout);
}

static gboolean
take_option (Waiter *waiter, const char *name, GVariant *value, GError **error)
{
  if (g_str_equal (name, "keep"))
    return pool_service_option_get_flag (name, value, &waiter->keeps, error);
  if (g_str_equal (name, "inline"))
    return pool_service_option_get_flag (name, value, &waiter->is_inline, error);
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "Result has no option “%s”", name);
  return FALSE;
}

static void
result (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServiceJob *self = (PoolServiceJob *) object;
  Waiter *waiter = new_waiter (self, call);
  g_autoptr (GVariant) options = NULL;
  GVariantIter iter;
  GVariant *value;
  const char *name;
  double timeout;
  GError *error = NULL;

  g_variant_get (call->args, "(d@a{sv})", &timeout, &options);
  waiter->wants_result = TRUE;
  g_variant_iter_init (&iter, options);
  while (error == NULL && g_variant_iter_next (&iter, "{&sv}", &name, &value))
    {
      take_option (waiter, name, value, &error);
      g_variant_unref (value);
    }
  if (error == NULL)
    {
      wait_or_serve (self, waiter, timeout);
      return;
    }
  pool_service_call_take_error (call, error);
  free_waiter (waiter);
}

static void
cancel (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServiceJob *self = (PoolServiceJob *) object;
  gboolean ok = !self->has_ended && self->work->result != NULL && pool_async_result_cancel (self->work->result);

  pool_service_call_reply (call, g_variant_new ("(b)", ok), NULL);
}

static void
terminate (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServiceJob *self = (PoolServiceJob *) object;
  gboolean ok;
  int number;

  g_variant_get (call->args, "(i)", &number);
  if (number < 0 || number >= NSIG)
    {
      pool_service_call_take_error (call, g_error_new (POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "There is no signal %d", number));
      return;
    }
  ok = !self->has_ended && self->work->result != NULL && pool_async_result_terminate (self->work->result, number);
  pool_service_call_reply (call, g_variant_new ("(b)", ok), NULL);
}

static void
progress (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServiceJob *self = (PoolServiceJob *) object;
  double done = self->has_ended ? 1 : 0;

  if (!self->has_ended && self->work->result != NULL)
    done = pool_async_result_get_progress (self->work->result);
  pool_service_call_reply (call, g_variant_new ("(d)", done), NULL);
}

static void
release (PoolServiceObject *object, PoolServiceCall *call)
{
  pool_service_call_reply (call, NULL, NULL);
  pool_service_job_release ((PoolServiceJob *) object);
}

static const PoolServiceMethod methods[] = {
  { "Wait", wait_for },
  { "Result", result },
  { "Cancel", cancel },
  { "Terminate", terminate },
  { "Progress", progress },
  { "Release", release },
  { NULL },
};

static GVariant *
get_property (PoolServiceObject *object, const char *name)
{
  PoolServiceJob *self = (PoolServiceJob *) object;
  const char *correlation_id = pool_call_options_get_correlation_id (self->work->call_options);

  if (g_str_equal (name, "Pool"))
    return g_variant_new_object_path (self->pool_path);
  if (g_str_equal (name, "Task"))
    return g_variant_new_string (self->work->task);
  if (g_str_equal (name, "Kind"))
    return g_variant_new_string (self->work->kind == POOL_SERVICE_APPLY ? "apply" : "map");
  if (g_str_equal (name, "Durable"))
    return g_variant_new_boolean (self->work->is_durable);
  if (g_str_equal (name, "CorrelationId"))
    return g_variant_new_string (correlation_id != NULL ? correlation_id : "");
  if (g_str_equal (name, "SubmittedAt"))
    return g_variant_new_int64 (self->submitted_at);
  if (g_str_equal (name, "Runs"))
    return g_variant_new_uint32 (self->runs);
  return g_variant_new_string (!self->has_ended ? "pending" : self->has_failed ? "failed" : "done");
}

static const PoolServiceObjectClass job_class = { POOL_SERVICE_JOB_INTERFACE, methods, get_property, finalize };
