/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-ranks-private.h"

#include "pool-backend.h"
#include "pool-copy-private.h"
#include "pool-error.h"
#include "pool-init.h"
#include "pool-module-private.h"

#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The backend for programs that are ranks. */
#define BACKEND "mpi"
#define VARIABLE "POOL_RANKS"

/* Who starts ranks, and by what it tells them which they are: Open MPI's mpirun, Slurm's and others' PMIx, MPICH's mpiexec. */
static const struct
{
  const char *rank, *size;
} starters[] = {
  { "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE" },
  { "PMIX_RANK", "SLURM_STEP_NUM_TASKS" },
  { "PMIX_RANK", "SLURM_NTASKS" },
  { "PMI_RANK", "PMI_SIZE" },
};

static gboolean
get_number (const char *variable, guint *number)
{
  const char *text = g_getenv (variable);
  guint64 value;

  if (text == NULL || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &value, NULL))
    return FALSE;
  *number = value;
  return TRUE;
}

gboolean
pool_ranks_get (PoolRanks *ranks)
{
  if (g_strcmp0 (g_getenv (VARIABLE), "ignore") == 0)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (starters); i++)
    if (get_number (starters[i].rank, &ranks->rank) && get_number (starters[i].size, &ranks->size))
      return ranks->size > 1 && ranks->rank < ranks->size;
  return FALSE;
}

/**
 * pool_count_ranks:
 *
 * Looks up how many ranks the job has that `mpirun`, or `srun` with a plugin for MPI, has started this program for. A pool
 * whose [property@Manager:backend] is `mpi` has one worker less, if nothing else is asked for.
 *
 * Returns: the number; 1 if the program runs alone
 *
 * Since: 1.0
 */
guint
pool_count_ranks (void)
{
  PoolRanks ranks;

  return pool_ranks_get (&ranks) ? ranks.size : 1;
}

void
pool_ranks_forget (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (starters); i++)
    g_unsetenv (starters[i].rank);
}

/* Another program takes the place of this one, of the same pid: it is still that rank. Returns if it cannot be run. */
static gboolean
become_agent (GError **error)
{
  g_autofree char *program = pool_copy_find_worker_program ();
  char *argv[] = { program, (char *) BACKEND, (char *) "agent", NULL };

  fflush (NULL);
  execv (program, argv);
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "This rank cannot run its agent %s: %s", program,
               g_strerror (errno));
  return FALSE;
}

/**
 * pool_join_ranks:
 * @error: return location for a #GError
 *
 * Makes a program that `mpirun`, or `srun` with a plugin for MPI, has started as several ranks take part in its job, as
 * [func@init] does, but keeps no copy of the program: the process of each rank but 0 is replaced by an agent. What tasks are
 * is then known by task modules, or by the pool's [property@Manager:worker-command]. For bindings, and for programs that
 * have threads already. Does nothing in a program that runs alone. Calling it again is harmless.
 *
 * Returns: %TRUE, in rank 0; %FALSE with %POOL_ERROR_BACKEND if there is no program for agents, or no process can be made
 *
 * Since: 1.0
 */
gboolean
pool_join_ranks (GError **error)
{
  PoolRanks ranks;

  if (!pool_ranks_get (&ranks) || ranks.rank == 0)
    return pool_ranks_join (error);
  return become_agent (error);
}

gboolean
pool_ranks_join (GError **error)
{
  g_autoptr (PoolBackend) backend = NULL;
  g_autoptr (GError) reason = NULL;
  PoolRanks ranks;

  if (!pool_ranks_get (&ranks))
    return TRUE;
  backend = pool_module_new_backend (BACKEND, &reason);
  if (backend == NULL)
    {
      /* it was built without: each rank is a program of its own then */
      g_debug ("rank %u of %u: %s", ranks.rank, ranks.size, reason->message);
      return TRUE;
    }
  return POOL_BACKEND_GET_CLASS (backend)->join (backend, ranks.rank, error);
}

/* --- the program's functions --- */

typedef struct
{
  gsize address, base;
  gboolean is_inside;
} Place;

/* Only the first object is looked at: the program itself. */
static int
look_at_program (struct dl_phdr_info *info, size_t size, void *data)
{
  Place *place = data;

  place->base = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; i++)
    {
      const ElfW (Phdr) *header = &info->dlpi_phdr[i];
      gsize start = info->dlpi_addr + header->p_vaddr;

      if (header->p_type == PT_LOAD && (header->p_flags & PF_X) && place->address >= start &&
          place->address < start + header->p_memsz)
        place->is_inside = TRUE;
    }
  return 1;
}

/* Of the file that runs, also when another one has taken its name since. */
static const char *
get_program_digest (void)
{
  static char *digest;

  if (g_once_init_enter (&digest))
    {
      g_autoptr (GMappedFile) file = g_mapped_file_new ("/proc/self/exe", FALSE, NULL);
      g_autoptr (GBytes) bytes = file != NULL ? g_mapped_file_get_bytes (file) : NULL;
      char *found = bytes != NULL ? g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, bytes) : g_strdup ("unreadable");

      g_once_init_leave (&digest, found);
    }
  return digest;
}

char *
pool_program_describe (gconstpointer address)
{
  Place place = { .address = GPOINTER_TO_SIZE (address) };

  dl_iterate_phdr (look_at_program, &place);
  if (!place.is_inside)
    return NULL;
  return g_strdup_printf ("%" G_GINT64_MODIFIER "x@%s", (guint64) (place.address - place.base), get_program_digest ());
}

gpointer
pool_program_find (const char *description, GError **error)
{
  char *end;
  guint64 offset = g_ascii_strtoull (description, &end, 16);
  Place place = { 0 };

  dl_iterate_phdr (look_at_program, &place);
  place.address = place.base + offset;
  dl_iterate_phdr (look_at_program, &place);
  if (*end == '@' && place.is_inside && g_str_equal (end + 1, get_program_digest ()))
    return GSIZE_TO_POINTER (place.address);
  g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK,
               "The program on %s is another one than that of the pool (its file has another checksum): run the same there",
               g_get_host_name ());
  return NULL;
}
