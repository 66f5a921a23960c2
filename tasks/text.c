/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "task-args.h"
#include "task-file.h"

/*
 * What separates words, in the C locale as `LC_ALL=C wc -w` sees it: a task must give the same on
 * every host.
 */
static gboolean
is_space (guint8 byte)
{
  return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* text.count (s or ay file name) → (ttt) lines, words, bytes */
static GVariant *
text_count (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree char *name = task_args_dup_filename (args, 0, error);
  g_autoptr (TaskFile) file = NULL;
  guint64 lines = 0, words = 0, bytes = 0;
  gboolean in_word = FALSE;
  const guint8 *data;
  gssize n;

  if (name == NULL)
    return NULL;
  file = task_file_open (name, error);
  if (file == NULL)
    return NULL;
  while ((n = task_file_read (file, &data, pool_task_get_cancellable (task), error)) > 0)
    {
      bytes += (guint64) n;
      for (gssize i = 0; i < n; i++)
        {
          gboolean space = is_space (data[i]);

          lines += data[i] == '\n';
          words += in_word < !space;
          in_word = !space;
        }
    }
  if (n < 0)
    return NULL;
  return g_variant_new ("(ttt)", lines, words, bytes);
}

/*
 * A line is held in memory; one without end must not take the worker, or in the threads backend the
 * program, along.
 */
#define LINE_MAX_BYTES (256 * 1024 * 1024)

typedef struct
{
  const char *pattern;
  GRegex *text;
  GRegex *raw;
  guint64 line_number;
  GVariantBuilder *matches;
} Grep;

/*
 * Lines that are UTF-8 are matched as text, others byte by byte: one file may hold both. The second
 * form of the pattern is compiled when the first such line comes.
 */
static gboolean
grep_line (Grep *grep, const char *line, gsize length, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) match_error = NULL;
  gboolean valid = g_utf8_validate_len (line, length, NULL);
  gboolean matches;

  grep->line_number++;
  if (!valid && grep->raw == NULL)
    {
      grep->raw = g_regex_new (grep->pattern, G_REGEX_RAW | G_REGEX_OPTIMIZE, 0, error);
      if (grep->raw == NULL)
        return FALSE;
    }
  matches = g_regex_match_full (valid ? grep->text : grep->raw, line, (gssize) length, 0, 0, NULL,
                                &match_error);
  if (match_error != NULL)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&match_error),
                                  "Line %" G_GUINT64_FORMAT ": ", grep->line_number);
      return FALSE;
    }
  if (!matches)
    return TRUE;
  text = g_utf8_make_valid (line, (gssize) length);
  g_variant_builder_add (grep->matches, "(ts)", grep->line_number, text);
  return TRUE;
}

static gboolean
append_rest (GByteArray *rest, const guint8 *data, gsize size, GError **error)
{
  if (rest->len + size > LINE_MAX_BYTES)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                   "A line is longer than %d MiB: this is not text", LINE_MAX_BYTES >> 20);
      return FALSE;
    }
  g_byte_array_append (rest, data, (guint) size);
  return TRUE;
}

static gboolean
grep_file (Grep *grep, TaskFile *file, GCancellable *cancellable, GError **error)
{
  g_autoptr (GByteArray) rest = g_byte_array_new ();
  const guint8 *data;
  gssize n;

  while ((n = task_file_read (file, &data, cancellable, error)) > 0)
    {
      const guint8 *end = data + n;
      const guint8 *newline;

      for (; (newline = memchr (data, '\n', (gsize) (end - data))) != NULL; data = newline + 1)
        {
          const guint8 *line = data;
          gsize length = (gsize) (newline - data);

          if (rest->len > 0)
            {
              if (!append_rest (rest, data, length, error))
                return FALSE;
              line = rest->data;
              length = rest->len;
            }
          if (!grep_line (grep, (const char *) line, length, error))
            return FALSE;
          g_byte_array_set_size (rest, 0);
        }
      if (!append_rest (rest, data, (gsize) (end - data), error))
        return FALSE;
    }
  if (n < 0)
    return FALSE;
  return rest->len == 0 || grep_line (grep, (const char *) rest->data, rest->len, error);
}

/* text.grep (s pattern, s or ay file name) → a(ts) line numbers from 1, and lines */
static GVariant *
text_grep (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree char *pattern = task_args_dup_string (args, 0, error);
  g_autofree char *name = pattern != NULL ? task_args_dup_filename (args, 1, error) : NULL;
  g_autoptr (GRegex) text = NULL;
  g_autoptr (GRegex) raw = NULL;
  g_autoptr (TaskFile) file = NULL;
  g_autoptr (GVariantBuilder) matches = g_variant_builder_new (G_VARIANT_TYPE ("a(ts)"));
  Grep grep = { .pattern = pattern, .matches = matches };
  gboolean ok;

  if (name == NULL)
    return NULL;
  text = g_regex_new (pattern, G_REGEX_OPTIMIZE, 0, error);
  if (text == NULL)
    return NULL;
  file = task_file_open (name, error);
  if (file == NULL)
    return NULL;
  grep.text = text;
  ok = grep_file (&grep, file, pool_task_get_cancellable (task), error);
  raw = grep.raw;
  return ok ? g_variant_builder_end (matches) : NULL;
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "count", "lines, words and bytes of a file", text_count);
  pool_task_module_add (module, "grep",
                        "numbers and text of the lines of a file that match a pattern", text_grep);
}
