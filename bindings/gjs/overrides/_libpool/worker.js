// SPDX-License-Identifier: LGPL-2.1-or-later

// The program of workers: gjs -m worker.js ARGUMENT…, with what the pool, or the agent of one, adds.

import GLib from 'gi://GLib';
import Pool from 'gi://Pool?version=1';
import System from 'system';

const {decode, encode, Unsendable} = imports.overrides._libpool.encoding;
const {describe, fail} = imports.overrides._libpool.errors;
const {CALL, CHUNK, ITEM, START} = imports.overrides._libpool.names;
const running = imports.overrides._libpool.running;

const context = GLib.MainContext.default();

running.isWorker = true;

let url = null;
let module = null;
let importError = null;
let staticArgs = [];

/** Libpool calls from C and waits for the value; what a promise needs to settle runs meanwhile. */
function settle(promise) {
    let outcome = null;
    promise.then(value => (outcome = {value}), reason => (outcome = {reason}));
    while (outcome === null)
        context.iteration(true);
    if ('reason' in outcome)
        throw outcome.reason;
    return outcome.value;
}

function call(func, args) {
    const value = func(...args, ...staticArgs);
    return typeof value?.then === 'function' ? settle(Promise.resolve(value)) : value;
}

/** An error of one item is that item's; the others are run. */
function callAll(func, items, argumentsOf) {
    const values = [], failures = [];
    for (const item of items) {
        try {
            values.push(call(func, argumentsOf(item)));
        } catch (error) {
            failures.push([values.length, describe(error)]);
            values.push(null);
        }
    }
    return {values, failures};
}

function findFunction(name) {
    if (importError !== null)
        throw importError;
    const func = module?.[name];
    if (typeof func === 'function')
        return func;
    throw fail(Pool.Error.NO_SUCH_TASK, module === null
        ? `There is no function "${name}": the pool has no module`
        : `The module ${url} exports no function "${name}"`);
}

/** One bad value does not take the others of its chunk along. */
function encodeChunk({values, failures}) {
    try {
        return encode([true, values, failures]);
    } catch {
        const failed = new Set(failures.map(([index]) => index));
        values.forEach((value, index) => {
            try {
                encode(value);
            } catch (error) {
                if (!failed.has(index))
                    failures.push([index, describe(explainUnsendable(error))]);
                values[index] = null;
            }
        });
        failures.sort(([a], [b]) => a - b);
        return encode([true, values, failures]);
    }
}

function explainUnsendable(error) {
    return error instanceof Unsendable
        ? fail(Pool.Error.ENCODING, `The result of the task cannot be sent: ${error.message}`) : error;
}

function reply(data) {
    try {
        const [kind, name, argument] = decode(data);
        const func = findFunction(name);
        if (kind !== ITEM)
            return encodeChunk(callAll(func, argument, kind === CHUNK ? item => [item] : item => item));
        return encode([true, call(func, argument)]);
    } catch (error) {
        return encode([false, describe(explainUnsendable(error))]);
    }
}

function runCall(task, data) {
    running.task = task;
    task.reply(reply(data));
    running.task = null;
    return true;
}

function runInitializer(name, args) {
    try {
        call(findFunction(name), args);
    } catch (error) {
        const {name: kind = 'Error', message, stack} = describe(error);
        printerr(`The initializer ${name} threw ${kind}: ${message}\n${stack}`);
        throw fail(Pool.Error.REMOTE, `The initializer ${name} threw ${kind}: ${message}`);
    }
}

/** Libpool calls it in each worker before any task. */
function start(task, data) {
    const order = decode(data);
    staticArgs = order.staticArgs;
    url = order.module;
    try {
        if (url !== null)
            module = settle(import(url));
    } catch (error) {
        // each call says so, and the pool's named tasks run all the same
        importError = error;
    }
    if (order.initializer !== null && importError === null)
        runInitializer(order.initializer, order.initargs);
    return true;
}

function main(loop) {
    let status = 1;
    try {
        const manager = new Pool.native.Manager();
        manager.register_bytes(CALL, runCall);
        manager.register_bytes(START, start);
        status = manager.run_worker(System.programArgs);
    } catch (error) {
        printerr(`${System.programInvocationName}: ${error.message}`);
    }
    loop.quit();
    System.exit(status);
}

// not in a job of a promise: those of tasks would wait for its end
const loop = new GLib.MainLoop(null, false);
GLib.idle_add(GLib.PRIORITY_HIGH, () => main(loop));
loop.run();
