// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported Job, Manager */

// The pool as JavaScript sees it.

const {GLib, GObject, Pool} = imports.gi;
const {encode, Unsendable} = imports.overrides._libpool.encoding;
const {fail, restore} = imports.overrides._libpool.errors;
const {bytesOf, finished, makeOptions} = imports.overrides._libpool.job;
const {ResultIterator} = imports.overrides._libpool.iterator;
const {CALL, CHUNK, ITEM, STAR_CHUNK, START} = imports.overrides._libpool.names;
const {WorkQueue} = imports.overrides._libpool.queue;
const {Slices} = imports.overrides._libpool.slices;
const {fromVariant, toArguments, toVariant} = imports.overrides._libpool.values;
const native = Pool.native;

var {Job} = imports.overrides._libpool.job;

const HERE = GLib.path_get_dirname(imports.overrides._libpool.encoding.__file__);
const OWN_OPTIONS = [
    'module', 'initializer', 'initargs', 'staticArgs', 'startMethod', 'workerCommand', 'target', 'queueSize', 'ordered',
];
/** How often join() looks, in milliseconds: nothing tells when the last worker is gone. */
const JOIN_INTERVAL = 2;
/** More of them in one message would be a stall where they are encoded. */
const CHUNK_MAX = 1024;
const CHUNKS_EACH = 4;

/** Pools that were started and not ended: one that only a signal would wake is not for the garbage collector. */
const alive = new Set();

const camel = name => name.replace(/[-_]([a-z])/g, (_, letter) => letter.toUpperCase());
/** A dot is in the name of every task of a task module, and in no name of a function. */
const isNamedTask = name => name.includes('.');

function encodeCall(call) {
    try {
        return encode(call);
    } catch (error) {
        if (error instanceof Unsendable)
            throw fail(Pool.Error.ENCODING, `An argument cannot be sent: ${error.message}`);
        throw error;
    }
}

function checkName(name) {
    if (typeof name === 'function') {
        throw fail(Pool.Error.INVALID_ARGUMENT, 'A worker finds a function by its name in the pool\'s module: give ' +
            `the name${name.name ? `, "${name.name}"` : ''}, of an exported function`);
    }
    if (typeof name !== 'string' || name === '')
        throw fail(Pool.Error.INVALID_ARGUMENT, 'A task is the name of an exported function, or of a task of a task module');
}

function checkChunksize(size) {
    if (!Number.isInteger(size) || size < 0)
        throw fail(Pool.Error.INVALID_ARGUMENT, `A chunk has a number of items, not ${size}; 0: chosen by the pool`);
}

function checkModule(module, backend, startMethod) {
    if (!['spawn', 'auto'].includes(startMethod)) {
        throw fail(Pool.Error.INVALID_ARGUMENT, `Workers of JavaScript are not made by "${startMethod}": a child of a fork ` +
            'has no garbage collector, whose threads stay behind. The start method is "spawn"');
    }
    if (module === null)
        return null;
    if (backend === 'threads') {
        throw fail(Pool.Error.INVALID_ARGUMENT, 'Functions of JavaScript do not run in threads: take the backend "fork"');
    }
    if (/^[a-z]+:/.test(module))
        return module;
    throw fail(Pool.Error.INVALID_ARGUMENT, `A module is a URI, as import.meta.url is, not "${module}"`);
}

/** The program that runs this, where it is one that runs modules; else what is in PATH. */
function findInterpreter() {
    try {
        const program = GLib.file_read_link('/proc/self/exe');
        if (/^gjs(-console)?$/.test(GLib.path_get_basename(program)))
            return program;
    } catch {
        // no /proc
    }
    const program = GLib.find_program_in_path('gjs');
    if (program === null)
        throw fail(Pool.Error.BACKEND, 'There is no program "gjs" in PATH to run workers with');
    return program;
}

var Manager = class Manager {
    /**
     * @param {object} options `module`, `initializer`, `initargs`, `staticArgs`, `workerCommand`; for put() `target`, `queueSize`,
     *   `ordered`; and the properties of PoolManager by their names, as `processes` or `maxTasksPerChild`
     */
    constructor(options = {}) {
        const given = Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
        const own = {
            module: null, initializer: null, initargs: [], staticArgs: [], startMethod: 'spawn',
            target: null, queueSize: null, ordered: false,
        };
        const properties = {backend: 'fork', processes: Pool.cpu_count()};
        for (const [name, value] of Object.entries(given)) {
            if (value === undefined)
                continue;
            if (OWN_OPTIONS.includes(name))
                own[name] = value;
            else if (GObject.Object.find_property.call(native.Manager, kebab(name)) !== null)
                properties[name] = value;
            else
                throw fail(Pool.Error.INVALID_ARGUMENT, `There is no option "${name}" of a pool`);
        }
        own.module = checkModule(own.module, properties.backend, own.startMethod);
        if (own.target !== null)
            checkName(own.target);
        this._queue = new WorkQueue(this, own);

        this.native = new native.Manager(properties);
        this._isClosing = false;
        this._nHandingIn = 0; // maps
        this._hasLimits = Boolean(properties.timeout || properties.softTimeout);
        this._prepareWorkers(own, properties.backend);
    }

    _prepareWorkers(own, backend) {
        if (backend === 'threads')
            return;
        this.native.startMethod = Pool.StartMethod.SPAWN;
        this.native.workerCommand = own.workerCommand ??
            [findInterpreter(), '-I', GLib.path_get_dirname(GLib.path_get_dirname(HERE)), '-m', `${HERE}/worker.js`];
        const order = encodeCall({
            module: own.module,
            initializer: own.initializer,
            initargs: own.initargs,
            staticArgs: own.staticArgs,
        });
        // never run here: the names are what a pool accepts
        this.native.register_bytes(CALL, () => false);
        this.native.register_bytes(START, () => false);
        this.native.set_initializer(START, GLib.Variant.new_tuple([toVariant(order)]));
    }

    /** Starts the workers. The first call does so, too. */
    start() {
        this.native.start();
        alive.add(this);
    }

    _begin() {
        if (this.native.state === Pool.State.NEW)
            this.start();
    }

    _checkOpen() {
        if (this._isClosing)
            throw fail(Pool.Error.CLOSED, 'The pool was closed and takes no more tasks');
    }

    /** Takes no more tasks; those that there are, are done, also of maps that are still being handed in. */
    close() {
        this._isClosing = true;
        if (this._nHandingIn === 0)
            this._close();
        this._queue.update();
    }

    _close() {
        if (this.native.state === Pool.State.NEW)
            this.native.terminate();
        else
            this.native.close();
    }

    /** Ends the workers. What has not ended fails. */
    terminate() {
        this._isClosing = true;
        this.native.terminate();
        this._queue.update();
    }

    /** @returns {Promise} that all workers are gone, of a pool that was closed or terminated */
    async join() {
        for (;;) {
            try {
                if (this._nHandingIn > 0 && this._isClosing)
                    throw fail(Pool.Error.WAIT_TIMED_OUT, 'A map is still being handed in');
                this.native.join(0);
                alive.delete(this);
                return;
            } catch (error) {
                if (!error.matches?.(Pool.Error, Pool.Error.WAIT_TIMED_OUT))
                    throw error;
            }
            await new Promise(resolve => {
                GLib.timeout_add(GLib.PRIORITY_DEFAULT, JOIN_INTERVAL, () => {
                    resolve();
                    return GLib.SOURCE_REMOVE;
                });
            });
        }
    }

    grow(n) {
        this.native.grow(n);
    }

    shrink(n) {
        this.native.shrink(n);
    }

    terminateJob(pid, signum = 15) {
        this.native.terminate_job(pid, signum);
    }

    getWorkers() {
        return this.native.get_workers();
    }

    /** Connects to a signal of the pool; the first argument is this object. */
    connect(name, callback) {
        return this.native.connect(name, (_, ...args) => callback(this, ...args));
    }

    disconnect(id) {
        this.native.disconnect(id);
    }

    _submit(call, options, cancellable) {
        this._begin();
        return this.native.apply_bytes_async(CALL, encodeCall(call), options, cancellable, null);
    }

    /** A call that is ready to be submitted, by a function of its options and its cancellable. */
    _prepareCall(name, args) {
        if (isNamedTask(name)) {
            const variant = toArguments(args);
            return (options, cancellable) => {
                this._begin();
                return this.native.apply_async(name, variant, options, cancellable, null);
            };
        }
        const bytes = encodeCall([ITEM, name, args]);
        return (options, cancellable) => {
            this._begin();
            return this.native.apply_bytes_async(CALL, bytes, options, cancellable, null);
        };
    }

    /** What came of such a call; throws what the task threw. */
    _readValue(name, result) {
        return isNamedTask(name) ? fromVariant(result.get(0)) : bytesOf(result)[1];
    }

    /**
     * Runs a function in a worker.
     *
     * @param {string} name of an exported function of the pool's module, or of a task of a task module
     * @param {Array} args its arguments
     * @param {object} options `timeout`, `softTimeout` in seconds, `priority`, `maxRetries`, `correlationId`,
     *   `onAccept(worker, time)`, `onTimeout(soft, limit)`, `cancellable`
     * @returns {Job} a promise of what it returns
     */
    apply(name, args = [], options = {}) {
        return Job.run(async results => {
            checkName(name);
            this._checkOpen();
            const {cancellable = null} = options;
            const callOptions = makeOptions(options, ['cancellable']);
            const result = this._prepareCall(name, args)(callOptions, cancellable);
            results.push(result);
            return this._readValue(name, await finished(result));
        });
    }

    /**
     * Runs a function on each item; waits for all of them.
     *
     * @param {string} name as for apply()
     * @param {Iterable} items its argument in each call
     * @param {object} options as for apply(), and `chunksize`: items that travel together; `settled`: results are objects as
     *   Promise.allSettled() gives them
     * @returns {Job} a promise of the results, in the order of the items; or of the first item's error that failed,
     *   whose `index` says which
     */
    map(name, items, options = {}) {
        return this._map(name, items, options, false);
    }

    /** As map(); each item is a list of arguments. */
    starmap(name, items, options = {}) {
        return this._map(name, items, options, true);
    }

    _map(name, items, options, star) {
        return Job.run(async (results, state) => {
            checkName(name);
            this._checkOpen();
            const {cancellable = null, chunksize = 0, settled = false} = options;
            checkChunksize(chunksize);
            const callOptions = makeOptions(options, ['cancellable', 'chunksize', 'settled']);
            const list = Array.isArray(items) ? items : Array.from(items);
            const outcomes = isNamedTask(name)
                ? await this._mapNamed(results, name, list, {star, chunksize, callOptions, cancellable})
                : await this._mapChunks(results, state, name, list, {star, chunksize, callOptions, cancellable});
            return settled ? settle(outcomes) : unwrap(outcomes);
        });
    }

    /** Items that travel together: each of them has a time limit of its own. */
    _chooseChunksize(n, callOptions) {
        if (this._hasLimits || callOptions?.get_timeout() > 0 || callOptions?.get_soft_timeout() > 0)
            return 1;
        const share = Math.ceil(n / (CHUNKS_EACH * Math.max(this.native.processes, 1)));
        return Math.min(Math.max(share, 1), CHUNK_MAX);
    }

    async _mapChunks(results, state, name, list, {star, chunksize, callOptions, cancellable}) {
        const slices = new Slices();
        const size = chunksize || this._chooseChunksize(list.length, callOptions);
        const waits = [];
        this._nHandingIn++;
        try {
            for (let start = 0; start < list.length; start += size) {
                if (slices.isOver)
                    await slices.pause();
                if (state.isCancelled)
                    break;
                const chunk = list.slice(start, start + size);
                const result = this._submit([star ? STAR_CHUNK : CHUNK, name, chunk], callOptions, cancellable);
                results.push(result);
                waits.push(finished(result));
            }
        } catch (error) {
            results.forEach(result => result.cancel());
            throw error;
        } finally {
            if (--this._nHandingIn === 0 && this._isClosing)
                this._close();
        }

        const values = [], failures = [];
        for (const wait of waits) {
            const result = await wait;
            if (slices.isOver)
                await slices.pause();
            const start = values.length;
            const n = Math.min(size, list.length - start);
            readChunk(result, n, values, (index, error) => failures.push([start + index, error]));
        }
        if (values.length < list.length)
            failures.push([values.length, fail(Pool.Error.CANCELLED, 'The map was cancelled')]);
        return {values, failures};
    }

    async _mapNamed(results, name, list, {star, chunksize, callOptions, cancellable}) {
        if (callOptions !== null) {
            throw fail(Pool.Error.INVALID_ARGUMENT,
                `A map of the named task ${name} has no options of its own but cancellable and chunksize`);
        }
        this._begin();
        const items = new GLib.Variant('av', list.map(item => star ? toArguments(item) : toVariant(item)));
        const result = this.native[star ? 'starmap_async' : 'map_async'](name, items, chunksize, cancellable, null);
        results.push(result);
        await finished(result);

        const values = [], failures = [], slices = new Slices();
        for (let i = 0; i < list.length; i++) {
            if (slices.isOver)
                await slices.pause();
            try {
                values.push(fromVariant(result.get_item(i)));
            } catch (error) {
                failures.push([i, error]);
                values.push(null);
            }
        }
        return {values, failures};
    }

    /**
     * Runs a function on each item, with results in the order of the items as they come. Items are taken only as fast as
     * results are.
     *
     * @param {string} name as for apply()
     * @param {Iterable|AsyncIterable} items its argument in each call
     * @param {object} options as for map(), `chunksize` is 1; and `ahead`: how many chunks may be on their way
     * @returns {AsyncIterator} an error of one item does not end it
     */
    imap(name, items, options = {}) {
        return new ResultIterator(this, name, items, options, {star: false, ordered: true});
    }

    /** As imap(), with results in whatever order they come. */
    imapUnordered(name, items, options = {}) {
        return new ResultIterator(this, name, items, options, {star: false, ordered: false});
    }

    /** As imap(); each item is a list of arguments. */
    istarmap(name, items, options = {}) {
        return new ResultIterator(this, name, items, options, {star: true, ordered: true});
    }

    /** As imapUnordered(); each item is a list of arguments. */
    istarmapUnordered(name, items, options = {}) {
        return new ResultIterator(this, name, items, options, {star: true, ordered: false});
    }

    /**
     * Puts an item for the pool's target into the queue, when there is room for it.
     *
     * @param {*} item a list of arguments, or the only one
     * @param {object} options `timeout`: seconds to wait for room; 0: not at all
     * @returns {Promise} that it was put; or QUEUE_FULL, CLOSED, ENCODING
     */
    put(item, options = {}) {
        return this._queue.put(item, options);
    }

    /**
     * Puts items as there is room for them. Once in the life of a pool.
     *
     * @param {Iterable|AsyncIterable} items as for put()
     * @returns {Promise} how many were put, when all are, or the pool was closed
     */
    putAsync(items) {
        return this._queue.putAsync(items);
    }

    /**
     * Takes a result: with `ordered` that of the next item, else of any that has ended.
     *
     * @param {object} options `timeout`: seconds to wait; 0: not at all
     * @returns {Promise} the value; or what the task threw, QUEUE_EMPTY, NOTHING_PUT, WORKERS_GONE
     */
    get(options = {}) {
        return this._queue.get(options);
    }

    /** @returns {Promise} all results of what was put, in that order; or the error of an item, which then is taken alone */
    getAll() {
        return this._queue.getAll();
    }

    /**
     * Takes results one by one until everything that was put has been taken.
     *
     * @param {object} options `settled`: results are objects as Promise.allSettled() gives them
     * @returns {AsyncIterator} as get()
     */
    results(options = {}) {
        return this._queue.results(options);
    }

    /** Takes out of the queue what no worker has started; the results of those items do not come. Returns how many they are. */
    clearTasks() {
        return this._queue.clear();
    }

    /** Is any worker alive? The answer is remembered for five seconds. */
    isAlive() {
        return this.native.is_alive();
    }

    toString() {
        const state = Object.keys(Pool.State).find(name => Pool.State[name] === this.state) ?? '?';
        return `[Pool.Manager ${this.native.backend}, ${state}, ${this.nWorkers} workers]`;
    }
};

function kebab(name) {
    return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
}

for (const name of [
    'state', 'nWorkers', 'nPending', 'nRunning', 'nDone', 'nFailed', 'nRetried', 'nRestarts', 'processes', 'backend',
])
    Object.defineProperty(Manager.prototype, name, {get() {
        return this.native[name];
    }});

function settle({values, failures}) {
    const settled = values.map(value => ({status: 'fulfilled', value}));
    for (const [index, reason] of failures)
        settled[index] = {status: 'rejected', reason};
    return settled;
}

function unwrap({values, failures}) {
    if (failures.length === 0)
        return values;
    const [index, error] = failures[0];
    if (typeof error === 'object' && error !== null)
        Object.defineProperty(error, 'index', {value: index, configurable: true});
    throw error;
}

/** Adds the n values of a chunk; `onFailure(index, error)` for those that failed. */
function readChunk(result, n, values, onFailure) {
    try {
        const [, chunk, failures] = bytesOf(result);
        for (const value of chunk)
            values.push(value);
        for (const [index, described] of failures)
            onFailure(index, restore(described));
    } catch (error) {
        for (let i = 0; i < n; i++) {
            values.push(null);
            onFailure(i, error);
        }
    }
}
