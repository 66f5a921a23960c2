// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported describe, restore, fail */

// Errors on their way from a worker to the program.

const {GLib, Pool} = imports.gi;
const {encode} = imports.overrides._libpool.encoding;

/** A GLib.Error of the pool's domain. */
function fail(code, message) {
    return new GLib.Error(Pool.Error, code, message);
}

/** What is said of an error beside its message: `code`, `path`, … as long as it can be sent. */
function describeDetails(error) {
    const details = {};
    for (const [key, value] of Object.entries(error)) {
        try {
            encode(value);
            details[key] = value;
        } catch {
            // it stays there
        }
    }
    return details;
}

/**
 * @param {*} thrown what a task threw, or a promise was rejected with: anything
 * @returns {object} a plain object that can be sent
 */
function describe(thrown) {
    if (thrown instanceof GLib.Error) {
        return {
            domain: GLib.quark_to_string(thrown.domain),
            code: thrown.code,
            message: thrown.message,
            stack: String(thrown.stack ?? ''),
        };
    }
    if (thrown instanceof Error) {
        const described = {
            name: String(thrown.name),
            message: String(thrown.message),
            stack: String(thrown.stack ?? ''),
            details: describeDetails(thrown),
        };
        // where it does not parse is in no stack
        if (thrown instanceof SyntaxError)
            Object.assign(described.details, {fileName: thrown.fileName, lineNumber: thrown.lineNumber});
        if (thrown.cause !== undefined && thrown.cause !== thrown)
            described.cause = describe(thrown.cause);
        return described;
    }
    try {
        encode(thrown);
        return {thrown};
    } catch {
        return {name: 'Error', message: `the task threw ${String(thrown)}`, stack: '', details: {}};
    }
}

function restoreJSError(described) {
    const Class = globalThis[described.name];
    const isKnown = typeof Class === 'function' && Class.prototype instanceof Error && Class !== AggregateError;
    const error = isKnown ? new Class(described.message) : new Error(described.message);
    if (error.name !== described.name)
        Object.defineProperty(error, 'name', {value: described.name, writable: true, configurable: true});
    Object.assign(error, described.details);
    if (described.cause !== undefined)
        error.cause = restore(described.cause);
    return error;
}

/**
 * @param {object} described what describe() gave
 * @returns {*} what is thrown in the program: its stack is the worker's
 */
function restore(described) {
    if ('thrown' in described)
        return described.thrown;
    const error = 'domain' in described
        ? new GLib.Error(GLib.quark_from_string(described.domain), described.code, described.message)
        : restoreJSError(described);
    Object.defineProperty(error, 'stack', {value: described.stack, writable: true, configurable: true});
    return error;
}
