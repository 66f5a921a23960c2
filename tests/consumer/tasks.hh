// SPDX-License-Identifier: LGPL-2.1-or-later

// Tasks of a C++ program, which may be in it or in a task module.

#pragma once

#include <libpool.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>

namespace tasks
{

// Makes a task of a function that throws. No exception may leave a task: what does ends the worker.
template <GVariant *(*function) (PoolTask *, GVariant *)>
GVariant *
task (PoolTask *task, GVariant *args, gpointer, GError **error) noexcept
{
  try
    {
      return function (task, args);
    }
  catch (const std::bad_alloc &)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY, "There is no memory for the task");
    }
  catch (const std::exception &exception)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, exception.what ());
    }
  return nullptr;
}

inline GVariant *
square (PoolTask *, GVariant *args, gpointer, GError **)
{
  gint64 x = 0;

  g_variant_get (args, "(x)", &x);
  return g_variant_new_int64 (x * x);
}

inline GVariant *
add (PoolTask *, GVariant *args, gpointer, GError **)
{
  gint64 a = 0, b = 0;

  g_variant_get (args, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

inline GVariant *
even (PoolTask *, GVariant *args, gpointer, GError **error)
{
  gint64 x = 0;

  g_variant_get (args, "(x)", &x);
  if (x % 2 != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%d is odd", static_cast<int> (x));
      return nullptr;
    }
  return g_variant_new_int64 (x);
}

inline gboolean
reverse (PoolTask *task, const guint8 *data, gsize size, gpointer, GError **)
{
  std::string text (reinterpret_cast<const char *> (data), size);

  std::reverse (text.begin (), text.end ());
  pool_task_reply (task, reinterpret_cast<const guint8 *> (text.data ()), text.size ());
  return TRUE;
}

inline GVariant *
at (PoolTask *, GVariant *args)
{
  const char *text = nullptr;
  guint32 place = 0;

  g_variant_get (args, "(&su)", &text, &place);
  if (place == G_MAXUINT32)
    throw std::bad_alloc ();
  return g_variant_new_byte (static_cast<guchar> (std::string (text).at (place)));
}

// lets an exception out, which a task must not
inline GVariant *
careless (PoolTask *task, GVariant *args, gpointer, GError **)
{
  return at (task, args);
}

} // namespace tasks
