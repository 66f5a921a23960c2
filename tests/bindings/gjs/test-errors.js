// SPDX-License-Identifier: LGPL-2.1-or-later

// What goes wrong is an error of that call, and the pool goes on.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import Pool from 'gi://Pool?version=1';

import {assert, equal, fails, here, make, run, sleep, test, throws} from './tap.js';

const goesOn = async pool => equal(await pool.apply('square', [3]), 9);

test('an error has its class, name, message, members, cause, and the stack of the worker', async () => {
    const pool = make();
    const error = await throws(() => pool.apply('fail', ['far']));
    assert(error instanceof RangeError);
    equal([error.name, error.message, error.path], ['RangeError', 'far', '/somewhere']);
    assert(/^fail@file:.*tasks\.js:\d+:\d+/.test(error.stack), error.stack);
    equal([error.cause instanceof Error, error.cause.message], [true, 'deeper']);
    await goesOn(pool);
});

test('an error of a class that the program has not keeps its name', async () => {
    const error = await throws(() => make().apply('failStrangely'));
    equal([error instanceof Error, error.name, error.message], [true, 'Strange', 'a class that the program has not']);
});

test('an error of GLib keeps its domain and code', async () => {
    const error = await throws(() => make().apply('failInGio'));
    assert(error instanceof GLib.Error && error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND));
    assert(error.message.includes('/no/such/file') && error.stack.includes('failInGio@'), error.stack);
});

test('anything can be thrown', async () => {
    const pool = make();
    for (const value of ['text', 5, null, undefined, [1], {a: 1}])
        equal(await throws(() => pool.apply('failWith', [value])), value);
    await goesOn(pool);
});

test('a rejected promise', async () => {
    const pool = make();
    const error = await throws(() => pool.apply('rejectLater'));
    equal([error instanceof TypeError, error.message], [true, 'rejected']);
    assert(error.stack.includes('rejectLater@'), error.stack);
    await goesOn(pool);
});

test('in a map the first error comes after all items, and says which', async () => {
    const pool = make();
    for (const chunksize of [1, 2, 10]) {
        const error = await throws(() => pool.map('failForOdd', [0, 2, 3, 4, 5], {chunksize}));
        equal([error instanceof RangeError, error.message, error.index], [true, '3 is odd', 2]);
    }
    const settled = await pool.map('failForOdd', [0, 1, 2], {settled: true});
    equal(settled.map(({status}) => status), ['fulfilled', 'rejected', 'fulfilled']);
    equal([settled[2].value, settled[1].reason.message], [2, '1 is odd']);
});

test('a function that the module does not export', async () => {
    const pool = make();
    const error = await fails(Pool.Error.NO_SUCH_TASK, () => pool.apply('nothing'));
    assert(error.message.endsWith('tasks.js exports no function "nothing"'), error.message);
    await fails(Pool.Error.NO_SUCH_TASK, () => pool.apply('constant'));
    await fails(Pool.Error.NO_SUCH_TASK, () => pool.apply('toString'));
    await fails(Pool.Error.NO_SUCH_TASK, () => pool.map('nothing', [1]));
    await fails(Pool.Error.NO_SUCH_TASK, () => make({module: null}).apply('square', [1]));
    await goesOn(pool);
});

test('a function in place of its name', async () => {
    const pool = make();
    const error = await fails(Pool.Error.INVALID_ARGUMENT, () => pool.apply(function square() {}));
    assert(error.message.includes('give the name, "square", of an exported function'), error.message);
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.map(x => x, [1]));
    await fails(Pool.Error.INVALID_ARGUMENT, () => pool.imap(x => x, [1]));
    await goesOn(pool);
});

test('arguments that cannot be sent', async () => {
    const pool = make();
    const cycle = {};
    cycle.self = [cycle];
    for (const value of [() => 1, Symbol('x'), cycle, new Gio.Cancellable(), new Promise(() => {}), [{a: () => 1}]]) {
        const error = await fails(Pool.Error.ENCODING, () => pool.apply('identity', [value]));
        assert(error.message.startsWith('An argument cannot be sent: '), error.message);
        await fails(Pool.Error.ENCODING, () => pool.map('identity', [1, value]));
    }
    await fails(Pool.Error.ENCODING, () => make({staticArgs: [() => 1]}));
    await goesOn(pool);
});

test('results that cannot be sent', async () => {
    const pool = make();
    const error = await fails(Pool.Error.ENCODING, () => pool.apply('unsendable'));
    equal(error.message, 'The result of the task cannot be sent: a function cannot be sent');
    const settled = await pool.map('unsendableForOdd', [0, 1, 2], {chunksize: 3, settled: true});
    equal([settled[0].value, settled[2].value], [0, 2]);
    assert(settled[1].reason.matches(Pool.Error, Pool.Error.ENCODING));
    await goesOn(pool);
});

test('a module that does not parse', async () => {
    const pool = make({module: here('broken-syntax.js')});
    for (let i = 0; i < 3; i++) {
        const error = await throws(() => pool.apply('square', [1]));
        assert(error instanceof SyntaxError, error.message);
        assert(error.fileName.endsWith('broken-syntax.js'), error.fileName);
        equal(error.lineNumber, 2);
    }
    equal(await pool.apply('debug.echo', ['x']), 'x');
    equal(pool.nRestarts, 0);
});

test('a module that throws when it is imported', async () => {
    const pool = make({module: here('broken-import.js')});
    const settled = await pool.map('square', [1, 2], {settled: true});
    for (const {reason} of settled) {
        equal([reason instanceof RangeError, reason.message], [true, 'not this module']);
        assert(reason.stack.includes('broken-import.js:7'), reason.stack);
    }
    equal(await pool.apply('debug.echo', ['x']), 'x');
    equal(pool.nRestarts, 0);
});

test('a module that is not there', async () => {
    const pool = make({module: here('no-such-module.js')});
    const error = await throws(() => pool.apply('square', [1]));
    assert(error.message.includes('no-such-module.js'), error.message);
    equal(await pool.apply('debug.echo', ['x']), 'x');
});

test('an initializer that throws breaks the pool, and says what it threw', async () => {
    const pool = make({processes: 1, initializer: 'refuse', maxRestarts: 2, maxRestartFreq: 30});
    const error = await fails(Pool.Error.RESTART_FREQ, () => pool.apply('square', [1]));
    assert(error.message.includes('The initializer refuse threw RangeError: not today'), error.message);
    equal(pool.state, Pool.State.BROKEN);
});

test('an endless loop ends at the hard limit', async () => {
    const pool = make({processes: 1});
    const timeouts = [];
    const error = await fails(Pool.Error.TIMED_OUT, () => pool.apply('spin', [], {
        timeout: 0.2,
        onTimeout: (soft, limit) => timeouts.push([soft, limit]),
    }));
    assert(error.message.includes('ran over its limit of 0.2 s'), error.message);
    equal(timeouts, [[false, 0.2]]);
    await goesOn(pool);
    const settled = await make({timeout: 0.5}).map('sleep', [1, 2000, 1], {settled: true});
    equal(settled.map(({status}) => status), ['fulfilled', 'rejected', 'fulfilled']);
    assert(settled[1].reason.matches(Pool.Error, Pool.Error.TIMED_OUT));
});

test('at the soft limit the task is told', async () => {
    const pool = make({processes: 1});
    equal(await pool.apply('spinUntilTold', [], {softTimeout: 0.1, timeout: 20}), 'told');
    // one that waits for a promise is not disturbed
    equal(await pool.apply('sleep', [300], {softTimeout: 0.1, timeout: 20}), 300);
    equal(pool.nRestarts, 0);
});

test('a worker that dies is replaced, and its task runs again', async () => {
    const pool = make();
    equal(await pool.apply('dieAtFirst'), 2);
    const error = await fails(Pool.Error.WORKER_LOST, () => pool.apply('die', [], {maxRetries: 0}));
    assert(error.message.includes('signal 9'), error.message);
    await goesOn(pool);
});

test('a task that is terminated', async () => {
    const pool = make({processes: 1});
    const job = pool.apply('spin', []);
    await goesOn(make());
    job.terminate(9);
    await fails(Pool.Error.TERMINATED, () => job);
    await goesOn(pool);
});

test('options that there are not, or that are refused', async () => {
    await fails(Pool.Error.INVALID_ARGUMENT, () => make({procesess: 2}));
    const error = await fails(Pool.Error.INVALID_ARGUMENT, () => make({startMethod: 'fork'}));
    assert(error.message.includes('garbage collector'), error.message);
    await fails(Pool.Error.INVALID_ARGUMENT, () => make({'start-method': 'forkserver'}));
    equal(await make({startMethod: 'spawn'}).apply('square', [1]), 1);
    await fails(Pool.Error.INVALID_ARGUMENT, () => make({module: 'tasks.js'}));
    await fails(Pool.Error.INVALID_ARGUMENT, () => make({processes: 0}).start());
    await fails(Pool.Error.NO_SUCH_BACKEND, () => make({backend: 'nowhere'}).start());
    await fails(Pool.Error.INVALID_ARGUMENT, () => make().apply('square', [1], {timout: 1}));
    await sleep(0);
});

await run();
