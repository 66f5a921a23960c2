/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "../make-part.h"
#include "pool-mpi-messages.h"
#include "pool-mpi-start.h"

/* A rank that sends messages to itself: what goes out in pieces comes back whole. */

typedef struct
{
  PoolMpiMessages messages;
  PoolMpiPeer *self;
  GPtrArray *parts;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  pool_mpi_messages_init (&self->messages);
  self->self = pool_mpi_messages_add_peer (&self->messages, MPI_COMM_WORLD, 0);
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pool_mpi_messages_is_idle (&self->messages));
  g_ptr_array_unref (self->parts);
  g_ptr_array_unref (self->messages.peers);
  pool_mpi_bell_close (&self->messages.bell);
}

static PoolMpiEnvelope
receive (Fixture *self)
{
  PoolMpiEnvelope envelope;

  while (pool_mpi_messages_receive (&self->messages, &envelope, self->parts) == NULL)
    pool_mpi_messages_progress (&self->messages);
  return envelope;
}

static void
send_parts (Fixture *self, guint number, GBytes *const *parts, guint n)
{
  const PoolMpiEnvelope envelope = { .kind = POOL_MPI_ENVELOPE_MESSAGE, .number = number };

  pool_mpi_messages_send (&self->messages, self->self, &envelope, "head", 4, parts, n);
}

/* Each size around that of a piece, several messages behind each other. */
static void
test_pieces (Fixture *self, gconstpointer data)
{
  const gsize piece = GPOINTER_TO_SIZE (data);
  const gsize sizes[] = { 0, 1, piece - 1, piece, piece + 1, 2 * piece, 7 * piece + 3 };
  GBytes *parts[G_N_ELEMENTS (sizes)];

  self->messages.piece = piece;
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    parts[i] = make_part (sizes[i], i);
  for (guint round = 0; round < 3; round++)
    send_parts (self, round, parts, G_N_ELEMENTS (sizes));
  for (guint round = 0; round < 3; round++)
    {
      g_assert_cmpuint (receive (self).number, ==, round);
      g_assert_cmpuint (self->parts->len, ==, 1 + G_N_ELEMENTS (sizes));
      g_assert_cmpmem (g_bytes_get_data (self->parts->pdata[0], NULL), g_bytes_get_size (self->parts->pdata[0]), "head", 4);
      for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
        g_assert_true (g_bytes_equal (self->parts->pdata[i + 1], parts[i]));
    }
  while (!pool_mpi_messages_is_idle (&self->messages))
    pool_mpi_messages_progress (&self->messages);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    g_bytes_unref (parts[i]);
}

/* Short ones are said with what they mean, and nothing else. */
static void
test_envelopes (Fixture *self, gconstpointer data)
{
  const PoolMpiEnvelope sent = { .kind = POOL_MPI_ENVELOPE_BEGIN, .number = 3, .n_workers = 2, .pid = 77, .bell = 5,
                                 .machine = 9, .is_direct = 1 };
  PoolMpiEnvelope envelope;

  g_assert_false (pool_mpi_messages_has_message (&self->messages));
  pool_mpi_messages_send (&self->messages, self->self, &sent, NULL, 0, NULL, 0);
  while (!pool_mpi_messages_has_message (&self->messages))
    ;
  envelope = receive (self);
  g_assert_cmpuint (envelope.kind, ==, sent.kind);
  g_assert_cmpuint (envelope.number, ==, sent.number);
  g_assert_cmpuint (envelope.n_workers, ==, sent.n_workers);
  g_assert_cmpuint (envelope.pid, ==, sent.pid);
  g_assert_cmpuint (envelope.bell, ==, sent.bell);
  g_assert_cmpuint (envelope.machine, ==, sent.machine);
  g_assert_cmpuint (envelope.is_direct, ==, sent.is_direct);
  g_assert_cmpuint (self->parts->len, ==, 0);
}

/* While one of whom much is on its way gets it, it is known to be there. */
static void
test_moving (Fixture *self, gconstpointer data)
{
  GBytes *part = make_part (8 * 1024 * 1024, 1);

  g_assert_false (pool_mpi_messages_is_moving (&self->messages));
  send_parts (self, 1, &part, 1);
  g_assert_true (pool_mpi_messages_is_moving (&self->messages));
  receive (self);
  g_assert_true (g_bytes_equal (self->parts->pdata[1], part));
  while (!pool_mpi_messages_is_idle (&self->messages))
    pool_mpi_messages_progress (&self->messages);
  g_assert_false (pool_mpi_messages_is_moving (&self->messages));
  g_bytes_unref (part);
}

#define ADD(path, data, function) g_test_add (path, Fixture, data, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  if (!pool_mpi_start (&error))
    g_error ("%s", error->message);
  ADD ("/mpi-messages/envelopes", NULL, test_envelopes);
  ADD ("/mpi-messages/pieces/2", GSIZE_TO_POINTER (2), test_pieces);
  ADD ("/mpi-messages/pieces/1000", GSIZE_TO_POINTER (1000), test_pieces);
  ADD ("/mpi-messages/pieces/100000", GSIZE_TO_POINTER (100000), test_pieces);
  ADD ("/mpi-messages/moving", NULL, test_moving);
  status = g_test_run ();
  pool_mpi_exit (status, TRUE);
}
