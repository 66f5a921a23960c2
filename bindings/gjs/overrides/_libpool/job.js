// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported Job, bytesOf, finished, makeOptions */

// A call, or a map of calls, on its way.

const {Pool} = imports.gi;
const {decode} = imports.overrides._libpool.encoding;
const {fail, restore} = imports.overrides._libpool.errors;

/** Names of per-call options, and how they are set. */
const OPTIONS = {
    timeout: (options, value) => options.set_timeout(value),
    softTimeout: (options, value) => options.set_soft_timeout(value),
    priority: (options, value) => options.set_priority(value),
    maxRetries: (options, value) => options.set_max_retries(value),
    correlationId: (options, value) => options.set_correlation_id(value),
    onAccept: (options, func) => options.set_accept_callback((result, worker, time) => func(worker, time)),
    onTimeout: (options, func) => options.set_timeout_callback(
        (result, soft, limit) => func(soft, Math.round(limit * 1e6) / 1e6)),
};

/** PoolCallOptions of an object; null if there are none. What is none of `others` is refused. */
function makeOptions(given, others) {
    let options = null;
    for (const [name, value] of Object.entries(given)) {
        if (others.includes(name) || value === undefined)
            continue;
        if (!(name in OPTIONS))
            throw fail(Pool.Error.INVALID_ARGUMENT, `There is no option "${name}" of a call`);
        options ??= Pool.CallOptions.new();
        OPTIONS[name](options, value);
    }
    return options;
}

/** Resolves when a result is ready, well or badly. */
function finished(result) {
    return new Promise(resolve => {
        result.wait_async(null, () => resolve(result));
    });
}

/** What a worker replied: [true, value] or [true, values, failures]. Throws what the task threw. */
function bytesOf(result) {
    const reply = decode(result.get_bytes(0).toArray());
    if (!reply[0])
        throw restore(reply[1]);
    return reply;
}

/** A promise that knows the calls behind it. */
var Job = class Job extends Promise {
    /** then() and its like give plain promises. */
    static get [Symbol.species]() {
        return Promise;
    }

    /** @param {Function} run async; is given the job's list of results to add to */
    static run(run) {
        const results = [];
        const state = {isCancelled: false};
        const job = new Job((resolve, reject) => run(results, state).then(resolve, reject));
        job.results = results;
        job.state = state;
        return job;
    }

    /** Cancels what has not been started, and tells the tasks that run. */
    cancel() {
        this.state.isCancelled = true;
        for (const result of this.results)
            result.cancel();
    }

    /** Ends the tasks that run; their workers are replaced. */
    terminate(signum = 15) {
        this.state.isCancelled = true;
        for (const result of this.results)
            result.terminate(signum);
    }

    get nCalls() {
        return this.results.length;
    }

    get nDone() {
        return this.results.filter(result => result.ready()).length;
    }

    /** From 0 to 1, as the tasks say. */
    get progress() {
        const {results} = this;
        return results.length === 0 ? 0
            : results.reduce((sum, result) => sum + (result.ready() ? 1 : result.get_progress()), 0) / results.length;
    }

    /** Of a single call: how often it was started, and the number of the worker that did it last. */
    get attempts() {
        return this.results[0]?.get_attempts() ?? 0;
    }

    get worker() {
        return this.results[0]?.get_worker() ?? 0;
    }
};
