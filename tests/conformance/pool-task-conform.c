/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <gmodule.h>
#include <libpool.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tasks that every backend can run, whatever its workers are. */

static GVariant *
echo (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_ref (args);
}

static GVariant *
square (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  if (!g_variant_is_of_type (args, G_VARIANT_TYPE ("(x)")))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "square of %s",
                   g_variant_get_type_string (args));
      return NULL;
    }
  g_variant_get (args, "(x)", &x);
  return g_variant_new_int64 (x * x);
}

static GVariant *
add (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 sum = 0;

  for (gsize i = 0; i < g_variant_n_children (args); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (args, i);

      sum += g_variant_get_int64 (child);
    }
  return g_variant_new_int64 (sum);
}

static GVariant *
fail (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_EMPTY, "Fehler: größer als %d", 7);
  return NULL;
}

/* fails for odd numbers */
static GVariant *
even (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x % 2 == 0)
    return g_variant_new_int64 (x);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "odd: %" G_GINT64_FORMAT, x);
  return NULL;
}

static GVariant *
null (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return NULL;
}

static GVariant *
nap (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  double seconds;

  g_variant_get (args, "(d)", &seconds);
  g_usleep (seconds * G_USEC_PER_SEC);
  return g_variant_new_double (seconds);
}

static GVariant *
describe (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new ("(tsuui)", pool_task_get_id (task), pool_task_get_name (task),
                        pool_task_get_attempt (task), pool_task_get_worker (task), (int) getpid ());
}

static GVariant *
crash (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int signum;

  g_variant_get (args, "(i)", &signum);
  signal (signum, SIG_DFL);
  raise (signum);
  return g_variant_new_boolean (FALSE);
}

static GVariant *
quit (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int status;

  g_variant_get (args, "(i)", &status);
  _exit (status);
}

/* takes its worker down the first time, by the attempt */
static GVariant *
once (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  if (pool_task_get_attempt (task) == 1)
    raise (SIGKILL);
  return g_variant_new_uint32 (pool_task_get_attempt (task));
}

/* takes its worker down for one number of a map */
static GVariant *
mine (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x == 13)
    raise (SIGKILL);
  return g_variant_new_int64 (-x);
}

/* every hundredth number takes its worker down, the first time */
static GVariant *
deadly (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x % 100 == 99 && pool_task_get_attempt (task) == 1)
    raise (SIGKILL);
  return g_variant_new_int64 (x * x);
}

/* 0 takes its worker down the first time, after a while */
static GVariant *
late (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x == 0 && pool_task_get_attempt (task) == 1)
    {
      g_usleep (300000);
      raise (SIGKILL);
    }
  return g_variant_new_int64 (x + 1);
}

static int n_initialized;

static GVariant *
initialize (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_variant_get (args, "(i)", &n_initialized);
  return g_variant_new_tuple (NULL, 0);
}

static GVariant *
initialized (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (n_initialized);
}

static gboolean
bytes_echo (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  pool_task_reply (task, data, size);
  return TRUE;
}

/* a copy that does not lie in the argument, in two parts */
static gboolean
bytes_copy (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  gsize parts[2] = { size / 2, size - size / 2 };

  for (guint i = 0; i < 2; i++)
    {
      guint8 *place = pool_task_reserve_reply (task, parts[i]);

      if (place == NULL)
        return FALSE;
      memcpy (place, data + (i == 0 ? 0 : parts[0]), parts[i]);
    }
  return TRUE;
}

/* y: the worker can map its argument, and finds it there; n: it cannot */
static gboolean
bytes_locate (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint64 offset, start;
  int fd;
  guint8 *mapped;
  gboolean same;

  if (!pool_task_locate_argument (task, &fd, &offset))
    {
      pool_task_reply (task, (const guint8 *) "n", 1);
      return TRUE;
    }
  start = offset / 4096 * 4096;
  mapped = mmap (NULL, offset - start + size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, start);
  if (mapped == MAP_FAILED)
    return FALSE;
  same = memcmp (mapped + (offset - start), data, size) == 0;
  mapped[offset - start]++;
  same = same && mapped[offset - start] != data[0];
  munmap (mapped, offset - start + size);
  pool_task_reply (task, (const guint8 *) (same ? "y" : "x"), 1);
  return TRUE;
}

static gboolean
bytes_twice (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  gint64 x;

  if (size != sizeof x)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%" G_GSIZE_FORMAT " bytes", size);
      return FALSE;
    }
  memcpy (&x, data, sizeof x);
  x *= 2;
  pool_task_reply (task, (const guint8 *) &x, sizeof x);
  return TRUE;
}

static GBytes *
batch_echo (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  return g_bytes_ref (batch);
}

static GBytes *
batch_wrong (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  return pool_packed_new (NULL, 0);
}

/* a pool in a task */
static GVariant *
nested (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *backend;
  gint64 x;
  g_autoptr (PoolManager) pool = NULL;
  GVariant *value;

  g_variant_get (args, "(&sx)", &backend, &x);
  pool = g_object_new (POOL_TYPE_MANAGER, "backend", backend, "processes", 2, NULL);
  if (!pool_manager_start (pool, error))
    return NULL;
  value = pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", x), NULL, NULL, error);
  pool_manager_close (pool, NULL);
  pool_manager_join (pool, -1, NULL);
  return value;
}

/* waits for so long, or until it is told to stop */
static GVariant *
patient (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  GCancellable *cancellable = pool_task_get_cancellable (task);
  GPollFD fd;
  double seconds;

  g_variant_get (args, "(d)", &seconds);
  if (!g_cancellable_make_pollfd (cancellable, &fd))
    return NULL;
  /* a signal that comes with the notice may end the wait before the descriptor does */
  while (!g_cancellable_is_cancelled (cancellable) && g_poll (&fd, 1, seconds * 1000) < 0)
    ;
  g_cancellable_release_fd (cancellable);
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  return g_variant_new_double (seconds);
}

/* the same, and cleans up and has a result all the same: whether it was told */
static GVariant *
polite (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) value = patient (task, args, user_data, NULL);

  return g_variant_new_boolean (value == NULL && pool_task_is_soft_timed_out (task));
}

/* is in a system call when it is told */
static GVariant *
interrupted (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  double seconds;

  g_variant_get (args, "(d)", &seconds);
  return g_variant_new_boolean (poll (NULL, 0, seconds * 1000) < 0 && pool_task_is_soft_timed_out (task));
}

/* ignores what can be ignored, and leaves a process behind in a session of its own; its pid goes to a file */
static GVariant *
deaf (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *path;
  pid_t pid;

  g_variant_get (args, "(&s)", &path);
  signal (SIGTERM, SIG_IGN);
  signal (SIGINT, SIG_IGN);
  pid = fork ();
  if (pid == 0)
    {
      setsid ();
      if (fork () == 0)
        {
          g_autofree char *text = g_strdup_printf ("%d", (int) getpid ());

          signal (SIGTERM, SIG_IGN);
          g_file_set_contents (path, text, -1, NULL);
          for (;;)
            pause ();
        }
      _exit (0);
    }
  waitpid (pid, NULL, 0);
  for (;;)
    pause ();
  return NULL;
}

static GVariant *
progress (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int n;

  g_variant_get (args, "(i)", &n);
  for (int i = 1; i <= n; i++)
    {
      pool_task_set_progress (task, (double) i / n);
      g_usleep (1000);
    }
  return g_variant_new_int32 (n);
}

/* has so many MiB for good */
static GVariant *
hoard (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  guint mib;
  char *memory;

  g_variant_get (args, "(u)", &mib);
  memory = g_malloc ((gsize) mib << 20);
  memset (memory, 1, (gsize) mib << 20);
  g_object_set_data (G_OBJECT (task), "hoard", memory);
  return g_variant_new_int32 (getpid ());
}

/* all that there is, in small pieces */
static void
use_up (void)
{
  for (;;)
    {
      char *volatile memory = malloc (1024);

      if (memory == NULL)
        return;
    }
}

/* with an even number it never ends */
static int
recurse (int n)
{
  volatile char frame[1024];

  frame[0] = (char) n;
  return n % 2 != 0 ? 0 : recurse (n + 2) + frame[0];
}

/* so much, all of it used; what happens if there is not so much is up to @how */
static char *
get_memory (const char *how, gsize size)
{
  char *memory = NULL;

  if (g_str_equal (how, "g-malloc"))
    memory = g_malloc (size);
  else if (g_str_equal (how, "g-malloc-small"))
    for (gsize i = 0; i < size / 64; i++)
      ((char **) g_malloc (64))[0] = memory;
  else if (g_str_equal (how, "malloc-small"))
    for (gsize i = 0; i < size / 1024; i++)
      memset (malloc (1024), 1, 1024);
  else if (g_str_equal (how, "calloc"))
    memory = calloc (size, 1);
  else if (g_str_equal (how, "mmap"))
    memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  else if (g_str_equal (how, "shared"))
    memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  else
    memory = malloc (size);

  if (memory == NULL && g_str_equal (how, "give-up"))
    exit (3);
  return memory;
}

static void
misbehave (const char *how, int mib)
{
  if (g_str_equal (how, "wild"))
    *(volatile char *) GSIZE_TO_POINTER (g_random_int_range (8, 64)) = 1;
  if (g_str_equal (how, "abort"))
    abort ();
  if (g_str_equal (how, "exit"))
    exit (3);
  if (g_str_equal (how, "forget-errno"))
    {
      use_up ();
      errno = 0;
      abort ();
    }
  if (g_str_equal (how, "recurse"))
    {
      use_up ();
      recurse (mib & ~1);
    }
}

static void
use_memory (const char *how, gsize size)
{
  char *memory = get_memory (how, size);

  memset (memory, 1, size);
  if (g_str_equal (how, "shared"))
    {
      /* nothing refuses this: it is found out */
      g_usleep (300000);
      munmap (memory, size);
    }
  else
    free (memory);
}

static GVariant *
allocate (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *how;
  guint mib;

  g_variant_get (args, "(&su)", &how, &mib);
  misbehave (how, mib);
  if (g_str_equal (how, "handle"))
    {
      /* the compiler must not do without it */
      char *volatile memory = malloc ((gsize) mib << 20);

      if (memory == NULL)
        g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "there is not so much");
      free (memory);
      return memory != NULL ? g_variant_new_boolean (FALSE) : NULL;
    }
  use_memory (how, (gsize) mib << 20);
  return g_variant_new_boolean (TRUE);
}

static GVariant *
greedy_for_13 (const char *how, GVariant *args)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x == 13)
    use_memory (how, (gsize) 640 << 20);
  return g_variant_new_int64 (-x);
}

/* takes far too much memory for one number of a map */
static GVariant *
greedy (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return greedy_for_13 ("g-malloc", args);
}

static GVariant *
greedy_shared (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return greedy_for_13 ("shared", args);
}

/* looks at all of its argument */
static gboolean
bytes_touch (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint8 sum = 0;

  for (gsize i = 0; i < size; i++)
    sum ^= data[i];
  g_usleep (2000);
  pool_task_reply (task, &sum, 1);
  return TRUE;
}

static GVariant *
deadline (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 time = pool_task_get_deadline (task);

  return g_variant_new_double (time == 0 ? 0 : (time - g_get_monotonic_time ()) / 1e6);
}

static gboolean
bytes_late (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  g_usleep (5000);
  memset (pool_task_reserve_reply (task, 100000), 1, 100000);
  return TRUE;
}

static const GLogLevelFlags log_levels[] = { G_LOG_LEVEL_MESSAGE, G_LOG_LEVEL_INFO, G_LOG_LEVEL_DEBUG };

static void
log_fields (const char *domain, int i, GLogLevelFlags level)
{
  g_autofree char *message = g_strdup_printf ("record %d: größer", i);
  g_autofree char *index = g_strdup_printf ("%d", i);
  const GLogField fields[] = { { "MESSAGE", message, -1 },
                               { "CONFORM_BYTES", "a\0b\xff", 5 },
                               { "GLIB_DOMAIN", domain, -1 },
                               { "CONFORM_NONE", domain, 0 },
                               { "CONFORM_INDEX", index, -1 } };

  g_log_structured_array (level, fields, G_N_ELEMENTS (fields));
}

static void
log_long (const char *domain, int n)
{
  g_autofree char *message = g_strnfill (n, 'x');
  const GLogField fields[] = { { "MESSAGE", message, -1 },
                               { "GLIB_DOMAIN", domain, -1 },
                               { "CONFORM_END", "end", -1 } };

  g_log_structured_array (G_LOG_LEVEL_DEBUG, fields, G_N_ELEMENTS (fields));
}

/* n records of a kind; a kind with a '/' is a file to be made afterwards */
static GVariant *
log_records (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *domain, *kind;
  int first, n;

  g_variant_get (args, "(&s&sii)", &domain, &kind, &first, &n);
  if (g_str_equal (kind, "long"))
    log_long (domain, first);
  else
    for (int i = 0; i < n; i++)
      if (g_str_equal (kind, "g-log"))
        g_log (domain, G_LOG_LEVEL_MESSAGE, "old %d", first + i);
      else if (g_str_equal (kind, "error"))
        g_log (domain, G_LOG_LEVEL_ERROR, "fatal %d", first + i);
      else if (g_str_equal (kind, "warning"))
        g_log (domain, G_LOG_LEVEL_WARNING, "warning %d", first + i);
      else if (g_str_equal (kind, "other"))
        g_log ("conform-other", G_LOG_LEVEL_DEBUG, "not for the manager");
      else if (g_str_equal (kind, "fields"))
        log_fields (domain, first + i, log_levels[i % 3]);
      else
        log_fields (domain, first + i, G_LOG_LEVEL_DEBUG);
  if (g_str_equal (kind, "kill"))
    raise (SIGKILL);
  if (*kind == '/')
    g_file_set_contents (kind, "", 0, NULL);
  return g_variant_new_int32 (n);
}

static void
write_much (guint n)
{
  char block[4096];

  for (guint i = 0; i < n * 256; i++)
    {
      memset (block, 'a' + i / 256 % 26, sizeof block);
      fwrite (block, sizeof block, 1, stdout);
    }
}

static void
write_all (int fd, const char *text, gsize len)
{
  while (len > 0)
    {
      gssize n = write (fd, text, len);

      if (n < 0)
        continue;
      text += n;
      len -= n;
    }
}

/* 1 MiB to each stream, in pieces of many lengths, by stdio and by write() */
static void
write_pattern (guint n)
{
  const gsize size = 1024 * 1024;
  g_autofree char *texts[2] = { g_malloc (size), g_malloc (size) };
  gsize at = 0;

  for (guint stream = 0; stream < 2; stream++)
    for (gsize i = 0; i < size; i++)
      texts[stream][i] = 'a' + (i + i / 1000 * 7 + n * 13 + stream * 5) % 26;
  for (guint piece = 1; at < size; piece++)
    {
      gsize len = MIN (size - at, piece * 37 % 5000 + 1);

      for (guint stream = 0; stream < 2; stream++)
        if (piece % 3 != 0)
          fwrite (texts[stream] + at, len, 1, stream == 0 ? stdout : stderr);
        else
          write_all (stream + 1, texts[stream] + at, len);
      at += len;
    }
}

static GVariant *
end_in_a_way (PoolTask *task, const char *end, GError **error)
{
  /* nothing else may write: neither a sanitizer's handler nor what it does at the exit */
  signal (SIGSEGV, SIG_DFL);
  if (g_str_equal (end, "exit"))
    _exit (3);
  if (g_str_equal (end, "segv"))
    raise (SIGSEGV);
  if (g_str_equal (end, "kill") || (g_str_equal (end, "once") && pool_task_get_attempt (task) == 1))
    raise (SIGKILL);
  while (g_str_equal (end, "hang"))
    pause ();
  if (!g_str_equal (end, "fail"))
    return g_variant_new_boolean (TRUE);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "after it has written");
  return NULL;
}

/* to standard output and error, in some way; then returns, or not */
static GVariant *
write_out (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree char *command = NULL;
  const char *how, *end;
  guint n;

  g_variant_get (args, "(&s&su)", &how, &end, &n);
  if (g_str_equal (how, "print"))
    {
      printf ("out %u", n);
      fprintf (stderr, "err %u", n);
    }
  else if (g_str_equal (how, "line"))
    printf ("line %u\n", n);
  else if (g_str_equal (how, "attempt"))
    printf ("attempt %u", pool_task_get_attempt (task));
  else if (g_str_equal (how, "much"))
    write_much (n);
  else if (g_str_equal (how, "pattern"))
    write_pattern (n);
  else if (g_str_equal (how, "child"))
    command = g_strdup_printf ("echo out %u; echo err %u >&2; echo file %u > /dev/stdout", n, n, n);
  else if (g_str_equal (how, "daemon"))
    command = g_strdup ("(while sleep 0.01; do echo left behind; done) &");
  if (command != NULL && system (command) != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "no shell");
      return NULL;
    }
  return end_in_a_way (task, end, error);
}

/* What a worker gone wild could do to the socket that its reports go through. */
static void
send_junk (int socket_fd, GRand *rand)
{
  guint32 words[64];
  struct iovec io = { words, g_rand_int_range (rand, 0, sizeof words) };
  union
  {
    struct cmsghdr header;
    guint8 bytes[CMSG_SPACE (sizeof (int) * 8)];
  } ancillary = { 0 };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
  int fds[8];

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    words[i] = g_rand_boolean (rand) ? (guint32) g_rand_int_range (rand, 0, 4) : g_rand_int (rand);
  words[6] = 0x31524c50; /* begins like a record */
  if (g_rand_boolean (rand))
    {
      guint n = g_rand_int_range (rand, 1, G_N_ELEMENTS (fds) + 1);

      for (guint i = 0; i < n; i++)
        fds[i] = i % 2 == 0 ? socket_fd : STDERR_FILENO;
      message.msg_control = &ancillary;
      message.msg_controllen = CMSG_SPACE (n * sizeof (int));
      ancillary.header.cmsg_level = SOL_SOCKET;
      ancillary.header.cmsg_type = SCM_RIGHTS;
      ancillary.header.cmsg_len = CMSG_LEN (n * sizeof (int));
      memcpy (CMSG_DATA (&ancillary.header), fds, n * sizeof (int));
    }
  sendmsg (socket_fd, &message, MSG_NOSIGNAL);
}

static GVariant *
junk (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  GRand *rand = g_rand_new_with_seed (4711);
  guint n = 0;

  for (int fd = 3; fd < 100; fd++)
    {
      int type = 0;
      socklen_t len = sizeof type;

      if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
        continue;
      n++;
      for (guint i = 0; i < 20000; i++)
        send_junk (fd, rand);
    }
  g_rand_free (rand);
  return g_variant_new_uint32 (n);
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "patient", "waits, and stops when it is told", patient);
  pool_task_module_add (module, "polite", "waits, and says whether it was told", polite);
  pool_task_module_add (module, "interrupted", "is interrupted when it is told", interrupted);
  pool_task_module_add (module, "deaf", "never ends, nor does what it starts", deaf);
  pool_task_module_add (module, "progress", "tells it", progress);
  pool_task_module_add (module, "hoard", "keeps memory", hoard);
  pool_task_module_add (module, "allocate", "uses memory", allocate);
  pool_task_module_add (module, "greedy", "takes too much for 13", greedy);
  pool_task_module_add (module, "greedy-shared", "takes too much that is shared for 13", greedy_shared);
  pool_task_module_add_bytes (module, "bytes-touch", "looks at its argument", bytes_touch);
  pool_task_module_add (module, "deadline", "seconds until its limit", deadline);
  pool_task_module_add (module, "echo", "its arguments", echo);
  pool_task_module_add (module, "square", "of a number", square);
  pool_task_module_add (module, "add", "all arguments", add);
  pool_task_module_add (module, "fail", "an error", fail);
  pool_task_module_add (module, "even", "fails for odd numbers", even);
  pool_task_module_add (module, "null", "nothing", null);
  pool_task_module_add (module, "nap", "sleeps", nap);
  pool_task_module_add (module, "describe", "the running call", describe);
  pool_task_module_add (module, "crash", "by a signal", crash);
  pool_task_module_add (module, "quit", "ends the process", quit);
  pool_task_module_add (module, "once", "kills its first worker", once);
  pool_task_module_add (module, "mine", "kills its worker for 13", mine);
  pool_task_module_add (module, "deadly", "kills its worker now and then", deadly);
  pool_task_module_add (module, "late", "kills its first worker for 0, late", late);
  pool_task_module_add (module, "initialize", "remembers a number", initialize);
  pool_task_module_add (module, "initialized", "that number", initialized);
  pool_task_module_add (module, "log", "logs", log_records);
  pool_task_module_add (module, "junk", "is a bad worker", junk);
  pool_task_module_add (module, "write", "writes", write_out);
  pool_task_module_add (module, "nested", "a pool in a task", nested);
  pool_task_module_add_bytes (module, "bytes-echo", "its argument", bytes_echo);
  pool_task_module_add_bytes (module, "bytes-copy", "a copy of its argument", bytes_copy);
  pool_task_module_add_bytes (module, "bytes-locate", "maps its argument", bytes_locate);
  pool_task_module_add_bytes (module, "bytes-late", "100,000 bytes after 5 ms", bytes_late);
  pool_task_module_add_bytes (module, "bytes-twice", "of a number", bytes_twice);
  pool_task_module_add_batch (module, "batch-echo", "its items", batch_echo);
  pool_task_module_add_batch (module, "batch-wrong", "too few results", batch_wrong);
}
