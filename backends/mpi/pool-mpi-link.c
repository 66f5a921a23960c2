/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-link.h"

#include "libpool/pool-pass-fds-private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)
#define BLOCKS_MAX 64
#define PARTS_MAX (POOL_WIRE_PARTS_MAX + 1)
/* What is worth a buffer of the system's own size. */
#define SOCKET_BUFFER (1024 * 1024)
/* Parts from this size on are received where they are to stay, in memory that was used before. */
#define LARGE_MIN (64 * 1024)

void
pool_mpi_link_init (PoolMpiLink *self, int fd)
{
  const int size = SOCKET_BUFFER;

  *self = (PoolMpiLink){ .fd = fd,
                         .buffer = g_malloc (BUFFER_SIZE),
                         .sizes = g_array_new (FALSE, FALSE, sizeof (guint64)),
                         .parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref) };
  g_queue_init (&self->out);
  g_queue_init (&self->fds);
  setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

void
pool_mpi_link_clear (PoolMpiLink *self)
{
  if (self->buffer == NULL)
    return;
  close (self->fd);
  g_queue_clear_full (&self->out, (GDestroyNotify) g_bytes_unref);
  while (self->fds.length > 0)
    close (pool_mpi_link_take_fd (self));
  g_clear_pointer (&self->buffer, g_free);
  g_clear_pointer (&self->sizes, g_array_unref);
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  g_clear_pointer (&self->heap, pool_share_heap_unref);
}

/* --- out --- */

static gssize
write_blocks (PoolMpiLink *self, struct iovec *blocks, guint n)
{
  struct msghdr message = { .msg_iov = blocks, .msg_iovlen = n };
  gssize sent;

  do
    sent = sendmsg (self->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0)
    return sent;
  if (errno != EAGAIN && errno != EWOULDBLOCK)
    self->is_broken = TRUE;
  return 0;
}

gboolean
pool_mpi_link_flush (PoolMpiLink *self)
{
  while (self->out.length > 0 && !self->is_broken)
    {
      struct iovec blocks[BLOCKS_MAX];
      gsize wanted = 0, sent;
      guint n = 0;

      for (GList *link = self->out.head; link != NULL && n < BLOCKS_MAX; link = link->next, n++)
        {
          gsize size, skip = n == 0 ? self->out_done : 0;
          const guint8 *data = g_bytes_get_data (link->data, &size);

          blocks[n] = (struct iovec){ (void *) (data + skip), size - skip };
          wanted += size - skip;
        }
      sent = write_blocks (self, blocks, n);
      self->out_done += sent;
      while (self->out.length > 0 && self->out_done >= g_bytes_get_size (self->out.head->data))
        {
          self->out_done -= g_bytes_get_size (self->out.head->data);
          g_bytes_unref (g_queue_pop_head (&self->out));
        }
      if (sent < wanted)
        break;
    }
  return !self->is_broken;
}

static void
keep (PoolMpiLink *self, GBytes *bytes, gconstpointer data, gsize size, gsize done)
{
  if (done >= size)
    return;
  g_queue_push_tail (&self->out, bytes != NULL ? g_bytes_new_from_bytes (bytes, done, size - done)
                                               : g_bytes_new ((const guint8 *) data + done, size - done));
}

/* A frame: its header and the sizes of its parts; the first part, which is @data if it is not among @parts; the others. */
static gboolean
send_frame (PoolMpiLink *self, PoolMpiFrame *frame, gconstpointer data, gsize size, GBytes *const *parts, guint n_parts)
{
  struct iovec blocks[BLOCKS_MAX];
  gsize head_size = sizeof *frame, done = 0;
  guint8 head[sizeof *frame + sizeof (guint64) * (PARTS_MAX)];
  guint n = 1;

  frame->n_parts = n_parts + (data != NULL);
  memcpy (head, frame, sizeof *frame);
  for (guint i = 0; i < frame->n_parts; i++, head_size += sizeof (guint64))
    {
      guint64 value = data != NULL && i == 0 ? size : g_bytes_get_size (parts[i - (data != NULL)]);

      memcpy (head + head_size, &value, sizeof value);
    }
  if (self->out.length == 0)
    {
      blocks[0] = (struct iovec){ head, head_size };
      if (data != NULL)
        blocks[n++] = (struct iovec){ (void *) data, size };
      for (guint i = 0; i < n_parts && n < BLOCKS_MAX; i++, n++)
        blocks[n].iov_base = (void *) g_bytes_get_data (parts[i], &blocks[n].iov_len);
      done = write_blocks (self, blocks, n);
    }
  keep (self, NULL, head, head_size, done);
  done -= MIN (done, head_size);
  if (data != NULL)
    {
      keep (self, NULL, data, size, done);
      done -= MIN (done, size);
    }
  for (guint i = 0; i < n_parts; i++)
    {
      gsize part = g_bytes_get_size (parts[i]);

      keep (self, parts[i], NULL, part, done);
      done -= MIN (done, part);
    }
  return !self->is_broken;
}

gboolean
pool_mpi_link_send (PoolMpiLink *self, PoolMpiFrameKind kind, guint peer, guint value, const char *text)
{
  PoolMpiFrame frame = { .kind = kind, .peer = peer, .value = value };

  return send_frame (self, &frame, text, text != NULL ? strlen (text) : 0, NULL, 0);
}

/* With its first byte; what cannot be sent at once is not sent. */
gboolean
pool_mpi_link_send_fd (PoolMpiLink *self, PoolMpiFrameKind kind, guint peer, int fd)
{
  PoolMpiFrame frame = { .kind = kind, .peer = peer };
  struct iovec io = { &frame, sizeof frame };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
  gssize sent;

  if (self->out.length > 0 || self->is_broken)
    return FALSE;
  sent = pool_pass_fds_send (self->fd, &message, &fd, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent <= 0)
    return FALSE;
  keep (self, NULL, &frame, sizeof frame, sent);
  return TRUE;
}

gboolean
pool_mpi_link_send_message (PoolMpiLink *self, guint peer, PoolWireWriter *message)
{
  PoolMpiFrame frame = { .kind = POOL_MPI_MESSAGE, .peer = peer };

  return send_frame (self, &frame, message->head.data, message->head.len, (GBytes *const *) message->parts->pdata,
                     message->parts->len);
}

gboolean
pool_mpi_link_send_parts (PoolMpiLink *self, guint peer, GBytes *const *parts, guint n_parts)
{
  PoolMpiFrame frame = { .kind = POOL_MPI_MESSAGE, .peer = peer };

  return send_frame (self, &frame, NULL, 0, parts, n_parts);
}

/* --- in --- */

int
pool_mpi_link_take_fd (PoolMpiLink *self)
{
  return self->fds.length > 0 ? GPOINTER_TO_INT (g_queue_pop_head (&self->fds)) - 1 : -1;
}

/* Reads into the buffer, or into a long part. FALSE: there is nothing to be read. */
static gboolean
read_into (PoolMpiLink *self, gpointer place, gsize size, gsize *n)
{
  struct iovec io = { place, size };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
  PoolPassedFds passed;
  gssize got = pool_pass_fds_receive (self->fd, &message, &passed, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  int fd = pool_passed_fds_take_first (&passed);

  *n = 0;
  if (fd >= 0)
    g_queue_push_tail (&self->fds, GINT_TO_POINTER (fd + 1));
  if (got > 0)
    {
      *n = got;
      return TRUE;
    }
  self->is_short = TRUE;
  if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
    self->is_broken = TRUE;
  return FALSE;
}

/* At least so much in the buffer. */
static gboolean
fill (PoolMpiLink *self, gsize wanted)
{
  while (self->end - self->start < wanted)
    {
      gsize n;

      if (self->start > 0 && self->start + wanted > BUFFER_SIZE)
        {
          memmove (self->buffer, self->buffer + self->start, self->end - self->start);
          self->end -= self->start;
          self->start = 0;
        }
      if (!read_into (self, self->buffer + self->end, BUFFER_SIZE - self->end, &n))
        return FALSE;
      self->end += n;
    }
  return TRUE;
}

static void
take (PoolMpiLink *self, gpointer place, gsize size)
{
  memcpy (place, self->buffer + self->start, size);
  self->start += size;
  if (self->start == self->end)
    self->start = self->end = 0;
}

static gboolean
receive_head (PoolMpiLink *self)
{
  PoolMpiFrame frame;

  if (!fill (self, sizeof frame))
    return FALSE;
  memcpy (&frame, self->buffer + self->start, sizeof frame);
  if (frame.kind == POOL_MPI_FRAME_NONE || frame.kind > POOL_MPI_MESSAGE || frame.n_parts > PARTS_MAX)
    {
      self->is_broken = TRUE;
      return FALSE;
    }
  if (!fill (self, sizeof frame + frame.n_parts * sizeof (guint64)))
    return FALSE;
  take (self, &self->frame, sizeof frame);
  g_array_set_size (self->sizes, frame.n_parts);
  if (frame.n_parts > 0)
    take (self, self->sizes->data, frame.n_parts * sizeof (guint64));
  return TRUE;
}

static gboolean
begin_part (PoolMpiLink *self, gsize size)
{
  GBytes *bytes = size >= LARGE_MIN && self->heap != NULL ? pool_share_heap_alloc (self->heap, size) : NULL;
  gpointer data = bytes == NULL ? g_try_malloc (MAX (size, 1)) : NULL;

  if (bytes == NULL && data == NULL)
    {
      self->is_broken = TRUE;
      return FALSE;
    }
  g_ptr_array_add (self->parts, bytes != NULL ? bytes : g_bytes_new_take (data, size));
  self->part_done = 0;
  return TRUE;
}

static gboolean
receive_part (PoolMpiLink *self, gsize size)
{
  guint8 *place = (guint8 *) g_bytes_get_data (self->parts->pdata[self->parts->len - 1], NULL);

  while (self->part_done < size)
    {
      gsize n = MIN (self->end - self->start, size - self->part_done);

      if (n > 0)
        take (self, place + self->part_done, n);
      else if (size - self->part_done >= BUFFER_SIZE)
        {
          if (!read_into (self, place + self->part_done, size - self->part_done, &n))
            return FALSE;
        }
      else if (!fill (self, 1))
        return FALSE;
      self->part_done += n;
    }
  return TRUE;
}

void
pool_mpi_link_watch (PoolMpiLink *self, int epoll_fd)
{
  struct epoll_event event = { .events = self->out.length > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = self };

  if (event.events == self->watched)
    return;
  epoll_ctl (epoll_fd, self->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, self->fd, &event);
  self->watched = event.events;
}

gboolean
pool_mpi_link_has_frame (PoolMpiLink *self)
{
  return self->end > self->start && !self->is_broken && !self->is_short;
}

gboolean
pool_mpi_link_receive (PoolMpiLink *self, PoolMpiFrame *frame, GPtrArray *parts)
{
  self->is_short = FALSE;
  if (self->is_broken || (self->frame.kind == POOL_MPI_FRAME_NONE && !receive_head (self)))
    return FALSE;
  for (;;)
    {
      guint n = self->parts->len;

      if (n > 0 && !receive_part (self, g_array_index (self->sizes, guint64, n - 1)))
        return FALSE;
      if (n == self->frame.n_parts)
        break;
      if (!begin_part (self, g_array_index (self->sizes, guint64, n)))
        return FALSE;
    }
  *frame = self->frame;
  self->frame.kind = POOL_MPI_FRAME_NONE;
  g_ptr_array_set_size (parts, 0);
  for (guint i = 0; i < self->parts->len; i++)
    g_ptr_array_add (parts, g_bytes_ref (self->parts->pdata[i]));
  g_ptr_array_set_size (self->parts, 0);
  return TRUE;
}
