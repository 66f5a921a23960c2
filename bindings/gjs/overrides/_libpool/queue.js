// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported WorkQueue */

// put() and get(): the pool as a work queue with one target and a bounded number of items on their way. Nothing here waits but by promises.

const {GLib, Pool} = imports.gi;
const {fail} = imports.overrides._libpool.errors;
const {finished} = imports.overrides._libpool.job;

const NOTHING = Symbol('nothing is to come');

/** Seconds that a call may wait; null: as long as it takes. What else is in the options is refused. */
function timeoutOf(options) {
    for (const name of Object.keys(options)) {
        if (name !== 'timeout')
            throw fail(Pool.Error.INVALID_ARGUMENT, `There is no option "${name}" of put() or get(), only "timeout"`);
    }
    const {timeout = null} = options;
    if (timeout === null || Number.isFinite(timeout) && timeout >= 0)
        return timeout;
    throw fail(Pool.Error.INVALID_ARGUMENT, `A timeout is a number of seconds, not ${timeout}`);
}

/** Who waits for the same thing, the first first. */
class Line {
    constructor() {
        this.waiters = [];
    }

    /**
     * @param {Function} attempt what it comes to, in an object; null: not yet. What it throws is thrown
     * @param {?number} timeout seconds
     * @param {Function} explain makes the error if that is over
     * @returns {Promise} what it came to
     */
    wait(attempt, timeout, explain) {
        return new Promise((resolve, reject) => {
            const waiter = {attempt, resolve, reject, source: 0};
            this.waiters.push(waiter);
            this.serve();
            if (timeout === null || !this.waiters.includes(waiter))
                return;
            const giveUp = () => {
                this.waiters.splice(this.waiters.indexOf(waiter), 1);
                waiter.source = 0;
                reject(explain());
                return GLib.SOURCE_REMOVE;
            };
            if (timeout === 0)
                giveUp();
            else
                waiter.source = GLib.timeout_add(GLib.PRIORITY_DEFAULT, Math.ceil(timeout * 1000), giveUp);
        });
    }

    /** Something has changed. */
    serve() {
        while (this.waiters.length > 0) {
            const [waiter] = this.waiters;
            let outcome = null, error = null;
            try {
                outcome = waiter.attempt();
                if (outcome === null)
                    return;
            } catch (reason) {
                error = {reason};
            }
            this.waiters.shift();
            if (waiter.source !== 0)
                GLib.source_remove(waiter.source);
            if (error === null)
                waiter.resolve(outcome.value);
            else
                waiter.reject(error.reason);
        }
    }
}

var WorkQueue = class WorkQueue {
    constructor(pool, {target, queueSize, ordered}) {
        if (queueSize !== null && !(Number.isInteger(queueSize) && queueSize > 0))
            throw fail(Pool.Error.INVALID_ARGUMENT, `A queue has room for 1 item or more, not ${queueSize}`);
        this.pool = pool;
        this.target = target;
        this.queueSize = queueSize;
        this.ordered = Boolean(ordered);
        this.items = new Set(); // that were put and not taken, in their order
        this.ended = new Set(); // of those, in the order in which they did
        this.putters = new Line();
        this.getters = new Line();
        this.isFed = this.isFeeding = false;
    }

    /** The pool's state has changed. */
    update() {
        this.putters.serve();
        this.getters.serve();
    }

    get hasRoom() {
        const {processes} = this.pool.native;
        return this.items.size - this.ended.size < (this.queueSize ?? 2 * processes) + processes;
    }

    /** Are items on their way into the queue? */
    get isGrowing() {
        return this.putters.waiters.length > 0 || this.isFeeding && !this.pool._isClosing;
    }

    async put(item, options) {
        const timeout = timeoutOf(options);
        if (this.target === null)
            throw fail(Pool.Error.NO_SUCH_TASK, 'The pool has no target to put items for: give it one when it is made');
        // encoded now: what becomes of the item later is not meant
        const submit = this.pool._prepareCall(this.target, Array.isArray(item) ? item : [item]);
        await this.putters.wait(() => {
            this.pool._checkOpen();
            if (!this.hasRoom)
                return null;
            this._add(submit(null, null));
            return {};
        }, timeout, () => fail(Pool.Error.QUEUE_FULL, `The queue is full: ${this.items.size - this.ended.size} items wait`));
    }

    _add(result) {
        const item = {result, outcome: null, isUnwanted: false};
        this.items.add(item);
        finished(result).then(() => this._end(item));
    }

    _end(item) {
        if (!this.items.has(item))
            return; // it was cleared
        item.outcome = this._read(item.result);
        if (item.isUnwanted && item.outcome.reason?.matches?.(Pool.Error, Pool.Error.CANCELLED))
            this.items.delete(item);
        else
            this.ended.add(item);
        this.update();
    }

    _read(result) {
        try {
            return {value: this.pool._readValue(this.target, result)};
        } catch (error) {
            const isGone = error instanceof GLib.Error && (error.matches(Pool.Error, Pool.Error.RESTART_FREQ) ||
                error.matches(Pool.Error, Pool.Error.TERMINATED) && this.pool.state > Pool.State.CLOSE);
            return {reason: isGone ? fail(Pool.Error.WORKERS_GONE, error.message) : error, failed: true};
        }
    }

    async putAsync(items) {
        if (this.isFed)
            throw fail(Pool.Error.STATE, 'putAsync() can be called once in the life of a pool');
        this.pool._checkOpen();
        this.isFed = this.isFeeding = true;
        let n = 0;
        try {
            for await (const item of items) {
                await this.put(item, {});
                n++;
            }
        } catch (error) {
            if (!this.pool._isClosing || !error.matches?.(Pool.Error, Pool.Error.CLOSED))
                throw error;
        } finally {
            this.isFeeding = false;
            this.update();
        }
        return n;
    }

    _takeNext() {
        const [first] = this.ordered ? this.items : this.ended;
        if (first === undefined)
            return this.items.size > 0 || this.isGrowing ? null : {value: NOTHING};
        return first.outcome === null ? null : {value: this._take(first)};
    }

    _take(item) {
        this.items.delete(item);
        this.ended.delete(item);
        if (item.outcome.failed)
            throw item.outcome.reason;
        return item.outcome.value;
    }

    async get(options) {
        const timeout = timeoutOf(options);
        const value = await this.getters.wait(() => this._takeNext(), timeout,
            () => fail(Pool.Error.QUEUE_EMPTY, 'No result is ready'));
        if (value !== NOTHING)
            return value;
        throw this.pool.state === Pool.State.NEW
            ? fail(Pool.Error.NOT_STARTED, 'The pool has not been started')
            : fail(Pool.Error.NOTHING_PUT, 'There is nothing to get: every result has been taken or was cleared');
    }

    getAll() {
        return this.getters.wait(() => {
            if (this.items.size > this.ended.size || this.isGrowing)
                return null;
            const all = [...this.items];
            const failed = all.find(item => item.outcome.failed);
            return {value: failed !== undefined ? this._take(failed) : all.map(item => this._take(item))};
        }, null, null);
    }

    async *results({settled = false} = {}) {
        for (;;) {
            let outcome;
            try {
                const value = await this.getters.wait(() => this._takeNext(), null, null);
                if (value === NOTHING)
                    return;
                outcome = {status: 'fulfilled', value};
            } catch (reason) {
                if (!settled)
                    throw reason;
                outcome = {status: 'rejected', reason};
            }
            yield settled ? outcome : outcome.value;
        }
    }

    clear() {
        let n = 0;
        for (const item of this.items) {
            if (item.outcome !== null || item.isUnwanted)
                continue;
            if (item.result.cancel_queued()) {
                this.items.delete(item);
                n++;
            } else {
                item.isUnwanted = true;
            }
        }
        this.update();
        return n;
    }
};
