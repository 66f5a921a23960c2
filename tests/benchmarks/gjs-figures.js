// SPDX-License-Identifier: LGPL-2.1-or-later

// JavaScript's pool in figures, beside what they are to be: meson test --benchmark gjs-figures, on a machine that does nothing else.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Pool from 'gi://Pool?version=1';
import System from 'system';

const N = 100000;
const module = import.meta.url.replace('benchmarks/gjs-figures.js', 'bindings/gjs/tasks.js');

const now = () => GLib.get_monotonic_time() / 1000;
const median = values => values.sort((a, b) => a - b)[values.length >> 1];
let missed = 0;

function report(what, value, unit, isGood, target) {
    if (!isGood)
        missed++;
    print(`${what.padEnd(44)}${value.toFixed(1).padStart(12)} ${unit.padEnd(8)} ${target}${isGood ? '' : '  MISSED'}`);
}

async function withPool(options, func) {
    const pool = new Pool.Manager({module, processes: 2, ...options});
    try {
        return await func(pool);
    } finally {
        pool.terminate();
        await pool.join();
    }
}

/** The longest time between two turns of the main loop meanwhile. */
async function stallOf(func) {
    let last = now(), longest = 0;
    const id = GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
        longest = Math.max(longest, now() - last);
        last = now();
        return GLib.SOURCE_CONTINUE;
    });
    await func();
    GLib.source_remove(id);
    return longest;
}

await withPool({}, async pool => {
    const items = Array.from({length: N}, (_, i) => i);
    const rates = [], stalls = [], trips = [], iterations = [];
    await pool.map('square', items.slice(0, 100));
    for (let i = 0; i < 7; i++) {
        const start = now();
        await pool.map('square', items);
        rates.push(N / (now() - start));
        stalls.push(await stallOf(() => pool.map('square', items)));
    }
    for (let i = 0; i < 1000; i++) {
        const start = now();
        await pool.apply('square', [i]);
        trips.push((now() - start) * 1000);
    }
    for (let i = 0; i < 3; i++) {
        const start = now();
        for await (const value of pool.imap('square', items, {chunksize: 100}))
            ;
        iterations.push(N / (now() - start));
    }
    const rate = median(rates), stall = median(stalls);
    report('map of 10^5 numbers, 2 workers', rate, 'k/s', rate >= 200, '>= 200');
    report('longest stall of the main loop meanwhile', stall, 'ms', stall <= 20, '<= 20');
    report('imap of the same, chunks of 100', median(iterations), 'k/s', true, '');
    report('apply, there and back', median(trips), 'us', true, '');
});

async function bareStart() {
    const [file, stream] = Gio.File.new_tmp('pool-XXXXXX.js');
    stream.close(null);
    const start = now();
    const process = Gio.Subprocess.new(['gjs', '-m', file.get_path()], Gio.SubprocessFlags.NONE);
    await new Promise(resolve => process.wait_async(null, resolve));
    const took = now() - start;
    file.delete(null);
    return took;
}

async function startOfFour() {
    const start = now();
    return await withPool({processes: 4}, async pool => {
        await new Promise(resolve => {
            let n = 0;
            pool.connect('process-up', () => ++n === 4 && resolve());
            pool.start();
        });
        return now() - start;
    });
}

{
    const bare = [], four = [];
    for (let i = 0; i < 7; i++) {
        bare.push(await bareStart());
        four.push(await startOfFour());
    }
    const ratio = median(four) / (4 * median(bare));
    report('start of one bare gjs -m', median(bare), 'ms', true, '');
    report('start of 4 workers', median(four), 'ms', true, '');
    report('start of 4 workers / 4 bare starts', ratio, '', ratio <= 1.5, '<= 1.5');
}

await withPool({}, async pool => {
    const times = [];
    let n = 0;
    await new Promise(resolve => {
        pool.connect('process-up', () => ++n === 2 && resolve());
        pool.start();
    });
    for (let i = 0; i < 9; i++) {
        const worker = pool.getWorkers().find(({state}) => state === Pool.WorkerState.IDLE);
        let id = 0;
        const start = now();
        await new Promise(resolve => {
            id = pool.connect('process-up', resolve);
            Gio.Subprocess.new(['kill', '-KILL', String(worker.pid)], Gio.SubprocessFlags.NONE);
        });
        times.push(now() - start);
        pool.disconnect(id);
    }
    report('a worker is replaced after a SIGKILL', median(times), 'ms', median(times) <= 150, '<= 150');
});

System.exit(missed === 0 ? 0 : 1);
