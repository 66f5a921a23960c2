// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported ResultIterator */

// imap and its relatives: a bounded number of calls is on its way, and more is taken as results are.

const {Pool} = imports.gi;
const {fail, restore} = imports.overrides._libpool.errors;
const {bytesOf, finished, makeOptions} = imports.overrides._libpool.job;
const {CHUNK, STAR_CHUNK} = imports.overrides._libpool.names;
const {Slices} = imports.overrides._libpool.slices;
const {fromVariant} = imports.overrides._libpool.values;

const OWN = ['cancellable', 'chunksize', 'settled', 'ahead'];
const AHEAD_EACH = 4;

var ResultIterator = class ResultIterator {
    constructor(pool, name, items, options, {star, ordered}) {
        if (typeof name !== 'string' || name === '')
            throw fail(Pool.Error.INVALID_ARGUMENT, 'A task is the name of a function, which the pool\'s module exports');
        const {chunksize = 1, ahead = AHEAD_EACH * pool.processes, cancellable = null, settled = false} = options;
        for (const [what, number] of Object.entries({chunksize, ahead})) {
            if (!Number.isInteger(number) || number < 1)
                throw fail(Pool.Error.INVALID_ARGUMENT, `${what} is 1 or more, not ${number}`);
        }
        pool._checkOpen();
        this.isNamed = name.includes('.');
        if (this.isNamed && chunksize !== 1)
            throw fail(Pool.Error.INVALID_ARGUMENT, `Items of the named task ${name} travel one by one: chunksize is 1`);
        Object.assign(this, {pool, name, star, ordered, chunksize, ahead, cancellable, settled});
        this.callOptions = makeOptions(options, OWN);
        this.source = items[Symbol.asyncIterator]?.() ?? items[Symbol.iterator]();
        this.calls = new Map(); // on their way, by number, in the order of the items
        this.n = 0;
        this.outcomes = []; // taken from the pool, not yet given out
        this.slices = new Slices();
        this.isExhausted = false;
        this.sourceError = null;
        this.turn = Promise.resolve();
        this.nWaiting = 0; // calls of next()
    }

    [Symbol.asyncIterator]() {
        return this;
    }

    /** Calls one after the other, also where they are not awaited. */
    next() {
        // what is there is given at once: a promise more for each item is what would take the time
        if (this.nWaiting === 0 && this.outcomes.length > 0 && !this.slices.isOver)
            return this._give();
        this.nWaiting++;
        const turn = this.turn.then(() => this._next()).finally(() => this.nWaiting--);
        this.turn = turn.catch(() => {});
        return turn;
    }

    /** The loop was left: what is on its way is cancelled. */
    async return(value) {
        this.isExhausted = true;
        this.outcomes = [];
        for (const {result} of this.calls.values())
            result.cancel();
        this.calls.clear();
        await this.source.return?.();
        return {done: true, value};
    }

    async _next() {
        await this._feed();
        while (this.outcomes.length === 0) {
            if (this.calls.size === 0)
                return this._end();
            await this._collect();
            await this._feed();
        }
        if (this.slices.isOver)
            await this.slices.pause();
        return this._give();
    }

    _give() {
        const outcome = this.outcomes.shift();
        if (this.settled)
            return Promise.resolve({done: false, value: outcome});
        return outcome.status === 'rejected' ? Promise.reject(outcome.reason)
            : Promise.resolve({done: false, value: outcome.value});
    }

    _end() {
        const error = this.sourceError;
        this.sourceError = null;
        if (error !== null)
            throw error;
        return {done: true, value: undefined};
    }

    async _feed() {
        while (!this.isExhausted && this.calls.size < this.ahead) {
            const items = await this._takeItems();
            if (items.length > 0)
                this._submit(items);
            if (this.slices.isOver)
                await this.slices.pause();
        }
    }

    /** An error of the source comes after the results of what it gave. */
    async _takeItems() {
        const items = [];
        try {
            while (items.length < this.chunksize) {
                let step = this.source.next();
                if (typeof step.then === 'function')
                    step = await step;
                if (step.done) {
                    this.isExhausted = true;
                    break;
                }
                items.push(step.value);
            }
        } catch (error) {
            this.isExhausted = true;
            this.sourceError = error;
        }
        return items;
    }

    _submit(items) {
        const number = this.n++;
        let result = null, done;
        try {
            const {name, callOptions, cancellable, star} = this;
            result = this.isNamed
                ? this.pool._prepareCall(name, star ? items[0] : items)(callOptions, cancellable)
                : this.pool._submit([star ? STAR_CHUNK : CHUNK, name, items], callOptions, cancellable);
            done = finished(result);
        } catch (error) {
            result = {cancel() {}, error};
            done = Promise.resolve(result);
        }
        this.calls.set(number, {result, n: items.length, done: done.then(() => number)});
    }

    /** Waits for the first call, or for any. */
    async _collect() {
        const calls = [...this.calls.values()];
        const number = await (this.ordered ? calls[0].done : Promise.race(calls.map(({done}) => done)));
        const call = this.calls.get(number);
        if (call === undefined)
            return; // return() was called
        this.calls.delete(number);
        this._read(call);
    }

    _read({result, n}) {
        try {
            if (result.error)
                throw result.error;
            if (this.isNamed) {
                this.outcomes.push({status: 'fulfilled', value: fromVariant(result.get(0))});
                return;
            }
            const [, values, failures] = bytesOf(result);
            const outcomes = values.map(value => ({status: 'fulfilled', value}));
            for (const [index, described] of failures)
                outcomes[index] = {status: 'rejected', reason: restore(described)};
            this.outcomes.push(...outcomes);
        } catch (reason) {
            for (let i = 0; i < n; i++)
                this.outcomes.push({status: 'rejected', reason});
        }
    }
};
