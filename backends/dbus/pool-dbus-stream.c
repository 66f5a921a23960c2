/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-dbus-stream.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define FRAME_HEAD 8
#define CHUNK (64 * 1024)
#define VECTORS 64

gboolean
pool_dbus_stream_init (PoolDbusStream *self, int fd)
{
  struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };

  *self = (PoolDbusStream){ .fd = fd, .epoll_fd = epoll_create1 (EPOLL_CLOEXEC) };
  g_queue_init (&self->out);
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->sizes = g_array_new (FALSE, FALSE, sizeof (guint64));
  if (self->epoll_fd >= 0 && epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
    return TRUE;
  self->is_broken = TRUE;
  return FALSE;
}

void
pool_dbus_stream_clear (PoolDbusStream *self)
{
  if (self->parts == NULL)
    return;
  g_queue_clear_full (&self->out, (GDestroyNotify) g_bytes_unref);
  pool_buffer_clear (&self->in);
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  g_clear_pointer (&self->sizes, g_array_unref);
  g_clear_pointer (&self->part, g_free);
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  if (self->fd >= 0)
    close (self->fd);
  self->fd = self->epoll_fd = -1;
}

/* --- sending --- */

/* Only while there is something to be sent: else the socket always has room. */
static void
wait_for_room (PoolDbusStream *self, gboolean wait)
{
  struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | (wait ? EPOLLOUT : 0) };

  if (self->waits_for_room == wait)
    return;
  self->waits_for_room = wait;
  epoll_ctl (self->epoll_fd, EPOLL_CTL_MOD, self->fd, &event);
}

static void
drop_sent (PoolDbusStream *self, gsize n)
{
  while (n > 0)
    {
      gsize left = g_bytes_get_size (g_queue_peek_head (&self->out)) - self->out_offset;

      if (n < left)
        {
          self->out_offset += n;
          return;
        }
      n -= left;
      self->out_offset = 0;
      g_bytes_unref (g_queue_pop_head (&self->out));
    }
}

gboolean
pool_dbus_stream_flush (PoolDbusStream *self)
{
  while (!self->is_broken && !g_queue_is_empty (&self->out))
    {
      struct iovec vectors[VECTORS];
      struct msghdr message = { .msg_iov = vectors };
      gssize n;

      for (GList *l = self->out.head; l != NULL && message.msg_iovlen < VECTORS; l = l->next)
        {
          gsize size, skip = message.msg_iovlen == 0 ? self->out_offset : 0;
          const guint8 *data = g_bytes_get_data (l->data, &size);

          vectors[message.msg_iovlen++] = (struct iovec){ (void *) (data + skip), size - skip };
        }
      n = sendmsg (self->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0)
        drop_sent (self, (gsize) n);
      else if (errno == EAGAIN)
        break;
      else if (errno != EINTR)
        self->is_broken = TRUE;
    }
  if (!self->is_broken)
    wait_for_room (self, !g_queue_is_empty (&self->out));
  return !self->is_broken;
}

static void
push (PoolDbusStream *self, GBytes *bytes)
{
  /* nothing to be sent is nothing that would be taken out again */
  if (g_bytes_get_size (bytes) > 0)
    g_queue_push_tail (&self->out, g_bytes_ref (bytes));
}

gboolean
pool_dbus_stream_send (PoolDbusStream *self, PoolWireWriter *message)
{
  guint32 n = 1 + message->parts->len;
  PoolBuffer frame = { 0 };
  g_autoptr (GBytes) first = NULL;
  guint64 size = message->head.len;
  guint32 head[2] = { GUINT32_TO_LE (n), 0 };
  guint8 *data;
  gsize length;

  pool_buffer_append (&frame, head, sizeof head);
  size = GUINT64_TO_LE (size);
  pool_buffer_append (&frame, &size, sizeof size);
  for (guint i = 0; i < message->parts->len; i++)
    {
      size = GUINT64_TO_LE (g_bytes_get_size (message->parts->pdata[i]));
      pool_buffer_append (&frame, &size, sizeof size);
    }
  pool_buffer_append (&frame, message->head.data, message->head.len);
  data = pool_buffer_steal (&frame, &length);
  first = g_bytes_new_take (data, length);
  push (self, first);
  for (guint i = 0; i < message->parts->len; i++)
    push (self, message->parts->pdata[i]);
  return pool_dbus_stream_flush (self);
}

/* --- receiving --- */

/* Reads into @out. Returns: how many bytes; 0: none are there */
static gsize
read_some (PoolDbusStream *self, guint8 *out, gsize size)
{
  gssize n;

  do
    n = recv (self->fd, out, size, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n == 0 || (n < 0 && errno != EAGAIN))
    self->is_broken = TRUE;
  return (gsize) MAX (n, 0);
}

static gsize
get_buffered (const PoolDbusStream *self)
{
  return self->in.len - self->in_offset;
}

/* Until so many bytes are there. */
static gboolean
fill (PoolDbusStream *self, gsize wanted)
{
  if (self->in_offset > 0 && get_buffered (self) < wanted)
    {
      memmove (self->in.data, self->in.data + self->in_offset, get_buffered (self));
      self->in.len -= self->in_offset;
      self->in_offset = 0;
    }
  while (get_buffered (self) < wanted)
    {
      gsize before = self->in.len, n;
      guint8 *place = pool_buffer_reserve (&self->in, CHUNK);

      n = read_some (self, place, CHUNK);
      self->in.len = before + n;
      if (n == 0)
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_head (PoolDbusStream *self)
{
  guint32 n;

  if (!fill (self, FRAME_HEAD))
    return FALSE;
  memcpy (&n, self->in.data + self->in_offset, sizeof n);
  n = GUINT32_FROM_LE (n);
  if (n < 1 || n > POOL_WIRE_PARTS_MAX + 1)
    {
      self->is_broken = TRUE;
      return FALSE;
    }
  if (!fill (self, FRAME_HEAD + n * sizeof (guint64)))
    return FALSE;
  for (guint i = 0; i < n; i++)
    {
      guint64 size;

      memcpy (&size, self->in.data + self->in_offset + FRAME_HEAD + i * sizeof size, sizeof size);
      size = GUINT64_FROM_LE (size);
      g_array_append_val (self->sizes, size);
    }
  self->in_offset += FRAME_HEAD + n * sizeof (guint64);
  return TRUE;
}

static gboolean
read_part (PoolDbusStream *self)
{
  guint64 size = g_array_index (self->sizes, guint64, self->parts->len);

  if (self->part == NULL)
    {
      /* pages that nothing is written to cost nothing */
      self->part = size <= G_MAXSSIZE ? g_try_malloc (MAX (size, 1)) : NULL;
      self->part_len = 0;
      if (self->part == NULL)
        {
          self->is_broken = TRUE;
          return FALSE;
        }
    }
  while (self->part_len < size)
    {
      gsize wanted = size - self->part_len, n = MIN (wanted, get_buffered (self));

      if (n > 0)
        {
          memcpy (self->part + self->part_len, self->in.data + self->in_offset, n);
          self->in_offset += n;
        }
      else if (wanted >= CHUNK)
        n = read_some (self, self->part + self->part_len, wanted);
      else if (fill (self, 1))
        continue;
      self->part_len += n;
      if (n == 0)
        return FALSE;
    }
  g_ptr_array_add (self->parts, g_bytes_new_take (g_steal_pointer (&self->part), size));
  return TRUE;
}

gboolean
pool_dbus_stream_receive (PoolDbusStream *self, GPtrArray *parts)
{
  g_ptr_array_set_size (parts, 0);
  /* what was sent before it broke is taken, too */
  if (self->is_broken && get_buffered (self) == 0)
    return FALSE;
  if (self->sizes->len == 0 && !read_head (self))
    return FALSE;
  while (self->parts->len < self->sizes->len)
    if (!read_part (self))
      return FALSE;
  for (guint i = 0; i < self->parts->len; i++)
    g_ptr_array_add (parts, g_bytes_ref (self->parts->pdata[i]));
  g_ptr_array_set_size (self->parts, 0);
  g_array_set_size (self->sizes, 0);
  return TRUE;
}

gboolean
pool_dbus_stream_has_message (const PoolDbusStream *self)
{
  return get_buffered (self) > 0;
}
