/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-top-local.h"

#include "libpool/pool-monitor-private.h"
#include "libpool/pool-pass-fds-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* How long all of them together have for their answers. */
#define PATIENCE_MS 1000
/* More than what a pool with all the workers that it may have says. */
#define ANSWER_MAX (16 * 1024 * 1024)

typedef struct
{
  char *name;
  int fd;
  GVariant *answer;
} Question;

static void
free_question (gpointer data)
{
  Question *question = data;

  if (question->fd >= 0)
    close (question->fd);
  g_clear_pointer (&question->answer, g_variant_unref);
  g_free (question->name);
  g_free (question);
}

/* The program by its number in the name; 0: it is not the name of a pool. */
static pid_t
get_pid (const char *name)
{
  char *end;
  gint64 pid = g_ascii_strtoll (name, &end, 10);

  return pid > 0 && pid <= G_MAXINT && *end == '-' && g_ascii_isdigit (end[1]) ? (pid_t) pid : 0;
}

/* Only where nobody else can put anything. */
static int
open_folder (const char *path)
{
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;

  if (fd >= 0 && fstat (fd, &info) == 0 && (info.st_uid == geteuid () || geteuid () == 0) && (info.st_mode & 022) == 0)
    return fd;
  if (fd >= 0)
    close (fd);
  return -1;
}

static void
ask (GPtrArray *questions, int folder, const char *name)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  pid_t pid = get_pid (name);
  int fd = pid > 0 ? socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
  Question *question;

  if (fd < 0 || g_snprintf (address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name) >= (int) sizeof address.sun_path)
    {
      if (fd >= 0)
        close (fd);
      return;
    }
  if (connect (fd, (struct sockaddr *) &address, sizeof address) != 0 && errno != EAGAIN)
    {
      if (errno == ECONNREFUSED && kill (pid, 0) != 0 && errno == ESRCH)
        unlinkat (folder, name, 0);
      close (fd);
      return;
    }
  question = g_new0 (Question, 1);
  question->name = g_strdup (name);
  question->fd = fd;
  g_ptr_array_add (questions, question);
}

static GVariant *
read_value (int fd)
{
  struct stat info;
  g_autofree char *data = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;
  gsize size;

  if (fstat (fd, &info) != 0 || !S_ISREG (info.st_mode) || info.st_size > ANSWER_MAX)
    return NULL;
  size = (gsize) info.st_size;
  data = g_malloc (size + 1);
  if (pread (fd, data, size, 0) != (gssize) size)
    return NULL;
  bytes = g_bytes_new_take (g_steal_pointer (&data), size);
  value = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (POOL_MONITOR_TYPE), bytes, FALSE));
  return g_variant_is_normal_form (value) ? g_steal_pointer (&value) : NULL;
}

static void
take_answer (Question *question)
{
  char byte;
  struct iovec io = { &byte, 1 };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
  PoolPassedFds passed;
  int fd;

  if (pool_pass_fds_receive (question->fd, &message, &passed, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) >= 0 &&
      (fd = pool_passed_fds_take_first (&passed)) >= 0)
    {
      question->answer = read_value (fd);
      close (fd);
    }
  close (question->fd);
  question->fd = -1;
}

static void
wait_for_answers (GPtrArray *questions)
{
  g_autofree struct pollfd *fds = g_new0 (struct pollfd, questions->len);
  gint64 end = g_get_monotonic_time () + PATIENCE_MS * 1000, left;
  guint n_left = questions->len;

  while (n_left > 0 && (left = end - g_get_monotonic_time ()) > 0)
    {
      for (guint i = 0; i < questions->len; i++)
        fds[i] = (struct pollfd){ ((Question *) questions->pdata[i])->fd, POLLIN, 0 };
      if (poll (fds, questions->len, (int) (left + 999) / 1000) < 0 && errno != EINTR)
        return;
      for (guint i = 0; i < questions->len; i++)
        if (fds[i].fd >= 0 && fds[i].revents != 0)
          {
            take_answer (questions->pdata[i]);
            n_left--;
          }
    }
}

void
pool_top_local_look (void (*found) (const char *name, GVariant *answer, gpointer user_data), gpointer user_data)
{
  g_autofree char *path = pool_monitor_get_folder ();
  g_autoptr (GPtrArray) questions = g_ptr_array_new_with_free_func (free_question);
  g_autoptr (GDir) folder = NULL;
  int fd = open_folder (path);
  const char *name;

  if (fd < 0)
    return;
  folder = g_dir_open (path, 0, NULL);
  while (folder != NULL && (name = g_dir_read_name (folder)) != NULL)
    ask (questions, fd, name);
  wait_for_answers (questions);
  close (fd);
  for (guint i = 0; i < questions->len; i++)
    {
      const Question *question = questions->pdata[i];

      /* that it has just ended is no news */
      if (question->answer != NULL || question->fd >= 0)
        found (question->name, question->answer, user_data);
    }
}
