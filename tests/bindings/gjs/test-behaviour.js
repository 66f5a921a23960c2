// SPDX-License-Identifier: LGPL-2.1-or-later

// Calls, maps, values, and what pools are made with.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import Pool from 'gi://Pool?version=1';
import System from 'system';

import {assert, equal, fails, here, make, run, sleep, test, until} from './tap.js';

test('a call, several, and one whose function returns a promise', async () => {
    const pool = make();
    equal(await pool.apply('square', [7]), 49);
    equal(await pool.apply('join', ['a', 'b', 'c']), 'a-b-c');
    equal(await Promise.all([1, 2, 3].map(x => pool.apply('square', [x]))), [1, 4, 9]);
    equal(await pool.apply('later', [1]), 2);
    equal(await pool.apply('getPrepared'), null);
});

test('a call is a promise that knows the call', async () => {
    const pool = make({processes: 1});
    const job = pool.apply('report', [], {correlationId: 'mine'});
    assert(job instanceof Promise && job instanceof Pool.Job);
    await until(() => job.progress === 0.5);
    equal([job.nCalls, job.nDone], [1, 0]);
    equal(await job, job.worker);
    equal([job.nDone, job.progress, job.attempts], [1, 1, 1]);
    equal(job.results[0].get_correlation_id(), 'mine');
    assert(!(job.then(() => 1) instanceof Pool.Job));
});

test('maps of any length and chunk size keep the order', async () => {
    const pool = make();
    for (const n of [0, 1, 2, 7, 5000]) {
        const items = Array.from({length: n}, (_, i) => i);
        for (const chunksize of [undefined, 1, 3, 10000]) {
            if (n === 5000 && chunksize === 1)
                continue;
            equal(await pool.map('square', items, {chunksize}), items.map(x => x * x));
        }
    }
    equal(await pool.map('square', new Set([3, 4])), [9, 16]);
    equal(await pool.map('later', [1, 2, 3], {chunksize: 2}), [2, 3, 4]);
    equal(await pool.starmap('join', [[1, 2], [3, 4, 5]]), ['1-2', '3-4-5']);
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.map('square', [1], {chunksize: -1}));
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.map('square', [1], {chunks: 1}));
});

test('static arguments follow those of each call', async () => {
    const pool = make({staticArgs: ['x', 'y']});
    equal(await pool.apply('join', [1]), '1-x-y');
    equal(await pool.map('join', [1, 2]), ['1-x-y', '2-x-y']);
    equal(await pool.starmap('join', [[1, 2], []]), ['1-2-x-y', 'x-y']);
});

test('the initializer runs once in each worker', async () => {
    const pool = make({initializer: 'prepare', initargs: ['a', new Uint8Array([1, 2])]});
    equal(await pool.apply('getPrepared'), ['a', new Uint8Array([1, 2])]);
});

const VALUES = {
    'nothing': null,
    'undefined': undefined,
    'numbers': [0, 1, -1, 1.5, 2 ** 53, -0, NaN, Infinity, -Infinity, 1e-300],
    'text': ['', 'a\u0000b', 'žluťoučký 🐎', '\ud800'],
    'big integers': [12345678901234567890n, -1n],
    'objects': {a: {b: [{c: null}]}, '': 1, '$pool': ['Date', 1], 'deep': {'$pool': {'$pool': [undefined]}}},
    'members that are undefined': {a: undefined, b: [undefined, , 1]},
    'dates, maps, sets': [new Date(0), new Date(NaN), new Map([['a', new Set([1, NaN])], [{k: 1}, new Map()]])],
    'typed arrays': [
        new Uint8Array([1, 2, 255]), new Int8Array([-1]), new Uint8ClampedArray([7]), new Uint16Array([65535]),
        new Int16Array([-2]), new Uint32Array([2 ** 32 - 1]), new Int32Array([-3]), new Float32Array([0.5]),
        new Float64Array([Math.PI]), new BigInt64Array([-1n]), new BigUint64Array([2n ** 64n - 1n]), new Uint8Array(0),
    ],
    'part of an array': new Uint16Array([1, 2, 3, 4]).subarray(1, 3),
    'what says how it is sent': {toJSON: () => ({x: 1})},
};

for (const [name, value] of Object.entries(VALUES)) {
    test(`there and back: ${name}`, async () => {
        const want = name === 'what says how it is sent' ? {x: 1}
            : name === 'members that are undefined' ? {a: undefined, b: [undefined, undefined, 1]} : value;
        const pool = make({processes: 1});
        equal(await pool.apply('identity', [value]), want);
        equal(await pool.map('identity', [value, 1]), [want, 1]);
    });
}

test('a member of the name __proto__ is a member', async () => {
    const value = JSON.parse('{"__proto__": {"x": 1}, "y": [1]}');
    const came = await make({processes: 1}).apply('identity', [[value, undefined]]);
    equal(Object.keys(came[0]), ['__proto__', 'y']);
    equal(came[0].x, undefined);
});

test('bytes and variants of GLib', async () => {
    const pool = make({processes: 1});
    const bytes = await pool.apply('identity', [new GLib.Bytes(new Uint8Array([1, 2, 3]))]);
    assert(bytes instanceof GLib.Bytes);
    equal(bytes.toArray(), new Uint8Array([1, 2, 3]));
    equal(await pool.apply('kindOf', [bytes]), 'GLib_Bytes');
    const variant = await pool.apply('identity', [new GLib.Variant('(si)', ['a', 1])]);
    equal(variant.print(true), "('a', 1)");
    const buffer = await pool.apply('identity', [new Uint8Array([5, 6]).buffer]);
    assert(buffer instanceof ArrayBuffer);
    equal(new Uint8Array(buffer), new Uint8Array([5, 6]));
});

test('many numbers in typed arrays', async () => {
    const pool = make();
    const floats = new Float64Array(1 << 20).fill(0.25);
    equal(await pool.apply('total', [floats]), floats.length / 4);
    const made = await pool.apply('makeFloats', [1 << 20]);
    equal([made.constructor.name, made.length, made[made.length - 1]], ['Float64Array', 1 << 20, 0.5]);
});

test('deep values, without a cycle, are sent', async () => {
    let value = 'bottom';
    for (let i = 0; i < 500; i++)
        value = [value];
    const came = await make({processes: 1}).apply('identity', [value]);
    equal(JSON.stringify(came), JSON.stringify(value));
});

test('an array that occurs twice is no cycle', async () => {
    const shared = [1];
    equal(await make({processes: 1}).apply('identity', [[shared, shared]]), [[1], [1]]);
});

test('named tasks of task modules', async () => {
    const pool = make();
    const file = Gio.File.new_for_uri(here('broken-import.js'));
    const [lines, words, bytes] = await pool.apply('text.count', [file.get_path()]);
    equal(bytes, file.load_contents(null)[1].length);
    assert(lines > 5 && words > lines);
    equal(await pool.map('text.count', [file.get_path(), file.get_path()]), [[lines, words, bytes], [lines, words, bytes]]);
    equal(await pool.starmap('text.count', [[file.get_path()]], {chunksize: 1}), [[lines, words, bytes]]);
    equal(await pool.apply('debug.echo', [new GLib.Variant('(sb)', ['a', true])]), ['a', true]);
    equal(await pool.apply('debug.echo', [new Uint8Array([1, 2])]), new Uint8Array([1, 2]));
    equal(await pool.apply('debug.echo', [{a: 1, b: ['x', 0.5]}]), {a: 1, b: ['x', 0.5]});
    const settled = await pool.map('text.count', [file.get_path(), '/no/such/file'], {settled: true});
    equal(settled[0], {status: 'fulfilled', value: [lines, words, bytes]});
    assert(settled[1].reason.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND), settled[1].reason.message);
    await fails(Pool.Error.NO_SUCH_TASK, () => pool.apply('no.such', [1]));
    await fails(Pool.Error.ENCODING, () => pool.apply('debug.echo', [() => 1]));
});

test('threads run named tasks, without a module', async () => {
    const pool = make({backend: 'threads', module: null});
    equal(await pool.apply('debug.echo', ['x']), 'x');
    await fails(Pool.Error.INVALID_ARGUMENT, () => make({backend: 'threads'}));
});

test('the classes of the library are at hand, with promises', async () => {
    const native = new Pool.native.Manager({backend: 'threads', processes: 1});
    native.start();
    const value = await native.apply_async('debug.echo', new GLib.Variant('(s)', ['x']), null, null);
    equal(value.unpack(), 'x');
    native.terminate();
    native.join(-1);
});

test('signals, and what is known of workers', async () => {
    const pool = make({reportTasks: true});
    const up = [], down = [];
    let accepted = 0;
    pool.connect('process-up', (self, worker) => {
        assert(self === pool);
        up.push(worker.pid);
    });
    const id = pool.connect('process-down', (self, worker) => down.push(worker.pid));
    pool.connect('task-accepted', () => accepted++);
    pool.start();
    await until(() => up.length === 2);
    const pid = await pool.apply('getPid');
    assert(up.includes(pid));
    equal(pool.getWorkers().map(worker => worker.pid).sort(), up.sort());
    await until(() => accepted === 1);
    equal([pool.nWorkers, pool.nDone, pool.processes, pool.state], [2, 1, 2, Pool.State.RUN]);
    pool.grow(1);
    await until(() => up.length === 3);
    pool.shrink(1);
    await until(() => down.length === 1);
    pool.disconnect(id);
    pool.close();
    await pool.join();
    equal([pool.state, down.length], [Pool.State.JOINED, 1]);
    equal(String(pool), '[Pool.Manager fork, JOINED, 0 workers]');
});

test('onAccept and cancellable', async () => {
    const pool = make({processes: 1});
    let pid = 0;
    equal(await pool.apply('getPid', [], {onAccept: worker => (pid = worker.pid)}), pid);
    const cancellable = new Gio.Cancellable();
    const running = pool.apply('sleep', [200]);
    const waiting = pool.apply('square', [1], {cancellable});
    const other = pool.map('square', [1, 2, 3]);
    cancellable.cancel();
    await fails(Pool.Error.CANCELLED, () => waiting);
    await sleep(20);
    other.cancel();
    await fails(Pool.Error.CANCELLED, () => other);
    equal(await running, 200);
});

test('a pool that was closed does what it has, and takes no more', async () => {
    const pool = make();
    const job = pool.map('later', [1, 2, 3, 4]);
    pool.close();
    await fails(Pool.Error.CLOSED, () => pool.apply('square', [1]));
    equal(await job, [2, 3, 4, 5]);
    await pool.join();
});

test('a pool that was terminated fails what it has', async () => {
    const pool = make();
    const job = pool.apply('spin');
    await sleep(50);
    pool.terminate();
    await fails(Pool.Error.TERMINATED, () => job);
    await pool.join();
});

test('a pool that waits for nothing but a signal is not collected', async () => {
    let n = 0;
    // nothing but the pool itself knows of it
    const wait = () => new Promise(resolve => {
        const pool = new Pool.Manager({module: here('tasks.js'), processes: 1});
        pool.connect('process-up', () => {
            n++;
            pool.terminate();
            resolve(pool.join());
        });
        pool.start();
    });
    const waited = wait();
    System.gc();
    await waited;
    equal(n, 1);
});

test('a program that does not end its pool leaves no worker', async () => {
    const [file, stream] = Gio.File.new_tmp('pool-XXXXXX.js');
    stream.close(null);
    file.replace_contents(`
        import Pool from 'gi://Pool?version=1';
        const pool = new Pool.Manager({module: '${here('tasks.js')}', processes: 1});
        print(await pool.apply('getPid'));
    `, null, false, Gio.FileCreateFlags.NONE, null);
    const program = Gio.Subprocess.new(['gjs', '-m', file.get_path()], Gio.SubprocessFlags.STDOUT_PIPE);
    const [, text] = await new Promise(resolve => {
        program.communicate_utf8_async(null, null, (_, result) => resolve(program.communicate_utf8_finish(result)));
    });
    file.delete(null);
    assert(program.get_successful() && /^[0-9]+$/.test(text.trim()), text);
    await until(() => !GLib.file_test(`/proc/${text.trim()}`, GLib.FileTest.EXISTS));
});

test('what a task prints comes out at once', async () => {
    const [file, stream] = Gio.File.new_tmp('pool-XXXXXX.js');
    stream.close(null);
    file.replace_contents(`
        import Pool from 'gi://Pool?version=1';
        export function say() {
            print('said');
            for (;;)
                ;
        }
        if (!Pool.isWorker) {
            const pool = new Pool.Manager({module: import.meta.url, processes: 1});
            await pool.apply('say', [], {timeout: 0.3}).catch(() => {});
            pool.terminate();
            await pool.join();
        }
    `, null, false, Gio.FileCreateFlags.NONE, null);
    const program = Gio.Subprocess.new(['gjs', '-m', file.get_path()], Gio.SubprocessFlags.STDOUT_PIPE);
    const [, text] = await new Promise(resolve => {
        program.communicate_utf8_async(null, null, (_, result) => resolve(program.communicate_utf8_finish(result)));
    });
    file.delete(null);
    equal(text, 'said\n');
});

test('workers of another command', async () => {
    const plain = make();
    const command = plain.native.workerCommand;
    const pool = make({workerCommand: ['/usr/bin/env', 'POOL_TEST_MARK=here', ...command]});
    equal(await pool.apply('getVariable', ['POOL_TEST_MARK']), 'here');
    equal(await plain.apply('getVariable', ['POOL_TEST_MARK']), null);
});

test('workers are replaced after so many tasks', async () => {
    const pool = make({processes: 1, maxTasksPerChild: 2, 'max-restarts': 100});
    const pids = [];
    for (let i = 0; i < 4; i++)
        pids.push(await pool.apply('getPid'));
    equal(pids[0], pids[1]);
    assert(pids[2] !== pids[1]);
});

await run();
