/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-messages.h"

#include <string.h>
#include <sys/stat.h>

#define TAG_ENVELOPE 1
#define TAG_PART 2

/* What one call sends: an MPI counts in int, and copies a piece at once. */
#define PIECE_MAX ((gsize) 32 * 1024 * 1024)
/* Parts from this size on are received in memory that was used before. */
#define LARGE_MIN (64 * 1024)
/* A piece that takes longer than this, µs, may never come: it is no reason to wait without a pause any more. */
#define MOVING_US (2 * G_USEC_PER_SEC)

/* A message on its way, one or the other. */
typedef struct
{
  guint8 *envelope;
  gsize envelope_size;
  GPtrArray *parts; /* GBytes */
  GArray *requests; /* MPI_Request */
  guint n_done;     /* of those, the first ones */
  gboolean has_parts; /* received: they have been asked for */
} Transfer;

static Transfer *
transfer_new (gsize envelope_size)
{
  Transfer *self = g_new0 (Transfer, 1);

  self->envelope = g_malloc (envelope_size);
  self->envelope_size = envelope_size;
  self->requests = g_array_new (FALSE, FALSE, sizeof (MPI_Request));
  return self;
}

static void
transfer_free (gpointer data)
{
  Transfer *self = data;

  g_free (self->envelope);
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  g_array_unref (self->requests);
  g_free (self);
}

static void
free_peer (gpointer data)
{
  PoolMpiPeer *peer = data;

  /* what the MPI may still write to, or read from, stays */
  g_free (peer);
}

void
pool_mpi_messages_init (PoolMpiMessages *self)
{
  *self = (PoolMpiMessages){ .peers = g_ptr_array_new_with_free_func (free_peer),
                             .heap = pool_share_heap_new (),
                             .piece = PIECE_MAX };
  pool_mpi_bell_open (&self->bell);
}

PoolMpiPeer *
pool_mpi_messages_add_peer (PoolMpiMessages *self, MPI_Comm comm, int rank)
{
  PoolMpiPeer *peer = g_new0 (PoolMpiPeer, 1);

  g_ptr_array_add (self->peers, peer);
  peer->id = self->peers->len;
  peer->comm = comm;
  peer->rank = rank;
  peer->pidfd = -1;
  g_queue_init (&peer->out);
  g_queue_init (&peer->in);
  return peer;
}

PoolMpiPeer *
pool_mpi_messages_get_peer (PoolMpiMessages *self, guint id)
{
  return id > 0 && id <= self->peers->len ? self->peers->pdata[id - 1] : NULL;
}

/* TRUE: all of what was asked for is done. */
static gboolean
test (PoolMpiPeer *peer, Transfer *transfer)
{
  while (transfer->n_done < transfer->requests->len)
    {
      int done = 0;

      if (MPI_Test (&g_array_index (transfer->requests, MPI_Request, transfer->n_done), &done, MPI_STATUS_IGNORE) !=
          MPI_SUCCESS)
        peer->is_gone = TRUE;
      if (!done || peer->is_gone)
        return FALSE;
      transfer->n_done++;
      peer->moved_at = g_get_monotonic_time ();
    }
  return TRUE;
}

/* One part, in pieces. */
static void
move_part (PoolMpiMessages *self, PoolMpiPeer *peer, Transfer *transfer, guint8 *data, gsize size, gboolean is_received)
{
  for (gsize done = 0; done < size; done += self->piece)
    {
      int n = (int) MIN (size - done, self->piece);
      MPI_Request request = MPI_REQUEST_NULL;
      int code = is_received ? MPI_Irecv (data + done, n, MPI_BYTE, peer->rank, TAG_PART, peer->comm, &request)
                             : MPI_Isend (data + done, n, MPI_BYTE, peer->rank, TAG_PART, peer->comm, &request);

      if (code != MPI_SUCCESS)
        peer->is_gone = TRUE;
      g_array_append_val (transfer->requests, request);
    }
}

/* --- out --- */

void
pool_mpi_messages_send (PoolMpiMessages *self, PoolMpiPeer *peer, const PoolMpiEnvelope *envelope, gconstpointer head,
                        gsize head_size, GBytes *const *parts, guint n_parts)
{
  PoolMpiEnvelope whole = *envelope;
  MPI_Request request = MPI_REQUEST_NULL;
  Transfer *transfer;
  guint8 *p;

  if (peer->is_gone)
    return;
  whole.n_parts = head != NULL ? n_parts + 1 : 0;
  transfer = transfer_new (sizeof whole + whole.n_parts * sizeof (guint64) + head_size);
  p = transfer->envelope;
  memcpy (p, &whole, sizeof whole);
  p += sizeof whole;
  for (guint i = 0; i < whole.n_parts; i++, p += sizeof (guint64))
    {
      guint64 size = i == 0 ? head_size : g_bytes_get_size (parts[i - 1]);

      memcpy (p, &size, sizeof size);
    }
  if (head_size > 0)
    memcpy (p, head, head_size);
  if (MPI_Isend (transfer->envelope, (int) transfer->envelope_size, MPI_BYTE, peer->rank, TAG_ENVELOPE, peer->comm,
                 &request) != MPI_SUCCESS)
    peer->is_gone = TRUE;
  g_array_append_val (transfer->requests, request);
  if (n_parts > 0)
    transfer->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  for (guint i = 0; i < n_parts; i++)
    {
      gsize size;
      guint8 *data = (guint8 *) g_bytes_get_data (parts[i], &size);

      g_ptr_array_add (transfer->parts, g_bytes_ref (parts[i]));
      move_part (self, peer, transfer, data, size, FALSE);
    }
  pool_mpi_bell_ring (&self->bell, peer->bell);
  /* a short one is gone by now */
  if (peer->out.length == 0 && test (peer, transfer))
    transfer_free (transfer);
  else
    {
      if (peer->out.length == 0)
        peer->moved_at = g_get_monotonic_time ();
      g_queue_push_tail (&peer->out, transfer);
    }
}

gboolean
pool_mpi_messages_progress (PoolMpiMessages *self)
{
  gboolean any = FALSE;

  for (guint i = 0; i < self->peers->len; i++)
    {
      PoolMpiPeer *peer = self->peers->pdata[i];

      while (!peer->is_gone && peer->out.length > 0 && test (peer, peer->out.head->data))
        {
          transfer_free (g_queue_pop_head (&peer->out));
          any = TRUE;
        }
    }
  return any;
}

gboolean
pool_mpi_messages_is_idle (PoolMpiMessages *self)
{
  for (guint i = 0; i < self->peers->len; i++)
    {
      PoolMpiPeer *peer = self->peers->pdata[i];

      if (!peer->is_gone && peer->out.length > 0)
        return FALSE;
    }
  return TRUE;
}

/* --- in --- */

static void
accept_envelope (PoolMpiPeer *peer, int size)
{
  Transfer *transfer = transfer_new (MAX ((gsize) size, sizeof (PoolMpiEnvelope)));
  MPI_Request request = MPI_REQUEST_NULL;

  transfer->envelope_size = size;
  if (MPI_Irecv (transfer->envelope, size, MPI_BYTE, peer->rank, TAG_ENVELOPE, peer->comm, &request) != MPI_SUCCESS)
    peer->is_gone = TRUE;
  g_array_append_val (transfer->requests, request);
  g_queue_push_tail (&peer->in, transfer);
  peer->moved_at = g_get_monotonic_time ();
}

/* All that has begun to come of one. */
static gboolean
probe (PoolMpiPeer *peer)
{
  gboolean any = FALSE;

  while (!peer->is_gone)
    {
      MPI_Status status;
      int found = 0, size = 0;

      if (MPI_Iprobe (peer->rank, TAG_ENVELOPE, peer->comm, &found, &status) != MPI_SUCCESS)
        peer->is_gone = TRUE;
      if (!found || peer->is_gone)
        break;
      MPI_Get_count (&status, MPI_BYTE, &size);
      accept_envelope (peer, size);
      any = TRUE;
    }
  return any;
}

static guint64
get_size (const Transfer *transfer, guint i)
{
  guint64 size;

  memcpy (&size, transfer->envelope + sizeof (PoolMpiEnvelope) + i * sizeof size, sizeof size);
  return size;
}

/* The envelope is there: asks for the parts. FALSE: it cannot be. */
static gboolean
ask_for_parts (PoolMpiMessages *self, PoolMpiPeer *peer, Transfer *transfer)
{
  PoolMpiEnvelope envelope;
  gsize head, table;

  memcpy (&envelope, transfer->envelope, sizeof envelope);
  table = sizeof envelope + (gsize) envelope.n_parts * sizeof (guint64);
  if (transfer->envelope_size < sizeof envelope || envelope.n_parts > POOL_WIRE_PARTS_MAX + 1 ||
      transfer->envelope_size < table)
    return FALSE;
  head = envelope.n_parts > 0 ? get_size (transfer, 0) : 0;
  if (transfer->envelope_size - table != head)
    return FALSE;
  transfer->has_parts = TRUE;
  if (envelope.n_parts == 0)
    return TRUE;
  transfer->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_ptr_array_add (transfer->parts, g_bytes_new (transfer->envelope + table, head));
  for (guint i = 1; i < envelope.n_parts; i++)
    {
      guint64 size = get_size (transfer, i);
      GBytes *bytes = size >= LARGE_MIN && self->heap != NULL ? pool_share_heap_alloc (self->heap, size) : NULL;
      gpointer data = bytes == NULL ? g_try_malloc (MAX (size, 1)) : NULL;

      if (bytes == NULL && data == NULL)
        return FALSE;
      if (bytes == NULL)
        bytes = g_bytes_new_take (data, size);
      g_ptr_array_add (transfer->parts, bytes);
      move_part (self, peer, transfer, (guint8 *) g_bytes_get_data (bytes, NULL), size, TRUE);
    }
  return TRUE;
}

/* In the order in which they were sent: that is how parts are told from those of others. */
static void
advance (PoolMpiMessages *self, PoolMpiPeer *peer)
{
  for (GList *link = peer->in.head; link != NULL && !peer->is_gone; link = link->next)
    {
      Transfer *transfer = link->data;

      if (transfer->has_parts)
        continue;
      if (!test (peer, transfer))
        return;
      if (!ask_for_parts (self, peer, transfer))
        peer->is_gone = TRUE;
    }
}

static gboolean
take_message (PoolMpiMessages *self, PoolMpiPeer *peer, PoolMpiEnvelope *envelope, GPtrArray *parts)
{
  Transfer *transfer;

  if (peer->is_gone)
    return FALSE;
  if (peer->in.length == 0 && !probe (peer))
    return FALSE;
  advance (self, peer);
  transfer = g_queue_peek_head (&peer->in);
  if (peer->is_gone || transfer == NULL || !transfer->has_parts || !test (peer, transfer))
    {
      probe (peer);
      return FALSE;
    }
  g_queue_pop_head (&peer->in);
  memcpy (envelope, transfer->envelope, sizeof *envelope);
  g_ptr_array_set_size (parts, 0);
  for (guint i = 0; transfer->parts != NULL && i < transfer->parts->len; i++)
    g_ptr_array_add (parts, g_bytes_ref (transfer->parts->pdata[i]));
  transfer_free (transfer);
  return TRUE;
}

PoolMpiPeer *
pool_mpi_messages_receive (PoolMpiMessages *self, PoolMpiEnvelope *envelope, GPtrArray *parts)
{
  for (guint i = 0; i < self->peers->len; i++)
    {
      PoolMpiPeer *peer = self->peers->pdata[(self->next + i) % self->peers->len];

      if (!take_message (self, peer, envelope, parts))
        continue;
      self->next = peer->id;
      return peer;
    }
  return NULL;
}

gboolean
pool_mpi_messages_has_message (PoolMpiMessages *self)
{
  gboolean any = FALSE;

  for (guint i = 0; i < self->peers->len; i++)
    {
      PoolMpiPeer *peer = self->peers->pdata[i];

      if (peer->is_gone)
        continue;
      any |= probe (peer);
      advance (self, peer);
      if (!peer->is_gone && peer->in.length > 0)
        any |= ((Transfer *) peer->in.head->data)->has_parts && test (peer, peer->in.head->data);
    }
  return any;
}

static gboolean
has_long (const GQueue *transfers)
{
  for (const GList *link = transfers->head; link != NULL; link = link->next)
    if (((const Transfer *) link->data)->parts != NULL)
      return TRUE;
  return FALSE;
}

gboolean
pool_mpi_messages_is_peer_moving (const PoolMpiPeer *peer, gint64 now)
{
  return !peer->is_gone && now - peer->moved_at < MOVING_US && (has_long (&peer->in) || has_long (&peer->out));
}

gboolean
pool_mpi_messages_is_moving (PoolMpiMessages *self)
{
  gint64 now = g_get_monotonic_time ();

  for (guint i = 0; i < self->peers->len; i++)
    {
      PoolMpiPeer *peer = self->peers->pdata[i];

      if (pool_mpi_messages_is_peer_moving (peer, now))
        return TRUE;
    }
  return FALSE;
}

gboolean
pool_mpi_messages_take_bells (PoolMpiMessages *self)
{
  gboolean any = FALSE;
  guint64 name;

  while ((name = pool_mpi_bell_take (&self->bell)) != 0)
    {
      any = TRUE;
      for (guint i = 0; i < self->peers->len; i++)
        {
          PoolMpiPeer *peer = self->peers->pdata[i];

          peer->has_rung |= peer->bell == name;
        }
    }
  return any;
}

gboolean
pool_mpi_messages_have_bells (PoolMpiMessages *self)
{
  for (guint i = 0; i < self->peers->len; i++)
    {
      const PoolMpiPeer *peer = self->peers->pdata[i];

      /* nobody rings when a message can be sent on */
      if (!peer->is_gone && (!peer->has_rung || peer->in.length > 0 || peer->out.length > 0))
        return FALSE;
    }
  return TRUE;
}

guint64
pool_mpi_get_machine (void)
{
  g_autofree char *boot = NULL;
  struct stat st = { 0 };

  if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL) ||
      stat ("/proc/self/ns/pid", &st) != 0)
    return 0;
  return (guint64) g_str_hash (boot) << 32 ^ (guint64) st.st_ino;
}
