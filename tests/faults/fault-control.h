/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Between fault-preload.c, in every process of a scenario, and who wants something to fail there. It lies in a file whose
 * path is in POOL_FAULT_CONTROL and which all of them map.
 */

typedef enum
{
  FAULT_FORK,
  FAULT_MMAP,
  FAULT_MEMFD,
  FAULT_EVENTFD,
  FAULT_SIGNALFD,
  FAULT_EPOLL_CREATE,
  FAULT_EPOLL_CTL,
  FAULT_TIMERFD,
  FAULT_SOCKETPAIR,
  FAULT_PIDFD,
  FAULT_SEND,
  FAULT_FTRUNCATE,
  FAULT_THREAD,
  FAULT_SPAWN,
  FAULT_OPEN,
  FAULT_ALLOC, /* of min_size and more */
  FAULT_N_CALLS
} FaultCall;

/* By the family tree: the manager has the pid in `manager`, a zygote is its child, a worker is neither. */
typedef enum
{
  FAULT_MANAGER,
  FAULT_ZYGOTE,
  FAULT_WORKER,
  FAULT_N_ROLES
} FaultRole;

typedef struct
{
  _Atomic pid_t manager; /* 0: there is none yet */
  _Atomic size_t min_size;
  _Atomic int armed; /* else nothing is counted and nothing fails */
  _Atomic int call;  /* FaultCall, or -1: none fails */
  _Atomic int role;  /* FaultRole */
  _Atomic int first; /* the call that fails, from 1 */
  _Atomic int times; /* and as many in a row */
  _Atomic int error; /* errno */
  _Atomic int n_fired;
  _Atomic int counts[FAULT_N_CALLS][FAULT_N_ROLES];
  _Atomic int n_maps; /* of the manager: mmap less munmap, from the start; those of libc itself do not count */
} FaultControl;
