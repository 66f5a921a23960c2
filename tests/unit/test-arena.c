/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-arena-private.h"
#include "unit-common.h"

#include <sys/mman.h>

#define KIB ((gsize) 1024)
#define MIB (KIB * KIB)

typedef struct
{
  PoolArena arena;
  guint8 *base;
  gsize size;
} Fixture;

static void
fixture_init (Fixture *self, gsize size)
{
  memset (self, 0, sizeof *self);
  self->size = size;
  self->base = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0);
  g_assert_true (self->base != MAP_FAILED);
  g_assert_true (pool_arena_init (&self->arena, self->base, size));
}

static void
fixture_clear (Fixture *self)
{
  pool_arena_clear (&self->arena);
  munmap (self->base, self->size);
}

static guint8 *
alloc (Fixture *self, gsize size)
{
  guint8 *block = pool_arena_alloc (&self->arena, size, FALSE);

  g_assert_nonnull (block);
  g_assert_true (pool_arena_contains (&self->arena, block));
  g_assert_true (pool_arena_contains (&self->arena, block + MAX (size, 1) - 1));
  g_assert_cmpuint (pool_arena_get_block_size (&self->arena, block), >=, size);
  return block;
}

static void
test_sizes (void)
{
  static const struct
  {
    gsize size, block_size;
  } cases[] = {
    { 0, KIB },           { 1, KIB },           { KIB, KIB },         { KIB + 1, 2 * KIB },
    { 2 * KIB, 2 * KIB }, { 2 * KIB + 1, 4 * KIB }, { 4 * KIB, 4 * KIB }, { 4 * KIB + 1, 8 * KIB },
    { 64 * KIB, 64 * KIB }, { MIB - 1, MIB },   { MIB, MIB },         { MIB + 1, 2 * MIB },
    { 16 * MIB, 16 * MIB },
  };
  Fixture fixture;

  fixture_init (&fixture, 64 * MIB);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint8 *block = alloc (&fixture, cases[i].size);

      g_assert_cmpuint (pool_arena_get_block_size (&fixture.arena, block), ==, cases[i].block_size);
      g_assert_cmpuint ((block - fixture.base) % (cases[i].block_size >= 4096 ? 4096 : KIB), ==, 0);
    }
  fixture_clear (&fixture);
}

static void
test_contains (void)
{
  Fixture fixture;

  fixture_init (&fixture, MIB);
  g_assert_true (pool_arena_contains (&fixture.arena, fixture.base));
  g_assert_true (pool_arena_contains (&fixture.arena, fixture.base + MIB - 1));
  g_assert_false (pool_arena_contains (&fixture.arena, fixture.base + MIB));
  g_assert_false (pool_arena_contains (&fixture.arena, fixture.base - 1));
  g_assert_false (pool_arena_contains (&fixture.arena, NULL));
  fixture_clear (&fixture);
}

/* The last one freed is the warmest. */
static void
test_recycling (void)
{
  Fixture fixture;
  guint8 *blocks[3];

  fixture_init (&fixture, MIB);
  g_assert_null (pool_arena_alloc (&fixture.arena, 5000, TRUE));
  for (guint i = 0; i < 3; i++)
    blocks[i] = alloc (&fixture, 5000);
  for (guint i = 0; i < 3; i++)
    pool_arena_free (&fixture.arena, blocks[i]);
  g_assert_true (pool_arena_alloc (&fixture.arena, 8000, TRUE) == blocks[2]);
  g_assert_true (pool_arena_alloc (&fixture.arena, 4097, FALSE) == blocks[1]);
  g_assert_null (pool_arena_alloc (&fixture.arena, 4096, TRUE));
  g_assert_true (pool_arena_alloc (&fixture.arena, 5000, TRUE) == blocks[0]);
  g_assert_null (pool_arena_alloc (&fixture.arena, 5000, TRUE));
  fixture_clear (&fixture);
}

static void
test_full (void)
{
  Fixture fixture;
  guint8 *large, *small, *again;

  fixture_init (&fixture, MIB);
  g_assert_null (pool_arena_alloc (&fixture.arena, MIB + 1, FALSE));
  g_assert_null (pool_arena_alloc (&fixture.arena, G_MAXSIZE, FALSE));
  g_assert_null (pool_arena_alloc (&fixture.arena, G_MAXSIZE / 2 + 2, FALSE));

  large = alloc (&fixture, MIB);
  g_assert_null (pool_arena_alloc (&fixture.arena, 1, FALSE));
  pool_arena_free (&fixture.arena, large);

  /* a larger one will do, if it is there */
  g_assert_null (pool_arena_alloc (&fixture.arena, 1, TRUE));
  small = alloc (&fixture, 1);
  g_assert_true (small == large);
  g_assert_cmpuint (pool_arena_get_block_size (&fixture.arena, small), ==, MIB);
  g_assert_null (pool_arena_alloc (&fixture.arena, 1, FALSE));
  /* and is what it was when it comes back */
  pool_arena_free (&fixture.arena, small);
  again = alloc (&fixture, MIB);
  g_assert_true (again == large);
  fixture_clear (&fixture);
}

/* A block that does not fit at the end because it would have to begin at a page. */
static void
test_end_of_window (void)
{
  Fixture fixture;
  guint n = 0;

  fixture_init (&fixture, 64 * KIB);
  alloc (&fixture, KIB);
  while (pool_arena_alloc (&fixture.arena, 4 * KIB, FALSE) != NULL)
    n++;
  g_assert_cmpuint (n, ==, 15);
  fixture_clear (&fixture);
}

/* --- what lies idle --- */

static guint
count_warm (guint8 **blocks, guint n)
{
  guint warm = 0;

  for (guint i = 0; i < n; i++)
    warm += blocks[i][0] != 0;
  return warm;
}

static void
test_given_back (void)
{
  enum { N = 300 };
  Fixture fixture;
  guint8 *blocks[N];

  fixture_init (&fixture, 2048 * MIB);
  for (guint i = 0; i < N; i++)
    {
      blocks[i] = alloc (&fixture, MIB);
      blocks[i][0] = 1;
    }
  for (guint i = 0; i < N; i++)
    pool_arena_free (&fixture.arena, blocks[i]);
  /* 256 MiB may lie idle; the others have no pages and are the last to be used */
  g_assert_cmpuint (count_warm (blocks, N), ==, 256);
  for (guint i = 0; i < 256; i++)
    g_assert_cmpuint (pool_arena_alloc (&fixture.arena, MIB, TRUE)[0], ==, 1);
  for (guint i = 256; i < N; i++)
    g_assert_cmpuint (pool_arena_alloc (&fixture.arena, MIB, TRUE)[0], ==, 0);
  g_assert_null (pool_arena_alloc (&fixture.arena, MIB, TRUE));
  fixture_clear (&fixture);
}

/* Blocks without pages do not lie idle: to use them says nothing about those that do. */
static void
test_idle_is_what_is_idle (void)
{
  enum { N = 256, M = 128 };
  Fixture fixture;
  guint8 *first[N], *second[M];

  fixture_init (&fixture, 2048 * MIB);
  for (guint i = 0; i < N; i++)
    first[i] = alloc (&fixture, MIB);
  for (guint i = 0; i < M; i++)
    second[i] = alloc (&fixture, 2 * MIB);
  for (guint i = 0; i < N; i++)
    pool_arena_free (&fixture.arena, first[i]);
  for (guint i = 0; i < M; i++)
    pool_arena_free (&fixture.arena, second[i]);

  for (guint i = 0; i < M; i++)
    second[i] = alloc (&fixture, 2 * MIB);
  for (guint i = 0; i < N; i++)
    first[i][0] = 1;
  for (guint i = 0; i < M; i++)
    {
      second[i][0] = 1;
      pool_arena_free (&fixture.arena, second[i]);
    }
  /* the first 256 MiB are still there */
  g_assert_cmpuint (count_warm (first, N), ==, N);
  g_assert_cmpuint (count_warm (second, M), ==, 0);
  fixture_clear (&fixture);
}

/* --- many of them --- */

typedef struct
{
  Fixture *fixture;
  guint64 random;
  guint8 mark;
  guint n_rounds;
} User;

/* Marks each of its blocks at both ends and finds the marks again: no block is part of another. */
static gpointer
use_blocks (gpointer data)
{
  enum { N = 64 };
  User *self = data;
  PoolArena *arena = &self->fixture->arena;
  guint8 *blocks[N] = { NULL };
  gsize sizes[N] = { 0 };

  for (guint i = 0; i < self->n_rounds; i++)
    {
      guint j = unit_random (&self->random) % N;

      if (blocks[j] != NULL)
        {
          g_assert_cmpuint (blocks[j][0], ==, (guint8) (self->mark + j));
          g_assert_cmpuint (blocks[j][sizes[j] - 1], ==, (guint8) (self->mark + j));
          pool_arena_free (arena, g_steal_pointer (&blocks[j]));
          continue;
        }
      sizes[j] = 1 + (unit_random (&self->random) >> (unit_random (&self->random) % 32)) % (256 * KIB);
      blocks[j] = pool_arena_alloc (arena, sizes[j], FALSE);
      g_assert_nonnull (blocks[j]);
      blocks[j][0] = blocks[j][sizes[j] - 1] = self->mark + j;
      g_assert_cmpuint (pool_arena_get_block_size (arena, blocks[j]), >=, sizes[j]);
    }
  for (guint j = 0; j < N; j++)
    if (blocks[j] != NULL)
      pool_arena_free (arena, blocks[j]);
  return NULL;
}

static void
test_many (gconstpointer data)
{
  const guint n = GPOINTER_TO_UINT (data);
  Fixture fixture;
  User users[4];
  GThread *threads[4];

  unit_watchdog (60);
  fixture_init (&fixture, 1024 * MIB);
  for (guint i = 0; i < n; i++)
    users[i] = (User){ &fixture, unit_random_seed (), i * 64, unit_scale (100000) / n };
  for (guint i = 1; i < n; i++)
    threads[i] = g_thread_new ("user", use_blocks, &users[i]);
  use_blocks (&users[0]);
  for (guint i = 1; i < n; i++)
    g_thread_join (threads[i]);

  /* all was used again: no more is taken than was in use at one time */
  g_assert_cmpuint (fixture.arena.top, <, n * 64 * 512 * KIB);
  fixture_clear (&fixture);
  unit_watchdog (0);
}

static void
test_free_of_no_block (void)
{
  if (g_test_subprocess ())
    {
      Fixture fixture;

      fixture_init (&fixture, MIB);
      pool_arena_free (&fixture.arena, alloc (&fixture, 8 * KIB) + 4 * KIB);
      exit (0);
    }
  unit_expect_abort (NULL, "*assertion failed*classes*");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/arena/sizes", test_sizes);
  g_test_add_func ("/arena/contains", test_contains);
  g_test_add_func ("/arena/recycling", test_recycling);
  g_test_add_func ("/arena/full", test_full);
  g_test_add_func ("/arena/end-of-window", test_end_of_window);
  g_test_add_func ("/arena/given-back", test_given_back);
  g_test_add_func ("/arena/idle-is-what-is-idle", test_idle_is_what_is_idle);
  g_test_add_data_func ("/arena/many/one-thread", GUINT_TO_POINTER (1), test_many);
  g_test_add_data_func ("/arena/many/threads", GUINT_TO_POINTER (3), test_many);
  g_test_add_func ("/arena/free-of-no-block", test_free_of_no_block);
  return g_test_run ();
}
