// SPDX-License-Identifier: LGPL-2.1-or-later

// put(), get() and their relatives.

import GLib from 'gi://GLib';
import Pool from 'gi://Pool?version=1';

import {assert, equal, fails, make, run, sleep, test, throws, until} from './tap.js';

const numbers = n => Array.from({length: n}, (_, i) => i);

async function collect(iterator) {
    const values = [];
    for await (const value of iterator)
        values.push(value);
    return values;
}

test('results come in the order of the items, or as they are ready', async () => {
    const ordered = make({target: 'sleep', ordered: true});
    for (const ms of [300, 1, 2])
        await ordered.put(ms);
    equal([await ordered.get(), await ordered.get(), await ordered.get()], [300, 1, 2]);
    const unordered = make({target: 'sleep'});
    for (const ms of [400, 1, 2])
        await unordered.put(ms);
    equal([await unordered.get(), await unordered.get(), await unordered.get()], [1, 2, 400]);
});

test('an item is a list of arguments, or the only one', async () => {
    const pool = make({target: 'join', ordered: true, staticArgs: ['s']});
    await pool.put([1, 2]);
    await pool.put('one');
    await pool.put([]);
    await pool.put([[3, 4]]);
    equal(await pool.getAll(), ['1-2-s', 'one-s', 's', '3,4-s']);
    equal(await pool.getAll(), []);
});

test('get() waits for what was put, in the order of the calls', async () => {
    const pool = make({target: 'later', ordered: true});
    await pool.put(1);
    await pool.put(2);
    const takers = [pool.get(), pool.get()];
    equal(await Promise.all(takers), [2, 3]);
});

test('nothing to get', async () => {
    const pool = make({target: 'later'});
    await fails(Pool.Error.NOT_STARTED, () => pool.get());
    pool.start();
    await fails(Pool.Error.NOTHING_PUT, () => pool.get());
    await pool.put(1);
    await fails(Pool.Error.QUEUE_EMPTY, () => pool.get({timeout: 0}));
    await fails(Pool.Error.QUEUE_EMPTY, () => pool.get({timeout: 0.001}));
    equal(await pool.get({timeout: 20}), 2);
    await fails(Pool.Error.NOTHING_PUT, () => pool.get());
    equal(await collect(pool.results()), []);
});

test('a full queue: who puts waits, in the order of the calls', async () => {
    const pool = make({target: 'sleep', queueSize: 1, ordered: true});
    for (let i = 0; i < 3; i++)
        await pool.put(1000 + i, {timeout: 0}); // two workers and a queue of one
    await fails(Pool.Error.QUEUE_FULL, () => pool.put(1, {timeout: 0}));
    await fails(Pool.Error.QUEUE_FULL, () => pool.put(1, {timeout: 0.01}));
    const done = [];
    const puts = [1, 2, 3].map(ms => pool.put(ms).then(() => done.push(ms)));
    equal(done, []);
    await Promise.all(puts);
    equal(done, [1, 2, 3]);
    equal(await pool.getAll(), [1000, 1001, 1002, 1, 2, 3]);
});

test('the main loop goes on while put() and get() wait', async () => {
    const pool = make({target: 'sleep', queueSize: 1});
    let turns = 0;
    const id = GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
        turns++;
        return GLib.SOURCE_CONTINUE;
    });
    try {
        for (let i = 0; i < 6; i++)
            await pool.put(50);
        await pool.getAll();
    } finally {
        GLib.source_remove(id);
    }
    assert(turns > 20, `${turns} turns`);
});

test('what becomes of an item after it was put is not meant', async () => {
    const pool = make({target: 'sleep', queueSize: 1, processes: 1, ordered: true});
    const item = [100];
    const puts = numbers(3).map(() => pool.put(item));
    item[0] = 1;
    await Promise.all(puts);
    equal(await pool.getAll(), [100, 100, 100]);
});

test('an error is that of its item, and no other', async () => {
    const pool = make({target: 'failForOdd', ordered: true});
    for (const x of numbers(4))
        await pool.put(x);
    equal((await throws(() => pool.getAll())).message, '1 is odd');
    const second = await throws(() => pool.getAll());
    equal([second instanceof RangeError, second.message], [true, '3 is odd']);
    equal(await pool.getAll(), [0, 2]);
    for (const x of numbers(3))
        await pool.put(x);
    equal((await collect(pool.results({settled: true}))).map(({status, value}) => value ?? status), [0, 'rejected', 2]);
    await pool.put(5);
    equal((await throws(() => pool.get())).message, '5 is odd');
    await pool.put(5);
    await pool.put(6);
    equal((await throws(() => collect(pool.results()))).message, '5 is odd');
    equal(await collect(pool.results()), [6]);
});

test('an item that cannot be sent is not put', async () => {
    const pool = make({target: 'identity', ordered: true});
    await pool.put(1);
    await fails(Pool.Error.ENCODING, () => pool.put(() => 1));
    equal(await pool.getAll(), [1]);
    await pool.put(2);
    equal(await pool.get(), 2);
});

test('a target that there is not fails each item', async () => {
    const pool = make({target: 'sqare'});
    await pool.put(1);
    await fails(Pool.Error.NO_SUCH_TASK, () => pool.get());
    equal(await pool.apply('square', [2]), 4);
});

test('a named task as target', async () => {
    const pool = make({target: 'debug.echo', ordered: true});
    await pool.put('a');
    await pool.put([2, 'b']);
    equal(await pool.get(), 'a');
    equal(await pool.get(), [2, 'b']);
    const threads = make({backend: 'threads', module: null, target: 'debug.echo'});
    await threads.put('c');
    equal(await threads.get(), 'c');
});

test('putAsync() puts from any source as there is room', async () => {
    const pool = make({target: 'square', queueSize: 2, ordered: true});
    async function* source() {
        for (let i = 0; i < 50; i++) {
            if (i % 10 === 0)
                await sleep(1);
            yield i;
        }
    }
    const putting = pool.putAsync(source());
    equal(await collect(pool.results()), numbers(50).map(x => x * x));
    equal(await putting, 50);
    await fails(Pool.Error.STATE, () => pool.putAsync([1]));
    const other = make({target: 'join', ordered: true});
    equal(await other.putAsync([[1, 2], 3]), 2);
    equal(await other.getAll(), ['1-2', '3']);
});

test('getAll() waits for putAsync()', async () => {
    const pool = make({target: 'square', queueSize: 1, ordered: true});
    const putting = pool.putAsync(numbers(20));
    equal(await pool.getAll(), numbers(20).map(x => x * x));
    equal(await putting, 20);
});

test('an error of the source is that of putAsync()', async () => {
    const pool = make({target: 'square', ordered: true});
    function* source() {
        yield 1;
        yield 2;
        throw new RangeError('no more');
    }
    equal((await throws(() => pool.putAsync(source()))).message, 'no more');
    equal(await pool.getAll(), [1, 4]);
});

test('a closed pool gives what was put, and takes no more', async () => {
    const pool = make({target: 'sleep', queueSize: 1, processes: 1, ordered: true});
    let isEnded = false;
    function* endless() {
        try {
            for (;;)
                yield 50;
        } finally {
            isEnded = true;
        }
    }
    const putting = pool.putAsync(endless());
    await until(() => pool.nRunning === 1 && pool.nPending >= 2);
    const late = pool.put(1);
    pool.close();
    await fails(Pool.Error.CLOSED, () => late);
    await fails(Pool.Error.CLOSED, () => pool.put(1));
    const n = await putting;
    equal([n >= 2, isEnded], [true, true]);
    equal(await pool.getAll(), Array(n).fill(50));
    await fails(Pool.Error.NOTHING_PUT, () => pool.get());
    await pool.join();
});

test('a terminated pool', async () => {
    const pool = make({target: 'sleep', queueSize: 1});
    for (let i = 0; i < 3; i++)
        await pool.put(20000);
    const waiting = Promise.allSettled([pool.get(), pool.put(1)]);
    pool.terminate();
    const [got, put] = await waiting;
    assert(got.reason.matches(Pool.Error, Pool.Error.WORKERS_GONE), got.reason);
    assert(put.reason.matches(Pool.Error, Pool.Error.CLOSED), put.reason);
    await fails(Pool.Error.WORKERS_GONE, () => pool.getAll());
    await fails(Pool.Error.WORKERS_GONE, () => pool.get());
    await fails(Pool.Error.NOTHING_PUT, () => pool.get());
});

test('a worker that dies is replaced, and its item has its result', async () => {
    const pool = make({target: 'dieAtFirst', ordered: true});
    equal(await pool.putAsync([[], []]), 2);
    equal(await pool.getAll(), [2, 2]);
    equal(pool.isAlive(), true);
});

test('clearTasks() takes out what waits and leaves what runs', async () => {
    const pool = make({target: 'sleep', queueSize: 100, ordered: true});
    for (let i = 0; i < 20; i++)
        await pool.put(300);
    await until(() => pool.nRunning === 2);
    const cleared = pool.clearTasks();
    assert(cleared >= 10 && cleared <= 18, cleared);
    equal(await pool.getAll(), Array(20 - cleared).fill(300));
    await pool.put(1);
    equal(await pool.get(), 1);
});

test('what makes no sense', async () => {
    await fails(Pool.Error.INVALID_ARGUMENT, () => make({target: 'square', queueSize: 0}));
    await fails(Pool.Error.INVALID_ARGUMENT, () => make({target: () => 1}));
    await fails(Pool.Error.NO_SUCH_TASK, () => make().put(1));
    const pool = make({target: 'square'});
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.put(1, {timeout: -1}));
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.put(1, {priority: 1}));
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.get({timeout: 'soon'}));
});

await run();
