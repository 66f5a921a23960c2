// SPDX-License-Identifier: LGPL-2.1-or-later

// imap and its relatives, and what the main loop has of it.

import GLib from 'gi://GLib';
import Pool from 'gi://Pool?version=1';

import {assert, equal, fails, make, run, sleep, test, throws} from './tap.js';

async function collect(iterator) {
    const values = [];
    for await (const value of iterator)
        values.push(value);
    return values;
}

const numbers = n => Array.from({length: n}, (_, i) => i);

test('results come in the order of the items', async () => {
    const pool = make();
    for (const chunksize of [1, 3, 100])
        equal(await collect(pool.imap('square', numbers(50), {chunksize})), numbers(50).map(x => x * x));
    equal(await collect(pool.imap('square', [])), []);
    equal(await collect(pool.istarmap('join', [[1, 2], [3]])), ['1-2', '3']);
});

test('results come as they are ready', async () => {
    const pool = make();
    equal(await collect(pool.imapUnordered('sleep', [400, 10, 20])), [10, 20, 400]);
    const values = await collect(pool.istarmapUnordered('join', numbers(30).map(i => [i, i]), {chunksize: 4}));
    equal(values.map(value => parseInt(value)).sort((a, b) => a - b), numbers(30));
});

test('an endless source is taken from as results are', async () => {
    const pool = make();
    let taken = 0, isEnded = false;
    function* source() {
        try {
            for (;;)
                yield taken++;
        } finally {
            isEnded = true;
        }
    }
    const values = [];
    for await (const value of pool.imap('square', source(), {ahead: 3})) {
        values.push(value);
        assert(taken <= values.length + 3, `${taken} items for ${values.length} results`);
        if (values.length === 20)
            break;
    }
    equal([values[19], isEnded], [361, true]);
    equal(await pool.apply('square', [2]), 4);
});

test('an asynchronous source', async () => {
    async function* source() {
        for (let i = 0; i < 5; i++) {
            await sleep(1);
            yield i;
        }
    }
    equal(await collect(make().imap('square', source(), {chunksize: 2})), [0, 1, 4, 9, 16]);
});

test('an error of one item does not end the iteration', async () => {
    const pool = make();
    for (const chunksize of [1, 2, 3]) {
        const iterator = pool.imap('failForOdd', [0, 1, 2, 3, 4], {chunksize});
        equal((await iterator.next()).value, 0);
        equal((await throws(() => iterator.next())).message, '1 is odd');
        equal((await iterator.next()).value, 2);
        equal((await throws(() => iterator.next())).message, '3 is odd');
        equal(await iterator.next(), {done: false, value: 4});
        equal(await iterator.next(), {done: true, value: undefined});
    }
    const settled = await collect(pool.imap('failForOdd', [0, 1, 2], {settled: true}));
    equal(settled.map(({status}) => status), ['fulfilled', 'rejected', 'fulfilled']);
});

test('an item that cannot be sent is an error of its own', async () => {
    const settled = await collect(make().imap('identity', [1, () => 1, 2], {settled: true}));
    equal([settled[0].value, settled[2].value], [1, 2]);
    assert(settled[1].reason.matches(Pool.Error, Pool.Error.ENCODING));
});

test('an error of the source comes after the results', async () => {
    function* source() {
        yield 1;
        yield 2;
        throw new RangeError('no more');
    }
    const iterator = make().imap('square', source());
    equal([(await iterator.next()).value, (await iterator.next()).value], [1, 4]);
    equal((await throws(() => iterator.next())).message, 'no more');
    equal((await iterator.next()).done, true);
});

test('calls of next() that do not wait for each other', async () => {
    const iterator = make().imap('later', [1, 2, 3]);
    const steps = await Promise.all([iterator.next(), iterator.next(), iterator.next(), iterator.next()]);
    equal(steps.map(({value}) => value), [2, 3, 4, undefined]);
});

test('named tasks', async () => {
    const pool = make();
    equal(await collect(pool.imap('debug.echo', ['a', 'b'])), ['a', 'b']);
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.imap('debug.echo', ['a'], {chunksize: 2}));
});

test('bad options', async () => {
    const pool = make();
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.imap('square', [1], {chunksize: 0}));
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.imap('square', [1], {ahead: 0}));
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.imap('square', [1], {unknown: 0}));
});

test('time limits hold for each item', async () => {
    const settled = await collect(make().imap('sleep', [1, 5000, 1], {settled: true, timeout: 0.3}));
    equal(settled.map(({status}) => status), ['fulfilled', 'rejected', 'fulfilled']);
    assert(settled[1].reason.matches(Pool.Error, Pool.Error.TIMED_OUT));
});

/** What this thread itself has worked, in milliseconds: the machine is others', too. */
function worked() {
    const [, data] = GLib.file_get_contents('/proc/thread-self/schedstat');
    return parseInt(new TextDecoder().decode(data)) / 1e6;
}

test('the main loop has its turn within 20 ms of work', async () => {
    const pool = make();
    const items = numbers(1e5);
    await pool.map('square', [1]);
    let last = worked(), longest = 0, n = 0;
    const id = GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
        const now = worked();
        longest = Math.max(longest, now - last);
        last = now;
        n++;
        return GLib.SOURCE_CONTINUE;
    });
    try {
        equal((await pool.map('square', items)).length, 1e5);
        let sum = 0;
        for await (const value of pool.imap('square', items, {chunksize: 500}))
            sum += value;
        assert(sum > 0);
    } finally {
        GLib.source_remove(id);
    }
    print(`# the longest stall is ${longest.toFixed(1)} ms, of ${n} turns`);
    assert(longest <= 20, `${longest} ms`);
});

await run();
