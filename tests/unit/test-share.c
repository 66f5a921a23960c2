/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-share-private.h"
#include "unit-common.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((gsize) 100000)

/* Two sides in one process: each has a heap and looks into the other's. */
typedef struct
{
  PoolShareHeap *heaps[2];
  PoolShare shares[2];
} Fixture;

static GVariant *
offer_of (PoolShareHeap *heap)
{
  PoolBackendMemory memory;

  pool_share_heap_get_memory (heap, &memory);
  return g_variant_ref_sink (pool_share_offer (&memory));
}

static void
set_up (Fixture *self)
{
  for (guint i = 0; i < 2; i++)
    {
      self->heaps[i] = pool_share_heap_new ();
      g_assert_nonnull (self->heaps[i]);
      pool_share_init (&self->shares[i], self->heaps[i]);
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GVariant) offer = offer_of (self->heaps[1 - i]);

      self->shares[i].view = pool_share_view_open (offer, NULL, NULL);
      g_assert_nonnull (self->shares[i].view);
      self->shares[1 - i].is_seen = TRUE;
    }
}

static void
tear_down (Fixture *self)
{
  for (guint i = 0; i < 2; i++)
    {
      pool_share_clear (&self->shares[i]);
      pool_share_heap_unref (self->heaps[i]);
    }
}

static GBytes *
fill (PoolShareHeap *heap, guint seed)
{
  GBytes *bytes = pool_share_heap_alloc (heap, SIZE);
  guint8 *data = (guint8 *) g_bytes_get_data (bytes, NULL);

  for (gsize i = 0; i < SIZE; i++)
    data[i] = (i + seed) % 253;
  return bytes;
}

/* What one lends the other borrows, and gives back when nobody has it any more. */
static void
test_there (void)
{
  Fixture self;
  GBytes *bytes, *seen, *again;
  PoolSharePlace place;
  gboolean is_theirs;
  guint64 block;

  set_up (&self);
  bytes = fill (self.heaps[0], 7);
  g_assert_true (pool_share_lend (&self.shares[0], g_bytes_get_data (bytes, NULL), SIZE, bytes, &place, &is_theirs));
  g_assert_false (is_theirs);
  seen = pool_share_resolve (&self.shares[1], &place, SIZE, FALSE);
  g_assert_true (g_bytes_equal (seen, bytes));
  /* another mapping of the same: nothing was copied */
  g_assert_true (g_bytes_get_data (seen, NULL) != g_bytes_get_data (bytes, NULL));
  ((guint8 *) g_bytes_get_data (bytes, NULL))[5] = 255;
  g_assert_cmpuint (((const guint8 *) g_bytes_get_data (seen, NULL))[5], ==, 255);

  /* while it is lent it is not used for anything else, though its owner has let go of it */
  g_bytes_unref (bytes);
  again = fill (self.heaps[0], 9);
  g_assert_cmpuint (((const guint8 *) g_bytes_get_data (seen, NULL))[6], ==, 13);
  g_bytes_unref (again);

  g_assert_false (pool_share_view_pop_returned (self.shares[1].view, &block));
  g_bytes_unref (seen);
  g_assert_true (pool_share_view_pop_returned (self.shares[1].view, &block));
  g_assert_cmpuint (block, ==, place.block);
  g_assert_true (pool_share_take_back (&self.shares[0], block));
  g_assert_false (pool_share_take_back (&self.shares[0], block));
  g_assert_cmpuint (g_hash_table_size (self.shares[0].loans), ==, 0);
  tear_down (&self);
}

/* A part of what was borrowed goes back as a place in the lender's own memory. */
static void
test_and_back (void)
{
  Fixture self;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) seen = NULL;
  g_autoptr (GBytes) part = NULL;
  PoolSharePlace place, back;
  gboolean is_theirs;

  set_up (&self);
  bytes = fill (self.heaps[0], 1);
  g_assert_true (pool_share_lend (&self.shares[0], g_bytes_get_data (bytes, NULL), SIZE, bytes, &place, &is_theirs));
  seen = pool_share_resolve (&self.shares[1], &place, SIZE, FALSE);
  g_assert_true (pool_share_lend (&self.shares[1], (const guint8 *) g_bytes_get_data (seen, NULL) + 1000, 50000, seen, &back,
                                  &is_theirs));
  g_assert_true (is_theirs);
  part = pool_share_resolve (&self.shares[0], &back, 50000, TRUE);
  g_assert_true (g_bytes_get_data (part, NULL) == (const guint8 *) g_bytes_get_data (bytes, NULL) + 1000);
  back.skip = SIZE - 49999;
  g_assert_null (pool_share_resolve (&self.shares[0], &back, 50000, TRUE));
  back.skip = G_MAXUINT64;
  g_assert_null (pool_share_resolve (&self.shares[0], &back, 50000, TRUE));
  back = (PoolSharePlace){ place.block + 4096, 0 };
  g_assert_null (pool_share_resolve (&self.shares[0], &back, 1, TRUE));
  tear_down (&self);
}

/* What is elsewhere is copied by a side that has a heap; places that are none are refused. */
static void
test_elsewhere (void)
{
  Fixture self;
  g_autofree guint8 *data = g_malloc0 (SIZE);
  g_autoptr (GBytes) seen = NULL;
  PoolSharePlace place;
  gboolean is_theirs;
  gsize size;

  set_up (&self);
  data[SIZE - 1] = 9;
  g_assert_true (pool_share_lend (&self.shares[0], data, SIZE, NULL, &place, &is_theirs));
  seen = pool_share_resolve (&self.shares[1], &place, SIZE, FALSE);
  g_assert_cmpmem (g_bytes_get_data (seen, NULL), SIZE, data, SIZE);

  size = pool_share_view_get_size (self.shares[1].view);
  place = (PoolSharePlace){ size - SIZE + 1, 0 };
  g_assert_null (pool_share_resolve (&self.shares[1], &place, SIZE, FALSE));
  place = (PoolSharePlace){ size, 0 };
  g_assert_null (pool_share_resolve (&self.shares[1], &place, 1, FALSE));
  place = (PoolSharePlace){ G_MAXUINT64 - 5, 0 };
  g_assert_null (pool_share_resolve (&self.shares[1], &place, SIZE, FALSE));
  place = (PoolSharePlace){ 4096, 1 };
  g_assert_null (pool_share_resolve (&self.shares[1], &place, SIZE, FALSE));

  self.shares[0].is_seen = FALSE;
  g_assert_false (pool_share_lend (&self.shares[0], data, SIZE, NULL, &place, &is_theirs));
  self.shares[0].is_seen = TRUE;
  self.shares[0].heap = NULL;
  g_assert_false (pool_share_lend (&self.shares[0], data, SIZE, NULL, &place, &is_theirs));
  tear_down (&self);
}

static PoolShareView *
open_changed (const char *format, ...)
{
  g_autoptr (GVariant) changed = NULL;
  va_list args;

  va_start (args, format);
  changed = g_variant_ref_sink (g_variant_new_va (format, NULL, &args));
  va_end (args);
  return pool_share_view_open (changed, NULL, NULL);
}

/* Nothing but the memory that is meant is opened, whatever the other side says. */
static void
test_offers (void)
{
  PoolShareHeap *heap = pool_share_heap_new ();
  g_autoptr (GVariant) offer = offer_of (heap);
  g_autoptr (GVariant) token = g_variant_get_child_value (offer, 4);
  g_autoptr (GVariant) wrong = g_variant_ref_sink (g_variant_new_bytestring ("fifteen letters"));
  int tube[2], loose = memfd_create ("libpool", MFD_CLOEXEC), file = open ("/etc/passwd", O_RDONLY | O_CLOEXEC);
  gint64 pid;
  int fd;
  guint64 size, place;

  g_variant_get (offer, "(xitt@ay)", &pid, &fd, &size, &place, NULL);
  g_assert_null (open_changed ("(xitt@ay)", pid, fd, size - 1, place, token));
  g_assert_null (open_changed ("(xitt@ay)", pid, fd, size, place + 1, token));
  g_assert_null (open_changed ("(xitt@ay)", pid, fd, size, size, token));
  g_assert_null (open_changed ("(xitt@ay)", pid, fd, size, place, wrong));
  g_assert_null (open_changed ("(xitt@ay)", G_GINT64_CONSTANT (-1), fd, size, place, token));
  g_assert_null (open_changed ("(xitt@ay)", G_GINT64_CONSTANT (0), fd, size, place, token));
  g_assert_null (open_changed ("(xitt@ay)", pid, -1, size, place, token));
  g_assert_null (open_changed ("(xitt@ay)", pid, fd, (guint64) 0, place, token));
  g_assert_null (open_changed ("(xittay)", pid, fd, size, place, NULL));
  g_assert_null (open_changed ("(s)", "no offer"));
  /* what could be cut off, what is no memory, and what to open would take for ever */
  g_assert_cmpint (ftruncate (loose, 8192), ==, 0);
  g_assert_null (open_changed ("(xitt@ay)", pid, loose, (guint64) 8192, (guint64) 0, token));
  g_assert_null (open_changed ("(xitt@ay)", pid, file, (guint64) 8192, (guint64) 0, token));
  g_assert_cmpint (pipe (tube), ==, 0);
  g_assert_null (open_changed ("(xitt@ay)", pid, tube[0], (guint64) 8192, (guint64) 0, token));
  close (tube[0]);
  close (tube[1]);
  close (loose);
  close (file);
  pool_share_heap_unref (heap);
}

/* Seen from another process, and what is borrowed outlives the lender. */
static void
test_processes (void)
{
  int to_parent[2], to_child[2], status;
  pid_t child;
  GVariant *offer;
  g_autoptr (GBytes) seen = NULL;
  g_autoptr (GBytes) data = NULL;
  PoolShareView *view;
  guint8 text[256];
  gssize n;

  g_assert_cmpint (pipe (to_parent), ==, 0);
  g_assert_cmpint (pipe (to_child), ==, 0);
  child = fork ();
  if (child == 0)
    {
      PoolShareHeap *heap = pool_share_heap_new ();
      g_autoptr (GVariant) mine = offer_of (heap);
      GBytes *bytes = fill (heap, 3);

      if (bytes == NULL ||
          write (to_parent[1], g_variant_get_data (mine), g_variant_get_size (mine)) != (gssize) g_variant_get_size (mine) ||
          read (to_child[0], text, 1) != 1)
        _exit (1);
      _exit (0);
    }
  n = read (to_parent[0], text, sizeof text);
  g_assert_cmpint (n, >, 0);
  data = g_bytes_new (text, n);
  offer = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (POOL_SHARE_TYPE), data, FALSE));
  view = pool_share_view_open (offer, NULL, NULL);
  g_assert_nonnull (view);
  seen = pool_share_view_borrow (view, 4096, SIZE);
  g_assert_cmpint (write (to_child[1], "x", 1), ==, 1);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  pool_share_view_close (view);
  for (gsize i = 0; i < SIZE; i++)
    g_assert_cmpuint (((const guint8 *) g_bytes_get_data (seen, NULL))[i], ==, (i + 3) % 253);
  /* it is nobody's any more */
  view = pool_share_view_open (offer, NULL, NULL);
  g_assert_null (view);
  g_variant_unref (offer);
  for (guint i = 0; i < 2; i++)
    {
      close (to_parent[i]);
      close (to_child[i]);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/share/there", test_there);
  g_test_add_func ("/share/and-back", test_and_back);
  g_test_add_func ("/share/elsewhere", test_elsewhere);
  g_test_add_func ("/share/offers", test_offers);
  g_test_add_func ("/share/processes", test_processes);
  return g_test_run ();
}
