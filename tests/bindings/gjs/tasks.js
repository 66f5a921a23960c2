// SPDX-License-Identifier: LGPL-2.1-or-later

// What the tests have workers do.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import Pool from 'gi://Pool?version=1';

let prepared = null;

export const constant = 42;

export function square(x) {
    return x * x;
}

export function join(...args) {
    return args.join('-');
}

export function identity(value) {
    return value;
}

export function kindOf(value) {
    return value?.constructor?.name ?? String(value);
}

export function prepare(...args) {
    prepared = args;
}

export function getPrepared() {
    return prepared;
}

export function refuse() {
    throw new RangeError('not today');
}

export function fail(message) {
    const error = new RangeError(message, {cause: new Error('deeper')});
    error.path = '/somewhere';
    throw error;
}

export function failWith(value) {
    throw value;
}

export function failForOdd(x) {
    if (x % 2)
        throw new RangeError(`${x} is odd`);
    return x;
}

export class Strange extends Error {
    get name() {
        return 'Strange';
    }
}

export function failStrangely() {
    throw new Strange('a class that the program has not');
}

export function failInGio() {
    Gio.File.new_for_path('/no/such/file').load_contents(null);
}

export async function later(x) {
    await sleep(20);
    return x + 1;
}

export async function rejectLater() {
    await sleep(5);
    throw new TypeError('rejected');
}

export function sleep(ms) {
    return new Promise(resolve => {
        GLib.timeout_add(GLib.PRIORITY_DEFAULT, ms, () => {
            resolve(ms);
            return GLib.SOURCE_REMOVE;
        });
    });
}

export function spin() {
    for (;;)
        ;
}

export function spinUntilTold() {
    while (!Pool.currentTask().is_soft_timed_out())
        ;
    return 'told';
}

export function unsendable() {
    return () => 1;
}

export function unsendableForOdd(x) {
    return x % 2 ? Symbol('odd') : x;
}

export function getVariable(name) {
    return GLib.getenv(name);
}

export function getPid() {
    return Number(GLib.file_read_link('/proc/self'));
}

export function die() {
    new Gio.Subprocess({argv: ['/bin/kill', '-KILL', String(getPid())]}).init(null);
    spin();
}

export function dieAtFirst() {
    if (Pool.currentTask().get_attempt() === 1)
        die();
    return Pool.currentTask().get_attempt();
}

export async function report() {
    Pool.currentTask().set_progress(0.5);
    await sleep(300);
    return Pool.currentTask().get_worker();
}

export function total(array) {
    return array.reduce((sum, x) => sum + x, 0);
}

export function makeFloats(n) {
    return new Float64Array(n).fill(0.5);
}
