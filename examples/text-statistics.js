#!/usr/bin/gjs -m
// SPDX-License-Identifier: LGPL-2.1-or-later
//
//   $ gjs -m text-statistics.js ../LICENSE

// Counts the words of files, with results as they come; a file that takes longer than 30 s is given up.
//
//     text-statistics.js [--check] FILE...
//
// With --check everything is counted once more without a pool, and the exit status tells whether both agree.

import GLib from 'gi://GLib';
import Pool from 'gi://Pool?version=1';
import System from 'system';

function read(path) {
    try {
        return GLib.file_get_contents(path)[1];
    } catch (error) {
        throw new Error(`${path}: ${error.message.split(': ').pop()}`);
    }
}

export function count(path) {
    const data = read(path);
    const counts = new Map();
    for (const [word] of new TextDecoder().decode(data).toLowerCase().matchAll(/[a-z]+/g))
        counts.set(word, (counts.get(word) ?? 0) + 1);
    return [path, counts];
}

/** Counts by path, and errors. */
async function countAll(paths) {
    const counts = new Map(), failures = [];
    const pool = new Pool.Manager({module: import.meta.url, timeout: 30});
    try {
        for await (const {status, value, reason} of pool.imapUnordered('count', paths, {settled: true})) {
            if (status === 'fulfilled')
                counts.set(...value);
            else
                failures.push(reason);
        }
    } finally {
        pool.terminate();
        await pool.join();
    }
    return {counts, failures};
}

const sum = words => [...words.values()].reduce((total, n) => total + n, 0);
const row = (words, distinct, name) => print(`${String(words).padStart(8)}${String(distinct).padStart(10)}  ${name}`);

function show(counts, failures) {
    const total = new Map();
    row('words', 'distinct', 'file');
    for (const [path, words] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) {
        row(sum(words), words.size, path);
        for (const [word, n] of words)
            total.set(word, (total.get(word) ?? 0) + n);
    }
    row(sum(total), total.size, 'in all');
    const frequent = [...total].sort(([, a], [, b]) => b - a).slice(0, 3);
    print(`most frequent: ${frequent.map(([word, n]) => `${word} ${n}`).join(', ')}`);
    for (const error of failures)
        print(`failed: ${error.message}`);
}

const asText = words => JSON.stringify([...words]);

async function main(words) {
    const paths = words.filter(word => word !== '--check');
    if (paths.length === 0) {
        printerr('usage: text-statistics.js [--check] FILE...');
        return 2;
    }
    const {counts, failures} = await countAll(paths);
    if (paths.length === words.length) {
        show(counts, failures);
        return 0;
    }
    const isSame = [...counts].every(([path, found]) => asText(count(path)[1]) === asText(found));
    print(isSame ? 'the same as without a pool' : 'not the same as without a pool');
    return isSame && failures.length === 0 ? 0 : 1;
}

// workers import this file, too
if (!Pool.isWorker)
    System.exit(await main(System.programArgs));
