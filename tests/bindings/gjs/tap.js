// SPDX-License-Identifier: LGPL-2.1-or-later

// A small TAP producer: functions that were added run in their order; a module ends with `await run()`.

import GLib from 'gi://GLib';
import Pool from 'gi://Pool?version=1';
import System from 'system';

const tests = [];
const pools = [];

export class Skip extends Error {}

export function test(title, func) {
    tests.push([title, func]);
}

export function assert(condition, message = 'the condition does not hold') {
    if (!condition)
        throw new Error(message);
}

const show = value => value instanceof Error || value instanceof GLib.Error ? `${value.name ?? ''} ${value.message}`
    : JSON.stringify(value) ?? String(value);

export function equal(got, want) {
    if (!same(got, want))
        throw new Error(`got ${show(got)}, want ${show(want)}`);
}

function same(a, b) {
    if (Object.is(a, b))
        return true;
    if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
        return false;
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b))
        return false;
    if (a instanceof Date)
        return Object.is(a.getTime(), b.getTime());
    if (a instanceof Map || a instanceof Set)
        return same([...a], [...b]);
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every(key => Object.hasOwn(b, key) && same(a[key], b[key]));
}

/** Returns what it throws. */
export async function throws(func) {
    let value;
    try {
        value = await func();
    } catch (error) {
        return error;
    }
    throw new Error(`nothing was thrown, but ${show(value)} came`);
}

export async function fails(code, func) {
    const error = await throws(func);
    if (!(error instanceof GLib.Error && error.matches(Pool.Error, code)))
        throw new Error(`not the pool's error ${code}, but ${error.name ?? ''} ${error.message} ${error.stack}`);
    return error;
}

export const sleep = ms => new Promise(resolve => {
    GLib.timeout_add(GLib.PRIORITY_DEFAULT, ms, () => {
        resolve();
        return GLib.SOURCE_REMOVE;
    });
});

/** What happens elsewhere, and nobody tells of. */
export async function until(condition, seconds = 10) {
    const end = GLib.get_monotonic_time() + seconds * 1e6;
    while (!condition()) {
        assert(GLib.get_monotonic_time() < end, 'it did not happen');
        await sleep(2);
    }
}

export const here = name => GLib.Uri.resolve_relative(import.meta.url, name, GLib.UriFlags.NONE);

/** A pool that ends with its test. */
export function make(options = {}) {
    const pool = new Pool.Manager({module: here('tasks.js'), processes: 2, ...options});
    pools.push(pool);
    return pool;
}

async function cleanUp() {
    for (const pool of pools.splice(0)) {
        if (pool.state !== Pool.State.JOINED)
            pool.terminate();
        await pool.join();
    }
}

export async function run() {
    let failed = 0;
    print(`1..${tests.length}`);
    for (const [index, [title, func]] of tests.entries()) {
        let line = `ok ${index + 1} ${title}`;
        try {
            try {
                await func();
            } finally {
                await cleanUp();
            }
        } catch (error) {
            if (error instanceof Skip) {
                line += ` # SKIP ${error.message}`;
            } else {
                failed++;
                for (const text of `${error.name ?? 'Error'}: ${error.message}\n${error.stack}`.split('\n'))
                    print(`# ${text}`);
                line = `not ${line}`;
            }
        }
        print(line);
    }
    System.exit(failed === 0 ? 0 : 1);
}
