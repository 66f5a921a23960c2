/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The progress word (libpool/pool-progress-private.h): one worker that runs batches, one after the other, and a manager
 * that takes items back, looks for how long an item has run, dooms a batch, and then kills the worker. Each d_step is one
 * access to a shared word, as in ring.pml. The slots are there because the manager believes the word only of a task that
 * this worker has claimed.
 *
 * Checked are:
 *  - no invalid end state: each batch is answered for, or the worker is killed for it. A worker that takes itself for
 *    doomed and is not killed would wait for ever.
 *  - assertions: what is doomed is not published; who is killed is in the item that was doomed; each item is run by the
 *    worker or, taken back or lost, given to somebody else, never both; the time that is read for an item is not that of
 *    an earlier one.
 *
 * Constants, by -D: T batches of N items, S slots, WHOLE (functions on batches, and lone calls: begun as one piece),
 * SERIALS (how many serial numbers there are before they come again; with one slot the worker's last batch has the
 * number of the next).
 * BUG_…: a line of the source less, or two the other way round, or a compare-and-swap in two pieces; each has to be found.
 */

#ifndef T
#define T 2
#endif
#ifndef N
#define N 3
#endif
#ifndef S
#define S 2
#endif
#ifndef SERIALS
#define SERIALS T
#endif

#define FINISHED 15
#define NONE 15

/* words of slots */
#define FREE 0
#define READY 1
#define RUNNING 2

#define SERIAL(t) ((t) % SERIALS)

/* --- shared words --- */

byte serial, started, end; /* one word */
byte since_batch, since_item; /* one word: whose start it is, for a time */
byte current; /* slot + 1 */
byte word[S];
bool published[T];
byte n_results[T];

/* --- the world, and what the assertions want to know --- */

bool killed, gone;
byte in_batch = NONE, in_item; /* what the worker is in */
byte doomed_batch = NONE, doomed_item;

/* --- the worker --- */

mtype = { CLAIM, CURRENT, SINCE, BEGIN, ITEM_SINCE, NEXT, NEXT_STORE, RUN, FINISH, FINISH_STORE, PUBLISH, DOOMED };

inline publish ()
{
  assert (doomed_batch != batch);
  published[batch] = true;
  n_results[batch] = next
}

active proctype worker ()
{
  mtype pc = CLAIM;
  byte batch, next, seen_serial, seen_started, seen_end;

  {
  do
  :: d_step { pc == CLAIM && batch < T && word[batch % S] == READY -> word[batch % S] = RUNNING; pc = CURRENT }
  :: d_step { pc == CURRENT -> current = batch % S + 1; pc = SINCE }

  /* pool_runner_run_slot() */
#if defined (BUG_SINCE_AFTER_BEGIN) && defined (WHOLE)
  :: d_step { pc == SINCE -> pc = BEGIN }
#else
  :: d_step { pc == SINCE -> since_batch = batch; since_item = 0; pc = BEGIN }
#endif
#ifdef WHOLE
  :: d_step { pc == BEGIN -> serial = SERIAL (batch); started = N; end = N; in_batch = batch; in_item = N - 1; next = N;
#ifdef BUG_SINCE_AFTER_BEGIN
       pc = ITEM_SINCE }
  :: d_step { pc == ITEM_SINCE -> since_batch = batch; since_item = 0; pc = FINISH }
#else
       pc = FINISH }
#endif
#else
  :: d_step { pc == BEGIN -> serial = SERIAL (batch); started = 0; end = N; in_batch = batch; in_item = NONE;
#ifdef BUG_SINCE_LATE
       pc = NEXT }
#else
       pc = ITEM_SINCE }
#endif

  /* run_items() */
  :: d_step { pc == ITEM_SINCE -> since_batch = batch; since_item = next;
#ifdef BUG_SINCE_LATE
       pc = RUN }
#else
       pc = NEXT }
#endif
#ifdef BUG_NEXT_STORE
  :: d_step { pc == NEXT -> seen_started = started; seen_end = end; pc = (next < end -> NEXT_STORE : FINISH) }
  :: d_step { pc == NEXT_STORE -> started = seen_started + 1; end = seen_end; in_item = next; seen_started = 0; seen_end = 0;
#else
  :: d_step { pc == NEXT && next >= end -> pc = FINISH }
  :: d_step { pc == NEXT && next < end -> started++; in_item = next;
#endif
#ifdef BUG_SINCE_LATE
       pc = ITEM_SINCE }
#else
       pc = RUN }
#endif
  :: d_step { pc == RUN -> next++;
#ifdef BUG_SINCE_LATE
       pc = NEXT }
#else
       pc = ITEM_SINCE }
#endif
#endif

  /* pool_progress_finish() */
#ifdef BUG_FINISH_STORE
  :: d_step { pc == FINISH -> pc = (end == 0 && started > 0 -> DOOMED : FINISH_STORE) }
  :: d_step { pc == FINISH_STORE -> end = FINISHED; pc = PUBLISH }
#else
#ifdef BUG_PUBLISH_EARLY
  :: d_step { pc == FINISH -> publish (); pc = FINISH_STORE }
  :: d_step { pc == FINISH_STORE ->
#else
  :: d_step { pc == FINISH ->
#endif
       if
#ifndef BUG_NEVER_DOOMED
       :: end == 0 && started > 0 -> pc = DOOMED
#endif
       :: else -> end = FINISHED; pc = PUBLISH
       fi }
#endif
  :: d_step { pc == PUBLISH ->
#ifndef BUG_PUBLISH_EARLY
       publish ();
#endif
       in_batch = NONE; in_item = 0; batch++; next = 0; pc = CLAIM }

  :: atomic { pc == CLAIM && batch == T -> break }
  od
  }
  unless { d_step { killed -> gone = true } }
}

/* --- the manager --- */

mtype = { TURN, SPLIT, SPLIT_STORE, LOOK, LOOK_CURRENT, LOOK_SINCE, DOOM_CURRENT, DOOM, DOOM_STORE, KILL, DEAD };

/* The items from @first to before @last of a batch are given to somebody else, or their results have come. */
inline settle (b, first, last)
{
  i = first;
  do
  :: i < last -> assert (!settled[(b) * N + i]); settled[(b) * N + i] = true; i++
  :: else -> i = 0; break
  od;
  skip
}

inline take_result ()
{
  /* all that was not taken back, and nothing else */
  assert (n_results[taken] == n_items[taken]);
  settle (taken, 0, n_items[taken]);
  word[taken % S] = FREE;
  taken++
}

inline forget ()
{
  seen_serial = 0; seen_started = 0; seen_end = 0; seen_batch = 0; seen_item = 0; slot = 0; wanted = 0; any = false
}

/* the newest task in a slot */
#define BATCH_OF(s) (sent - 1 - (sent - 1 - (s)) % S)
#define HAS_CLAIMED(s) (word[s] == RUNNING)

#define IS_RUN(b) (HAS_CLAIMED ((b) % S) && serial == SERIAL (b) && started > 0)
#define MAY_SPLIT (IS_RUN (wanted) && end == n_items[wanted] && started < end)

/* pool_progress_doom() refuses */
#ifdef BUG_DOOM_ANY_SERIAL
#define NOT_THIS_BATCH false
#else
#define NOT_THIS_BATCH serial != SERIAL (wanted)
#endif
#ifdef BUG_DOOM_FINISHED
#define AT_ITS_END false
#else
#define AT_ITS_END end == FINISHED
#endif
#ifdef BUG_DOOM_ANY_ITEM
#define NOT_THIS_ITEM false
#else
#define NOT_THIS_ITEM (!any && started != seen_started)
#endif

active proctype manager ()
{
  mtype pc = TURN;
  byte sent, taken, i, slot, wanted; /* wanted: the batch that it means */
  byte seen_serial, seen_started, seen_end, seen_batch, seen_item;
  byte n_items[T];
  bool settled[T * N], any;

  d_step
  {
    do
    :: i < T -> n_items[i] = N; i++
    :: else -> i = 0; break
    od;
    skip
  };
  do
  :: d_step { pc == TURN && sent < T && word[sent % S] == FREE -> word[sent % S] = READY; sent++ }
  :: d_step { pc == TURN && taken < T && published[taken] -> take_result () }
  :: pc == TURN && taken == T -> break

  /* pool_local_backend_split(), pool_progress_take_back() */
  :: d_step { pc == TURN && taken < sent -> wanted = taken; pc = SPLIT }
  :: d_step { pc == TURN && taken + 1 < sent -> wanted = taken + 1; pc = SPLIT }
  :: d_step { pc == SPLIT && !MAY_SPLIT -> forget (); pc = TURN }
  :: d_step { pc == SPLIT && MAY_SPLIT ->
       seen_started = started; seen_end = started + (end - started) / 2;
#ifdef BUG_TAKE_BACK_STORE
       pc = SPLIT_STORE }
  :: d_step { pc == SPLIT_STORE -> started = seen_started;
#endif
       end = seen_end;
       settle (wanted, seen_end, n_items[wanted]);
       n_items[wanted] = seen_end;
       forget ();
       pc = TURN }

  /* pool_local_backend_get_worker() */
#ifdef BUG_READ_SINCE_FIRST
  :: d_step { pc == TURN && taken < sent -> seen_batch = since_batch; seen_item = since_item; pc = LOOK }
#else
  :: d_step { pc == TURN && taken < sent -> pc = LOOK }
#endif
  :: d_step { pc == LOOK -> seen_serial = serial; seen_started = started; seen_end = end; pc = LOOK_CURRENT }
  :: d_step { pc == LOOK_CURRENT ->
       slot = current;
       if
       :: slot == 0 || !HAS_CLAIMED (slot - 1) -> pc = TURN
       :: else ->
          slot--;
          wanted = BATCH_OF (slot);
          pc = (seen_serial != SERIAL (wanted) || seen_started == 0 -> TURN : LOOK_SINCE);
#ifndef BUG_READ_FINISHED
          if
          :: seen_end == FINISHED -> pc = TURN
          :: else -> skip
          fi
#endif
       fi;
       if
       :: pc == TURN -> forget ()
       :: else -> skip
       fi }
  :: d_step { pc == LOOK_SINCE ->
#ifndef BUG_READ_SINCE_FIRST
       seen_batch = since_batch; seen_item = since_item;
#endif
#ifdef WHOLE
       assert (seen_batch >= wanted);
#else
       assert (seen_batch > wanted || seen_batch == wanted && seen_item >= seen_started - 1);
#endif
#ifdef BUG_KILL_AT_ONCE
       doomed_batch = wanted; doomed_item = seen_started - 1; pc = KILL }
#else
       pc = DOOM_CURRENT }
#endif
  :: d_step { pc == LOOK_SINCE -> forget (); pc = TURN }

  /* pool_local_backend_doom(), pool_progress_doom(); either the item that was seen, or what it is in */
  :: d_step { pc == TURN && taken < sent -> wanted = taken; any = true; pc = DOOM_CURRENT }
  :: d_step { pc == TURN && taken + 1 < sent -> wanted = taken + 1; any = true; pc = DOOM_CURRENT }
  :: d_step { pc == DOOM_CURRENT ->
       slot = current;
       pc = (slot > 0 && BATCH_OF (slot - 1) == wanted && HAS_CLAIMED (slot - 1) -> DOOM : TURN);
       if
       :: pc == TURN -> forget ()
       :: else -> skip
       fi }
  :: d_step { pc == DOOM ->
       if
       :: started == 0 || end == 0 || NOT_THIS_BATCH || AT_ITS_END || NOT_THIS_ITEM -> forget (); pc = TURN
       :: else ->
          doomed_batch = wanted;
          doomed_item = (any -> started - 1 : seen_started - 1);
#ifdef BUG_DOOM_STORE
          seen_started = started;
          pc = DOOM_STORE
       fi }
  :: d_step { pc == DOOM_STORE -> started = seen_started; end = 0; pc = KILL }
#else
          end = 0;
          pc = KILL
       fi }
#endif

  :: d_step { pc == KILL -> assert (in_batch == doomed_batch && in_item == doomed_item); killed = true; forget (); pc = DEAD }
  /* pool_local_backend_worker_gone(): first what it has delivered, then the rest is for another */
  :: d_step { pc == DEAD && gone && taken < T && published[taken] -> assert (taken != doomed_batch); take_result () }
  :: d_step { pc == DEAD && gone && taken < T && !published[taken] -> settle (taken, 0, n_items[taken]); taken++ }
  :: pc == DEAD && gone && taken == T -> break
  od;

  skip;
  d_step
  {
    do
    :: i < T * N -> assert (settled[i]); i++
    :: else -> break
    od;
    skip
  }
}
