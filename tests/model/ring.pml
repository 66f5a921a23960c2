/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ring of tasks and results (libpool/pool-ring.c), step by step: one manager, W workers, each of which may be killed
 * between any two steps. Every load, store and read-modify-write of a shared word is a step of its own, in the order of
 * the source; what the source does between them is not shared, and is one step with its neighbour. Memory is
 * sequentially consistent here: the words by which two sides decide are accessed in that order in the source, too.
 *
 * Checked are:
 *  - no invalid end state: each task is delivered and all workers end. A task that is lost, a worker that sleeps for
 *    ever beside a task that it could run, and a manager that waits for ever, are each a state from which nothing goes
 *    on. Task 0 takes until all others are done (LONG): so the others must not wait for who runs it.
 *  - assertions: no result is delivered twice or is an answer to another hand-out; no worker writes over a result that
 *    has not been taken.
 *
 * Left out: spinning (it is a look that may be repeated), the event fd (it is rung as the futex is), n_active (how many
 * positions a worker sets aside is left open here: any number up to CLAIM).
 *
 * Constants, by -D: W workers, T tasks, S slots (a power of two), R results per worker, K kills, CLAIM; LONG: task 0
 * lasts; LATE: worker W-1 is not ready before all but LONG tasks are done; FREEZE: the manager learns that worker 0 was
 * stopped by a signal, and later that it goes on; RETIRE: worker W-1 is told to end, and replaced. BUG_…: one line of the
 * source less, each of which must be found.
 */

#ifndef W
#define W 2
#endif
#ifndef T
#define T 2
#endif
#ifndef S
#define S 2
#endif
#ifndef R
#define R 2
#endif
#ifndef K
#define K 0
#endif
#ifndef CLAIM
#define CLAIM 2
#endif

#define FREE 0
#define READY 1
#define RUNNING(i) (2 + (i))

#define AWAKE 0
#define SLEEPING 1
#define BLOCKED 2

#define NOBODY 255

/* --- shared words --- */

byte word[S];    /* of a slot */
byte content[S]; /* the handle in it */
byte head, cursor;
bool stop;
bool bell;
bool sleeper[W], sharing[W]; /* one bitmap each */
byte status[W], consumed[W], begin[W], end[W];
bool retired[W]; /* words->command */
byte seq[W];     /* results published */
byte result_handle[W * R], result_slot[W * R];

/* --- waiting in the kernel --- */

bool waits_status[W], waits_consumed[W];
bool manager_waits;

/* --- the world --- */

bool killed[W], dead[W], ended[W];
bool frozen[W];
byte kills;

/* --- the manager's own --- */

byte next;
byte n_outstanding, n_delivered;
bool busy[S];
byte position[S];
byte taken[W];
bool alive[W], up[W], stopped[W];
byte incarnations; /* that were given out */
byte incarnation[W];
byte handles;      /* that were given out */
byte handle_of[T]; /* of the last hand-out; 0: it waits in the queue */
bool delivered[T];
byte task_of[(T + K + 1) * 4]; /* by handle */
bool has_kicked;

#define others_done (n_delivered >= T - 1)

/* --- a worker --- */

/* ring_bell(): load, exchange, wake */
inline ring_the_bell ()
{
  if
  :: !bell -> skip
  :: else ->
     atomic { old_bell = bell; bell = false }
     if
     :: old_bell -> manager_waits = false
     :: else -> skip
     fi
  fi
}

proctype worker (byte me, my_incarnation) provided (!frozen[me] || killed[me])
{
  byte block, block_end, take, seen_cursor, seen_head, slot, other, place, its_begin, its_end;
  byte published, seen_consumed, n_sharing;
  bool shares, asleep, old_bell;
  bool bits[W];

  {
    published = consumed[me];
    seen_consumed = published;
#ifdef LATE
    if
    :: me == W - 1 -> others_done
    :: else -> skip
    fi;
#endif
    /* POOL_RING_STARTED; a message of its own there, and as good as taken here */
    up[me] = alive[me];

again:
    if
    :: retired[me] -> goto over
    :: else -> skip
    fi;

claim_next:
    slot = NOBODY;
    do
    :: block != block_end ->
       atomic
       {
         if
         :: word[block % S] == READY ->
            word[block % S] = RUNNING (my_incarnation);
            slot = block % S;
            block++;
            goto got
         :: else -> block++
         fi
       }
    :: else ->
       seen_cursor = cursor;
       seen_head = head;
       if
       :: seen_head == seen_cursor ->
          if
          :: shares -> sharing[me] = false; shares = false
          :: else -> skip
          fi;
          break
       :: else -> skip
       fi;
       if
       :: take = 1
       :: CLAIM > 1 && seen_head - seen_cursor > 1 -> take = 2
       fi;
#ifndef BUG_SHARE_LATE
       if
       :: take > 1 ->
          d_step { begin[me] = seen_cursor; end[me] = seen_cursor + take };
          if
          :: !shares -> sharing[me] = true; shares = true
          :: else -> skip
          fi
       :: else -> skip
       fi;
#endif
       atomic
       {
         if
         :: cursor == seen_cursor -> cursor = seen_cursor + take; block = seen_cursor; block_end = seen_cursor + take
         :: else -> skip
         fi
       };
#ifdef BUG_SHARE_LATE
       if
       :: take > 1 && block != block_end ->
          d_step { begin[me] = seen_cursor; end[me] = seen_cursor + take };
          sharing[me] = true;
          shares = true
       :: else -> skip
       fi;
#endif
       seen_cursor = 0;
       seen_head = 0;
       take = 0
    od;

steal:
    skip;
    d_step
    {
      seen_cursor = 0;
      seen_head = 0;
      take = 0;
      other = 0;
      do
      :: other < W -> bits[other] = sharing[other]; other++
      :: else -> break
      od;
      other = 0
    };
    do
    :: other < W ->
       if
       :: !bits[other] -> skip
       :: else ->
          d_step { bits[other] = false; its_begin = begin[other]; its_end = end[other] };
          do
          :: its_begin != its_end ->
             atomic
             {
               its_end--;
               if
               :: word[its_end % S] == READY ->
                  word[its_end % S] = RUNNING (my_incarnation);
                  slot = its_end % S;
                  goto got
               :: else -> skip
               fi
             }
          :: else -> break
          od
       fi;
       other++
    :: else -> break
    od;
    atomic { other = 0; its_begin = 0; its_end = 0 };

    if
    :: asleep -> goto sleep
    :: else -> skip
    fi;

    /* must_end() */
    if
    :: stop || retired[me] -> goto over
    :: else -> skip
    fi;

    /* sleep_for_task() */
    status[me] = SLEEPING;
    sleeper[me] = true;
    asleep = true;
#ifdef BUG_NO_SECOND_LOOK
    goto sleep;
#endif
    seen_head = head;
    if
    :: seen_head != cursor -> seen_head = 0; goto claim_next
    :: else -> seen_head = 0; goto steal
    fi;

sleep:
    if
    :: stop || retired[me] -> skip
    :: else ->
       do
       :: status[me] != SLEEPING -> break
       :: atomic { status[me] == SLEEPING -> waits_status[me] = true };
          !waits_status[me]
       od
    fi;
    sleeper[me] = false;
    status[me] = AWAKE;
    asleep = false;
    goto again;

got:
    skip;
    d_step
    {
      other = 0;
      its_begin = 0;
      its_end = 0;
      seen_cursor = 0;
      seen_head = 0;
      take = 0;
      do
      :: other < W -> bits[other] = false; other++
      :: else -> other = 0; break
      od
    };
    if
    :: asleep -> sleeper[me] = false; status[me] = AWAKE; asleep = false
    :: else -> skip
    fi;

#ifdef LONG
    if
    :: task_of[content[slot]] == 0 -> others_done
    :: else -> skip
    fi;
#endif

    /* pool_ring_result_reserve() */
    do
    :: published - seen_consumed < R -> break
    :: else ->
       seen_consumed = consumed[me];
       if
       :: published - seen_consumed < R -> break
       :: else -> skip
       fi;
       status[me] = BLOCKED;
       ring_the_bell ();
       if
       :: consumed[me] == seen_consumed ->
          if
          :: atomic { consumed[me] == seen_consumed -> waits_consumed[me] = true };
             !waits_consumed[me]
          :: consumed[me] != seen_consumed -> skip
          fi
       :: else -> skip
       fi;
       status[me] = AWAKE
    od;
    assert (published - taken[me] < R);
    d_step
    {
      place = me * R + published % R;
      result_handle[place] = content[slot];
      result_slot[place] = slot;
      place = 0;
      slot = 0
    };
    /* pool_ring_result_publish() */
    published++;
    seq[me] = published;
    ring_the_bell ();
    goto again
  }
  unless
  {
    killed[me]
  }

over:
  if
  :: killed[me] -> dead[me] = true
  :: else -> ended[me] = true
  fi
}

/* --- the manager --- */

#define has_result(w) (seq[w] != taken[w])

inline wake_sleeper (w)
{
#ifdef BUG_WAKE_ANY
  d_step { old_status = status[w]; status[w] = AWAKE };
#else
  d_step
  {
    old_status = status[w];
    if
    :: old_status == SLEEPING -> status[w] = AWAKE
    :: else -> skip
    fi
  };
#endif
  if
  :: old_status == SLEEPING -> waits_status[w] = false
  :: else -> skip
  fi;
  old_status = 0
}

/* wake_one_word(): up to `wanted` of those whose bits were set when they were read */
inline wake_some ()
{
  d_step
  {
    i = 0;
    do
    :: i < W -> bits[i] = sleeper[i]; i++
    :: else -> break
    od;
    i = 0
  };
  do
  :: i < W && wanted > 0 ->
     if
     :: bits[i] && !stopped[i] ->
        sleeper[i] = false;
        wake_sleeper (i);
        wanted--
     :: else -> skip
     fi;
     bits[i] = false;
     i++
  :: else -> break
  od;
  atomic
  {
    do
    :: i < W -> bits[i] = false; i++
    :: else -> i = 0; break
    od;
    wanted = 0
  }
}

inline wake_all ()
{
  wanted = W;
  wake_some ()
}

/* pool_ring_publish() */
inline publish ()
{
#ifndef BUG_PUBLISH_LATE
  head = next;
#endif
  d_step
  {
    absent = 0;
    sleeping = 0;
    awake = 0;
    i = 0;
    do
    :: i < W ->
       sleeping = sleeping + sleeper[i];
       absent = absent + sleeper[i] + stopped[i];
#ifdef BUG_COUNT_STARTING
       awake = awake + alive[i];
#else
       awake = awake + up[i];
#endif
       i++
    :: else -> break
    od;
    i = 0;
    awake = (awake > absent -> awake - absent : 0);
    wanted = (n_outstanding > awake -> n_outstanding - awake : 0);
    wanted = (wanted < sleeping -> wanted : sleeping);
    absent = 0;
    sleeping = 0;
    awake = 0
  };
#ifdef BUG_PUBLISH_LATE
  head = next;
#endif
  wake_some ()
}

/* pool_ring_reserve(), pool_ring_commit(): task t */
inline put (t)
{
  d_step
  {
    do
    :: busy[next % S] -> next++
    :: else -> break
    od;
    handles++;
    handle_of[t] = handles;
    task_of[handles] = t;
    content[next % S] = handles;
    busy[next % S] = true;
    position[next % S] = next;
    n_outstanding++
  };
  word[next % S] = READY;
  next++
}

inline release (s)
{
  word[s] = FREE;
  busy[s] = false;
  n_outstanding--
}

inline requeue (s)
{
  d_step
  {
    assert (!delivered[task_of[content[s]]]);
    handle_of[task_of[content[s]]] = 0;
    release (s)
  }
}

/* all results of a worker */
inline drain (w)
{
  if
  :: has_result (w) ->
     do
     :: has_result (w) ->
        d_step
        {
          place = w * R + taken[w] % R;
          assert (busy[result_slot[place]]);
          assert (content[result_slot[place]] == result_handle[place]);
          assert (handle_of[task_of[result_handle[place]]] == result_handle[place]);
          assert (!delivered[task_of[result_handle[place]]]);
          delivered[task_of[result_handle[place]]] = true;
          n_delivered++;
          release (result_slot[place]);
          place = 0;
          taken[w]++
        }
     :: else -> break
     od;
     consumed[w] = taken[w];
     if
     :: status[w] == BLOCKED -> waits_consumed[w] = false
     :: else -> skip
     fi
  :: else -> skip
  fi
}

/* pool_ring_worker_add(), and the process */
inline start (w)
{
  d_step
  {
    incarnations++;
    incarnation[w] = incarnations;
    status[w] = AWAKE;
    retired[w] = false;
    begin[w] = 0;
    end[w] = 0;
    consumed[w] = taken[w];
    waits_status[w] = false;
    waits_consumed[w] = false;
    killed[w] = false;
    dead[w] = false;
    ended[w] = false;
    frozen[w] = false;
    alive[w] = true
  };
  run worker (w, incarnation[w])
}

/* what the backend does when a worker is dead: drain, pool_ring_worker_reap(), pool_ring_next_orphan() */
inline bury (w)
{
#ifndef BUG_NO_DRAIN
  drain (w);
#endif
  d_step
  {
    alive[w] = false;
    up[w] = false;
    stopped[w] = false
  };
  sleeper[w] = false;
  sharing[w] = false;
  d_step
  {
    i = 0;
    do
    :: i < S ->
       if
       :: busy[i] && word[i] == RUNNING (incarnation[w]) -> requeue (i)
       :: else -> skip
       fi;
       i++
    :: else -> break
    od;
    i = 0
  };
#ifndef BUG_NO_WAKE_AFTER_DEATH
  wake_all ();
#endif
#ifndef BUG_NO_ORPHANS
  seen_cursor = cursor;
  i = 0;
  do
  :: i < S ->
     d_step
     {
       if
       :: busy[i] && position[i] < seen_cursor && word[i] == READY -> requeue (i)
       :: else -> skip
       fi;
       i++
     }
  :: else -> break
  od;
  atomic { i = 0; seen_cursor = 0 }
#endif
}

/* the first task that is not with a worker */
inline find_task ()
{
  d_step
  {
    task = 0;
    do
    :: task < T && (handle_of[task] != 0) -> task++
    :: else -> break
    od
  }
}

inline put_tasks ()
{
  do
  :: find_task ();
     if
     :: task < T && n_outstanding < S -> put (task)
     :: else -> break
     fi;
     /* one by one, or several at a time */
     if
     :: skip
     :: break
     fi
  od;
  task = 0;
  publish ()
}

#define gone(w) (dead[w] || ended[w])

proctype manager ()
{
  byte i, w, task, wanted, awake, sleeping, absent, old_status, place, seen_cursor;
  bool bits[W];
#ifdef RETIRE
  bool may_retire = true;
#endif
#ifdef FREEZE
  bool may_freeze = true, told;
#endif

  do
  :: n_delivered == T -> break
  :: else ->
     find_task ();
     if
     :: task < T && n_outstanding < S -> put_tasks ()
     :: d_step { task < T && n_outstanding == S -> task = 0 }
     :: d_step { task == T -> task = 0 }
        /* it may come later: then the others are under way */
     :: d_step { task < T && n_outstanding > 0 && n_outstanding < S -> task = 0 }
     fi;
#ifdef RETIRE
     if
     :: may_retire && alive[W - 1] ->
        may_retire = false;
        retired[W - 1] = true;
        wake_sleeper (W - 1)
     :: skip
     fi;
#endif
#ifdef FREEZE
     if
     :: may_freeze && alive[0] && frozen[0] ->
        may_freeze = false;
        told = true;
        stopped[0] = true;
        wake_all ()
     :: told && alive[0] && !frozen[0] ->
        told = false;
        stopped[0] = false;
#ifndef BUG_CONTINUED
        wake_all ()
#else
        skip
#endif
     :: skip
     fi;
#endif
     do
     :: w < W ->
        if
        :: gone (w) -> bury (w); start (w)
        :: else -> drain (w)
        fi;
        w++
     :: else -> w = 0; break
     od;

     /* pool_ring_wait(), with nothing else to do */
     find_task ();
     if
     :: n_delivered < T && n_outstanding > 0 && (task == T || n_outstanding == S) ->
        task = 0;
        bell = true;
        do
        :: w < W && !has_result (w) -> w++
        :: else -> break
        od;
        if
        :: w < W -> skip
        :: else ->
           w = 0;
           atomic
           {
             if
             :: bell -> manager_waits = true
             :: else -> skip
             fi
           };
           /* a death, and what a signal did to a worker, are heard of in another way, which kicks it */
           (!manager_waits || gone (0) || gone (W / 2) || gone (W - 1)
#ifdef FREEZE
            || (may_freeze && frozen[0]) || (told && !frozen[0])
#endif
            );
           manager_waits = false
        fi;
        w = 0
     :: else -> task = 0
     fi
  od;

  /* pool_ring_stop() */
  stop = true;
  wake_all ();
#ifdef FREEZE
  if
  :: told -> !frozen[0]; stopped[0] = false; wake_all ()
  :: else -> skip
  fi;
#endif
  do
  :: w < W -> gone (w); w++
  :: else -> break
  od
}

/* Kills whom it likes, K times. */
proctype killer ()
{
  byte victim;

end_killer:
  do
  :: kills < K ->
     select (victim : 0 .. W - 1);
     atomic
     {
       if
       :: alive[victim] && !dead[victim] && !ended[victim] && !killed[victim] -> killed[victim] = true; kills++
       :: else -> skip
       fi
     };
     victim = 0
  :: break
  od
}

#ifdef FREEZE
/* A signal stops worker 0, and it goes on later. */
proctype freezer ()
{
end_freezer:
  if
  :: atomic { alive[0] && !ended[0] -> frozen[0] = true };
     frozen[0] = false
  :: skip
  fi
}
#endif

init
{
  byte n;

  atomic
  {
    do
    :: n < W -> start (n); n++
    :: else -> break
    od;
    run manager ();
#if K > 0
    run killer ();
#endif
#ifdef FREEZE
    run freezer ();
#endif
  }
}
