/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ring of tasks and results (libpool/pool-ring.c): one manager, and workers each of which may be killed between any
 * two steps. Each d_step is one access to a shared word (load, store or read-modify-write), with what is private to its
 * side; they come in the order of the source. Memory is sequentially consistent here: in the source, too, the words by
 * which two sides decide are accessed in that order.
 *
 * Checked are:
 *  - no invalid end state: each task is delivered and all workers end. A task that is lost, a worker that sleeps for
 *    ever beside a task that it could run, and a manager that waits for ever are each a state from which nothing goes
 *    on. With LONG, task 0 takes until all others are done: then these must not wait for who runs it.
 *  - assertions: no result is delivered twice, or is an answer to another hand-out, or is written over one that has
 *    not been taken.
 *
 * Left out: spinning (a look that is repeated), the event fd (it is rung where the futex is), n_active (how many
 * positions a worker sets aside is left open: one or two).
 *
 * Constants, by -D: W workers, T tasks, S slots (a power of two), R results of a worker, K kills, CLAIM (1 or 2
 * positions at a time); LONG; LATE: a worker that takes the place of another is not ready before all tasks are done;
 * FREEZE: a signal stops worker 0 and it goes on later, and the manager hears of both; RETIRE: worker W - 1 is told to
 * end, and replaced; LEAVE: the first task of worker 0 is its last. It says so when it claims it, or with LEAVE_AFTER when
 * it has answered, and waits until it is retired: when worker W - 1, which is made then, is up.
 * BUG_…: a line of the source less, or two the other way round; each has to be found.
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

/* words of slots */
#define FREE 0
#define READY 1
#define RUNNING(i) (2 + (i))

/* words->status */
#define AWAKE 0
#define SLEEPING 1
#define BLOCKED 2

#define BIT(w) (1 << (w))

/* instead of a handle, in a result: no result, but what the worker says of itself */
#define LEAVING 0

/* --- shared words --- */

byte word[S], content[S]; /* content: the handle */
byte head, cursor;
bool stop, bell;
byte sleepers, blocks; /* bitmaps */
byte status[W], consumed[W], begin[W], end[W];
bool retired[W];
byte seq[W]; /* how many results were published */
byte result_handle[W * R], result_slot[W * R];

/* --- who waits in the kernel --- */

bool waits_status[W], waits_consumed[W], manager_waits;

/* --- the world --- */

bool killed[W], gone[W], frozen;

/* --- the manager's own, global for the assertions --- */

byte n_delivered, taken[W];
bool busy[S], delivered[T], up[W], alive[W];
byte incarnation[W];
byte handle_of[T]; /* of the last hand-out; 0: the task waits in the queue */
byte task_of[T + (K + 1) * S + 2];

/* what comes next, without a step of its own */
#define FOUND_NOTHING (asleep -> MAY_SLEEP : NOTHING)
#define HAS_ROOM (published - room < R -> PUBLISH : RESERVE)
#ifdef LONG
#define DO_TASK RUN
#else
#define DO_TASK HAS_ROOM
#endif
#ifdef LEAVE
#define HAS_QUOTA (me == 0 && incarnation[0] == 1)
#define FIRST_WORKERS (W - 1)
#else
#define HAS_QUOTA false
#define FIRST_WORKERS W
#endif
#ifdef LEAVE_AFTER
#define BEGIN_TASK DO_TASK
#else
#define BEGIN_TASK (HAS_QUOTA -> SAY : DO_TASK)
#endif
#define GOT_TASK (asleep -> WAKE_BIT : BEGIN_TASK)
#ifdef RETIRE
#define AGAIN LOOK_COMMAND
#else
#define AGAIN NEXT
#endif

#define others_done (n_delivered >= T - 1)

/* --- a worker --- */

mtype = { NEXT, AVAILABLE, SHARE, SHARE_BIT, MOVE, UNSHARE, STEAL, VICTIM, THEIRS, NOTHING, DOZE, DOZE_BIT, LOOK_HEAD,
          LOOK_CURSOR, MAY_SLEEP, SLEEP, IN_FUTEX, WAKE_BIT, WAKE_STATUS, RUN, RESERVE, BLOCK, NO_ROOM, NO_FUTEX,
          UNBLOCK, PUBLISH, BELL, RING, LOOK_COMMAND, SAY, STAY, STAY_LOOK, STAY_SLEEP, STAY_FUTEX, OVER };

#ifdef FREEZE
#define AT(x) pc == x && !(me == 0 && frozen)
#else
#define AT(x) pc == x
#endif

/* What it knew is lost with it. */
inline die ()
{
  gone[me] = true;
  pc = NEXT;
  then = NEXT;
  block = 0;
  block_end = 0;
  take = 0;
  seen = 0;
  bits = 0;
  slot = 0;
  other = 0;
  last = 0;
  first = 0;
  published = 0;
  room = 0;
  shares = false;
  asleep = false;
  has_task = false;
  told = false;
  telling = false
}

/* Each incarnation, one after the other. */
proctype worker (byte me)
{
  mtype pc = NEXT, then = NEXT;
  byte block, block_end, take, seen, bits, slot, other, last, first, published, room;
  bool shares, asleep, has_task, told, telling;

end_worker:
  atomic { alive[me] && !gone[me] -> published = consumed[me]; room = published };
  {
#ifdef LATE
  (incarnation[me] <= FIRST_WORKERS || n_delivered == T);
#endif
  /* POOL_RING_STARTED; as good as taken */
  up[me] = true;

  do
  /* claim_next(): what it has set aside */
  :: d_step { AT (NEXT) && block != block_end ->
       if
       :: word[block % S] == READY -> word[block % S] = RUNNING (incarnation[me]); slot = block % S; has_task = true; pc = GOT_TASK
       :: else -> skip
       fi;
       block++;
       if
       :: block == block_end -> block = 0; block_end = 0
       :: else -> skip
       fi }
  :: d_step { AT (NEXT) && block == block_end -> seen = cursor; pc = AVAILABLE }
  :: d_step { AT (AVAILABLE) && head == seen -> seen = 0; pc = (shares -> UNSHARE : STEAL) }
  :: d_step { AT (AVAILABLE) && head != seen -> take = 1; pc = MOVE }
  :: d_step { AT (AVAILABLE) && CLAIM > 1 && head - seen > 1 -> take = 2;
#ifdef BUG_SHARE_LATE
       pc = MOVE }
#else
       pc = SHARE }
#endif
  :: d_step { AT (SHARE) -> begin[me] = seen; end[me] = seen + take;
       if
       :: !shares -> pc = SHARE_BIT
#ifdef BUG_SHARE_LATE
       :: else -> seen = 0; take = 0; pc = NEXT
#else
       :: else -> pc = MOVE
#endif
       fi }
#ifdef BUG_SHARE_LATE
  :: d_step { AT (SHARE_BIT) -> blocks = blocks | BIT (me); shares = true; seen = 0; take = 0; pc = NEXT }
  :: d_step { AT (MOVE) ->
       if
       :: cursor == seen -> cursor = seen + take; block = seen; block_end = seen + take;
            if
            :: take > 1 -> pc = SHARE
            :: else -> pc = NEXT; seen = 0; take = 0
            fi
       :: else -> seen = 0; take = 0; pc = NEXT
       fi }
#else
  :: d_step { AT (SHARE_BIT) -> blocks = blocks | BIT (me); shares = true; pc = MOVE }
  :: d_step { AT (MOVE) ->
       if
       :: cursor == seen -> cursor = seen + take; block = seen; block_end = seen + take
       :: else -> skip
       fi;
       seen = 0; take = 0; pc = NEXT }
#endif
  :: d_step { AT (UNSHARE) -> blocks = blocks & ~BIT (me); shares = false; pc = STEAL }

  /* steal() */
  :: d_step { AT (STEAL) -> bits = blocks; other = 0; pc = (bits != 0 -> VICTIM : FOUND_NOTHING) }
  :: d_step { AT (VICTIM) ->
       do
       :: (bits & BIT (other)) == 0 -> other++
       :: else -> break
       od;
       first = begin[other]; last = end[other]; bits = bits & ~BIT (other); other = 0; pc = THEIRS }
  :: d_step { AT (THEIRS) && first != last ->
       last--;
       if
       :: word[last % S] == READY ->
          word[last % S] = RUNNING (incarnation[me]); slot = last % S; first = 0; last = 0; bits = 0;
          has_task = true; pc = GOT_TASK
       :: else -> skip
       fi }
  :: d_step { AT (THEIRS) && first == last -> first = 0; last = 0; pc = (bits != 0 -> VICTIM : FOUND_NOTHING) }

  /* must_end(), or sleep_for_task() */
  :: d_step { AT (NOTHING) -> pc = (stop || retired[me] -> OVER : DOZE) }
  :: d_step { AT (DOZE) -> status[me] = SLEEPING; asleep = true; pc = DOZE_BIT }
#ifdef BUG_NO_SECOND_LOOK
  :: d_step { AT (DOZE_BIT) -> sleepers = sleepers | BIT (me); pc = MAY_SLEEP }
#else
  :: d_step { AT (DOZE_BIT) -> sleepers = sleepers | BIT (me); pc = LOOK_HEAD }
#endif
  :: d_step { AT (LOOK_HEAD) -> seen = head; pc = LOOK_CURSOR }
  :: d_step { AT (LOOK_CURSOR) -> pc = (seen != cursor -> NEXT : STEAL); seen = 0 }
  :: d_step { AT (MAY_SLEEP) -> pc = (stop || retired[me] -> WAKE_BIT : SLEEP) }
  :: d_step { AT (SLEEP) ->
       if
       :: status[me] == SLEEPING -> waits_status[me] = true; pc = IN_FUTEX
       :: else -> pc = WAKE_BIT
       fi }
  :: d_step { AT (IN_FUTEX) && !waits_status[me] -> pc = SLEEP }
  :: d_step { AT (WAKE_BIT) -> sleepers = sleepers & ~BIT (me); pc = WAKE_STATUS }
  :: d_step { AT (WAKE_STATUS) -> status[me] = AWAKE; asleep = false; pc = (has_task -> BEGIN_TASK : AGAIN) }
  :: d_step { AT (LOOK_COMMAND) -> pc = (retired[me] -> OVER : NEXT) }

#ifdef LEAVE
  /* pool_ring_worker_tell() */
  :: d_step { AT (SAY) -> told = true; telling = true; pc = HAS_ROOM }

  /* wait_to_end() */
#ifdef BUG_STAY_LATE
  :: d_step { AT (STAY) -> pc = (stop || retired[me] -> OVER : STAY_LOOK) }
  :: d_step { AT (STAY_LOOK) -> status[me] = SLEEPING; pc = STAY_SLEEP }
#else
  :: d_step { AT (STAY) -> status[me] = SLEEPING;
#ifdef BUG_STAY_SLEEPER
       sleepers = sleepers | BIT (me);
#endif
       pc = STAY_LOOK }
  :: d_step { AT (STAY_LOOK) -> pc = (stop || retired[me] -> OVER : STAY_SLEEP) }
#endif
  :: d_step { AT (STAY_SLEEP) ->
       if
       :: status[me] == SLEEPING -> waits_status[me] = true; pc = STAY_FUTEX
       :: else -> pc = STAY
       fi }
  :: d_step { AT (STAY_FUTEX) && !waits_status[me] -> pc = STAY }
#endif

  /* the task */
#ifdef LONG
  :: d_step { AT (RUN) && (task_of[content[slot]] != 0 || others_done) -> pc = HAS_ROOM }
#endif

  /* pool_ring_result_reserve() */
  :: d_step { AT (RESERVE) -> room = consumed[me]; pc = (published - room < R -> PUBLISH : BLOCK) }
  :: d_step { AT (BLOCK) -> status[me] = BLOCKED; then = NO_ROOM; pc = BELL }
  :: d_step { AT (NO_ROOM) ->
       if
       :: consumed[me] == room -> waits_consumed[me] = true; pc = NO_FUTEX
       :: else -> pc = UNBLOCK
       fi }
  :: d_step { AT (NO_FUTEX) && !waits_consumed[me] -> pc = UNBLOCK }
  :: d_step { AT (UNBLOCK) -> status[me] = AWAKE; pc = RESERVE }

  /* pool_ring_result_publish(), ring_bell() */
  :: d_step { AT (PUBLISH) ->
       assert (published - taken[me] < R);
       if
       :: telling ->
          result_handle[me * R + published % R] = LEAVING;
          result_slot[me * R + published % R] = 0;
          published++; seq[me] = published; telling = false;
          then = (has_task -> DO_TASK : STAY); pc = BELL
       :: else ->
          result_handle[me * R + published % R] = content[slot];
          result_slot[me * R + published % R] = slot;
          slot = 0; published++; seq[me] = published; has_task = false;
          then = (HAS_QUOTA -> (told -> STAY : SAY) : AGAIN); pc = BELL
       fi }
  :: d_step { AT (BELL) -> pc = (bell -> RING : then); bell = false }
  :: d_step { AT (RING) -> manager_waits = false; pc = then }

  :: atomic { AT (OVER) -> die (); break }
  od
  }
  unless { d_step { killed[me] -> die () } };
  goto end_worker
}

/* --- the manager --- */

mtype = { TURN, HEAD, COUNT, BITS, WAKE, WAKE_IT, LOOK, TAKEN, TELL, DEAD, DEAD_BLOCKS, ORPHANS, ORPHAN, BIRTH, WAIT, WAIT_LOOK,
          WAIT_BELL, WAITING, RETIRED, ROUSE, JOIN };

/* the worker of a bit */
#define LOWEST(b) (((b) & 1) != 0 -> 0 : (((b) & 2) != 0 -> 1 : 2))
#define COUNT_BITS(b) (((b) & 1) + (((b) >> 1) & 1) + (((b) >> 2) & 1))

inline release (s)
{
  word[s] = FREE;
  busy[s] = false;
  n_outstanding--
}

inline requeue (s)
{
  assert (!delivered[task_of[content[s]]]);
  handle_of[task_of[content[s]]] = 0;
  release (s)
}

/* all that a worker has published */
inline take_results (w)
{
  do
  :: seq[w] != taken[w] && result_handle[w * R + taken[w] % R] == LEAVING -> left = true; taken[w]++
  :: seq[w] != taken[w] && result_handle[w * R + taken[w] % R] != LEAVING ->
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
  :: else -> break
  od;
  skip
}

inline start (w)
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
  gone[w] = false;
  alive[w] = true
}

/* the first task that waits in the queue, or T */
inline find_task ()
{
  task = 0;
  do
  :: task < T && handle_of[task] != 0 -> task++
  :: else -> break
  od;
  skip
}

#ifdef FREEZE
#define NEWS (frozen != told)
#else
#define NEWS false
#endif
#define DEAD_NOW(w) (gone[w] && alive[w])
#define ANY_DEAD (DEAD_NOW (0) || DEAD_NOW (W / 2) || DEAD_NOW (W - 1))
#define OVER_WITH(w) (gone[w] || !alive[w])
#ifdef LEAVE
#define RETIREE 0
#define MAY_RETIRE (replaced && up[W - 1] && alive[0] && !retired[0])
#else
#define RETIREE W - 1
#define MAY_RETIRE false
#endif
/* so that one that is not woken to end is not saved by the stop */
#define AWAITS_RETIREE (replaced && retired[0] && alive[0])

proctype manager ()
{
  mtype pc = TURN, then = TURN;
  byte i, w, task, wanted, bits, place, seen, next, n_outstanding, handles, stopped, absent;
  byte incarnations, position[S];
  bool unpublished, may_retire = true, told, news, left, replaced;

  d_step
  {
    do
    :: w < FIRST_WORKERS -> start (w); w++
    :: else -> w = 0; break
    od
  };
  do
  :: w < W -> run worker (w); w++
  :: else -> w = 0; break
  od;
  find_task ();

  do
  /* pool_ring_reserve(), pool_ring_commit(); several before they are published, or one by one, or later */
  :: d_step { pc == TURN && task < T && n_outstanding < S ->
       do
       :: busy[next % S] -> next++
       :: else -> break
       od;
       handles++;
       handle_of[task] = handles;
       task_of[handles] = task;
       content[next % S] = handles;
       busy[next % S] = true;
       position[next % S] = next;
       n_outstanding++;
       word[next % S] = READY;
       next++;
       unpublished = true;
       find_task () }
#ifdef BUG_PUBLISH_LATE
  :: d_step { pc == TURN && unpublished -> unpublished = false; pc = COUNT }
  :: d_step { pc == HEAD -> head = next; pc = (wanted > 0 && bits != 0 -> WAKE : TURN);
       if
       :: pc != WAKE -> bits = 0; wanted = 0
       :: else -> skip
       fi }
#else
  :: d_step { pc == TURN && unpublished -> unpublished = false; head = next; pc = COUNT }
#endif
  :: d_step { pc == TURN && !unpublished && (n_outstanding > 0 || AWAITS_RETIREE) -> w = 0; pc = LOOK }
  /* pool_ring_stop(): who sleeps, then who waits for something else than a task */
#ifdef BUG_STOP_SLEEPERS
  :: d_step { pc == TURN && n_delivered == T && !AWAITS_RETIREE -> stop = true; wanted = W; then = JOIN; pc = BITS }
#else
  :: d_step { pc == TURN && n_delivered == T && !AWAITS_RETIREE -> stop = true; wanted = W; then = ROUSE; pc = BITS }
#endif
  :: d_step { pc == ROUSE ->
       if
       :: alive[w] && status[w] == SLEEPING -> status[w] = AWAKE; waits_status[w] = false
       :: else -> skip
       fi;
       w++;
       if
       :: w == W -> w = 0; pc = JOIN
       :: else -> skip
       fi }

  /* pool_ring_publish() */
  :: d_step { pc == COUNT ->
       bits = sleepers;
       absent = COUNT_BITS (bits) + COUNT_BITS (stopped);
       i = 0;
       do
       :: i < W ->
#ifdef BUG_COUNT_STARTING
          place = place + alive[i];
#else
          place = place + up[i];
#endif
          i++
       :: else -> break
       od;
       i = 0;
       place = (place > absent -> place - absent : 0);
       wanted = (n_outstanding > place -> n_outstanding - place : 0);
       wanted = (wanted < COUNT_BITS (bits) -> wanted : COUNT_BITS (bits));
       bits = bits & ~stopped;
       absent = 0;
       place = 0;
       then = TURN;
#ifdef BUG_PUBLISH_LATE
       pc = HEAD }
#else
#ifdef BUG_TWO_LOOKS
       pc = (wanted > 0 -> BITS : TURN);
#else
       pc = (wanted > 0 && bits != 0 -> WAKE : TURN);
#endif
       if
       :: pc != WAKE -> bits = 0
       :: else -> skip
       fi;
       if
       :: pc == TURN -> wanted = 0
       :: else -> skip
       fi }
#endif

  /* pool_ring_wake_all() */
  :: d_step { pc == BITS -> bits = sleepers & ~stopped; pc = (bits != 0 && wanted > 0 -> WAKE : then);
       if
       :: pc != WAKE -> bits = 0; wanted = 0
       :: else -> skip
       fi }
  /* wake_one_word() */
  :: d_step { pc == WAKE -> i = LOWEST (bits); sleepers = sleepers & ~BIT (i); pc = WAKE_IT }
  :: d_step { pc == WAKE_IT ->
       if
       :: status[i] == SLEEPING -> status[i] = AWAKE; waits_status[i] = false
#ifdef BUG_WAKE_ANY
       :: else -> status[i] = AWAKE
#else
       :: else -> skip
#endif
       fi;
       bits = bits & ~BIT (i);
       wanted--;
       i = 0;
       pc = (bits != 0 && wanted > 0 -> WAKE : then);
       if
       :: pc != WAKE -> bits = 0; wanted = 0
       :: else -> skip
       fi }

  /* each worker in turn; as one look, because there is another before it waits */
  :: d_step { pc == LOOK ->
       do
       :: w < W && !DEAD_NOW (w) && seq[w] == taken[w] -> w++
       :: else -> break
       od;
       if
       :: w == W -> w = 0; pc = (task < T && n_outstanding < S -> TURN : WAIT)
       :: w < W && DEAD_NOW (w) -> pc = DEAD
       :: w < W && !DEAD_NOW (w) -> take_results (w); pc = TAKEN
       fi;
#ifdef LEAVE
       /* pool_ring_worker_leaves(); and another is made */
       if
       :: pc == TAKEN && left && !replaced ->
          replaced = true;
          start (W - 1);
#ifndef BUG_LEAVER_COUNTED
          up[0] = false;
#endif
#ifndef BUG_NO_WAKE_AFTER_LEAVING
          wanted = W; then = TAKEN; pc = BITS
#endif
       :: else -> skip
       fi
#endif
       }
#ifdef BUG_TELL_EARLY
  :: d_step { pc == TAKEN -> seen = status[w]; pc = TELL }
  :: d_step { pc == TELL -> consumed[w] = taken[w];
#else
  :: d_step { pc == TAKEN -> consumed[w] = taken[w]; pc = TELL }
  :: d_step { pc == TELL -> seen = status[w];
#endif
       if
       :: seen == BLOCKED -> waits_consumed[w] = false
       :: else -> skip
       fi;
       w = 0; seen = 0; find_task (); pc = TURN }

  /* first what it has delivered, then what it was in, then what it had set aside; then another takes its place */
  :: d_step { pc == DEAD ->
#ifndef BUG_NO_DRAIN
       take_results (w);
#endif
       alive[w] = false;
       up[w] = false;
       stopped = stopped & ~BIT (w);
       sleepers = sleepers & ~BIT (w);
       pc = DEAD_BLOCKS }
  :: d_step { pc == DEAD_BLOCKS ->
       blocks = blocks & ~BIT (w);
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
       i = 0;
#ifdef BUG_NO_WAKE_AFTER_DEATH
       pc = ORPHANS }
#else
       wanted = W; then = ORPHANS; pc = BITS }
#endif
#ifdef BUG_NO_ORPHANS
  :: d_step { pc == ORPHANS -> pc = BIRTH }
#else
  :: d_step { pc == ORPHANS -> seen = cursor; pc = ORPHAN }
#endif
  :: d_step { pc == ORPHAN && i < S ->
       if
       :: busy[i] && position[i] < seen && word[i] == READY -> requeue (i)
       :: else -> skip
       fi;
       i++ }
  :: d_step { pc == ORPHAN && i == S -> i = 0; seen = 0; pc = BIRTH }
  :: d_step { pc == BIRTH ->
       if
       :: w == 0 && replaced -> skip
       :: else -> start (w); left = false
       fi;
       w = 0; find_task (); pc = TURN }

  /* pool_ring_wait() */
#ifdef BUG_BELL_LATE
  :: d_step { pc == WAIT -> pc = WAIT_LOOK }
#else
  :: d_step { pc == WAIT -> bell = true; pc = WAIT_LOOK }
#endif
  :: d_step { pc == WAIT_LOOK && seq[w] != taken[w] -> w = 0; pc = TURN }
  :: d_step { pc == WAIT_LOOK && seq[w] == taken[w] ->
       w++;
       if
       :: w == W -> w = 0; pc = WAIT_BELL
       :: else -> skip
       fi }
  :: d_step { pc == WAIT_BELL ->
#ifdef BUG_BELL_LATE
       bell = true;
#endif
       if
       :: bell -> manager_waits = true; pc = WAITING
       :: else -> pc = TURN
       fi }
  /* of a death, or of what a signal did, it hears in another way, which kicks it */
  :: d_step { pc == WAITING && (!manager_waits || ANY_DEAD || NEWS || MAY_RETIRE) -> manager_waits = false; pc = TURN }

#ifdef LEAVE
  :: d_step { pc == TURN && MAY_RETIRE -> retired[0] = true; pc = RETIRED }
#endif
#ifdef RETIRE
  :: d_step { pc == TURN && may_retire && alive[W - 1] -> may_retire = false; retired[W - 1] = true; pc = RETIRED }
#endif
#if defined (RETIRE) || defined (LEAVE)
  :: d_step { pc == RETIRED ->
       if
#ifndef BUG_RETIRE_QUIETLY
       :: status[RETIREE] == SLEEPING -> status[RETIREE] = AWAKE; waits_status[RETIREE] = false
#endif
#ifdef BUG_WAKE_ANY
       :: else -> status[RETIREE] = AWAKE
#else
       :: else -> skip
#endif
       fi;
       pc = TURN }
#endif
#ifdef FREEZE
  /* pool_ring_worker_set_stopped() */
  :: d_step { (pc == TURN || pc == JOIN) && NEWS && !gone[0] ->
       told = frozen;
       stopped = (told -> BIT (0) : 0);
       then = pc;
#ifdef BUG_CONTINUED
       if
       :: told -> wanted = W; pc = BITS
       :: else -> skip
       fi }
#else
       wanted = W;
       pc = BITS }
#endif
#endif
  :: pc == JOIN && OVER_WITH (0) && OVER_WITH (W / 2) && OVER_WITH (W - 1) -> break
  od
}

#define MAY_KILL(w) kills < K && n_delivered < T && alive[w] && !gone[w] && !killed[w]

/* Kills whom it likes, K times. */
#if K > 0
active proctype killer ()
{
  byte kills;

end_killer:
  do
  :: d_step { MAY_KILL (0) -> killed[0] = true; kills++ }
#if W > 1
  :: d_step { MAY_KILL (1) -> killed[1] = true; kills++ }
#endif
#if W > 2
  :: d_step { MAY_KILL (2) -> killed[2] = true; kills++ }
#endif
  od
}
#endif

#ifdef FREEZE
active proctype freezer ()
{
  if
  :: d_step { alive[0] -> frozen = true }; frozen = false
  :: skip
  fi
}
#endif

init
{
  run manager ()
}
