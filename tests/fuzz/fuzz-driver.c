/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "fuzz-parse.h"

#include <string.h>

/*
 * Runs the fuzz target without a fuzzer: on the inputs that are kept, and on inputs made of them at random. The
 * number of the seed is printed; --seed repeats a run.
 */

#define N_MUTATIONS 20000
#define MAX_SIZE 4096

static GPtrArray *inputs; /* GBytes */

static void
load_inputs (const char *directory)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (directory, 0, &error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  g_assert_no_error (error);
  inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_build_filename (directory, name, NULL));
  /* the same order everywhere: a seed is to mean the same */
  g_ptr_array_sort_with_data (names, (GCompareDataFunc) (void (*) (void)) g_strcmp0, NULL);
  for (guint i = 0; i < names->len; i++)
    {
      char *data;
      gsize size;

      g_file_get_contents (names->pdata[i], &data, &size, &error);
      g_assert_no_error (error);
      g_ptr_array_add (inputs, g_bytes_new_take (data, size));
    }
}

/* In memory of just that size, so that a read beyond it is seen. */
static void
run (const guint8 *data, gsize size)
{
  g_autofree guint8 *exact = g_memdup2 (data, size);

  g_assert_cmpint (LLVMFuzzerTestOneInput (exact, size), ==, 0);
}

static void
test_corpus (void)
{
  g_assert_cmpuint (inputs->len, >=, 20);
  for (guint i = 0; i < inputs->len; i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (inputs->pdata[i], &size);

      run (data, size);
      /* and all that begins like it */
      for (gsize n = 0; n < MIN (size, 256); n++)
        run (data, n);
    }
}

static void
append_part (GByteArray *array, GRand *rand)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (inputs->pdata[g_rand_int_range (rand, 0, inputs->len)], &size);
  gsize start = size > 0 ? g_rand_int_range (rand, 0, size) : 0;

  if (array->len + size - start <= MAX_SIZE)
    g_byte_array_append (array, data + start, size - start);
}

static void
mutate (GByteArray *array, GRand *rand)
{
  static const guint8 odd[] = { 0, 1, 7, 8, 0x7f, 0x80, 0xff };
  guint at = array->len > 0 ? g_rand_int_range (rand, 0, array->len) : 0;

  switch (array->len > 0 ? g_rand_int_range (rand, 0, 6) : 5)
    {
    case 0:
      array->data[at] ^= 1 << g_rand_int_range (rand, 0, 8);
      break;
    case 1:
      array->data[at] = odd[g_rand_int_range (rand, 0, G_N_ELEMENTS (odd))];
      break;
    case 2:
      array->data[at] = g_rand_int (rand);
      break;
    case 3:
      g_byte_array_remove_range (array, at, g_rand_int_range (rand, 0, MIN (array->len - at, 16) + 1));
      break;
    case 4:
      g_byte_array_set_size (array, at);
      break;
    default:
      append_part (array, rand);
      break;
    }
}

static void
test_mutations (void)
{
  GRand *rand = g_rand_new_with_seed (g_test_rand_int ());

  for (guint i = 0; i < N_MUTATIONS; i++)
    {
      g_autoptr (GByteArray) array = g_byte_array_new ();
      GBytes *input = inputs->pdata[g_rand_int_range (rand, 0, inputs->len)];

      g_byte_array_append (array, g_bytes_get_data (input, NULL), g_bytes_get_size (input));
      for (int n = g_rand_int_range (rand, 1, 6); n > 0; n--)
        mutate (array, rand);
      run (array->data, array->len);
    }
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  load_inputs (argv[1]);
  g_test_add_func ("/fuzz/parse/corpus", test_corpus);
  g_test_add_func ("/fuzz/parse/mutations", test_mutations);
  status = g_test_run ();
  g_ptr_array_unref (inputs);
  return status;
}
