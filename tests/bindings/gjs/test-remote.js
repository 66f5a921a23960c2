// SPDX-License-Identifier: LGPL-2.1-or-later

// The same module where agents of ZeroMQ make the workers.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Pool from 'gi://Pool?version=1';

import {equal, fails, make, run, Skip, test, throws} from './tap.js';

function makeRemote(options = {}) {
    try {
        Pool.describe_backend('zmq');
    } catch (error) {
        throw new Skip(error.message);
    }
    return make({backend: 'zmq', ...options});
}

test('calls, maps, iterators', async () => {
    const pool = makeRemote({staticArgs: ['s'], initializer: 'prepare', initargs: [1]});
    equal(await pool.apply('join', [1, 2]), '1-2-s');
    equal(await pool.map('join', [1, 2, 3]), ['1-s', '2-s', '3-s']);
    equal(await pool.apply('getPrepared'), [1, 's']);
    const values = [];
    for await (const value of pool.imap('join', ['a', 'b']))
        values.push(value);
    equal(values, ['a-s', 'b-s']);
    equal(await pool.apply('debug.echo', [new GLib.Variant('i', 5)]), 5);
});

test('large values', async () => {
    const pool = makeRemote();
    const floats = new Float64Array(1 << 18).fill(0.25);
    equal(await pool.apply('total', [floats]), floats.length / 4);
    equal((await pool.apply('makeFloats', [1 << 18])).length, 1 << 18);
});

test('errors, time limits, workers that die', async () => {
    const pool = makeRemote();
    const error = await throws(() => pool.apply('fail', ['far']));
    equal([error instanceof RangeError, error.message], [true, 'far']);
    await fails(Pool.Error.NO_SUCH_TASK, () => pool.apply('nothing'));
    await fails(Pool.Error.TIMED_OUT, () => pool.apply('spin', [], {timeout: 0.2}));
    equal(await pool.apply('dieAtFirst'), 2);
    equal(await pool.apply('square', [3]), 9);
});

test('an agent that has a command of its own for its workers', async () => {
    const directory = GLib.Dir.make_tmp('pool-gjs-XXXXXX');
    const pool = makeRemote({launcher: 'none', endpoint: `ipc://${directory}/agents`});
    pool.start();
    const program = GLib.getenv('POOL_CLI') ?? 'pool';
    const override = imports.overrides._libpool.encoding.__file__.replace('/overrides/_libpool/encoding.js', '');
    const agent = Gio.Subprocess.new([
        program, 'worker', '--connect', pool.native.endpoint, '-j', '1', '--',
        GLib.find_program_in_path('gjs'), '-I', override, '-m', `${override}/overrides/_libpool/worker.js`,
    ], Gio.SubprocessFlags.NONE);
    try {
        equal(await pool.map('square', [1, 2, 3]), [1, 4, 9]);
    } finally {
        pool.terminate();
        await pool.join();
        agent.send_signal(15);
        agent.wait(null);
        Gio.Subprocess.new(['rm', '-r', directory], Gio.SubprocessFlags.NONE).wait(null);
    }
});

await run();
