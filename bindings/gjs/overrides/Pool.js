// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported _init */

// The override that GJS loads for gi://Pool: promises, async iterators, plain values.

const {Gio} = imports.gi;

const ASYNC = {
    Manager: ['apply', 'apply_bytes', 'apply_block', 'map', 'starmap', 'map_packed'],
    AsyncResult: ['wait'],
    ResultIterator: ['next'],
    Stream: ['wait'],
};

function _init() {
    const Pool = this;
    const native = {};

    for (const [name, methods] of Object.entries(ASYNC)) {
        native[name] = Pool[name];
        for (const method of methods)
            Gio._promisify(Pool[name].prototype, `${method}_async`, `${method}_finish`);
    }
    Pool.native = native;

    const {Job, Manager} = imports.overrides._libpool.manager;
    const running = imports.overrides._libpool.running;
    Pool.Manager = Manager;
    Pool.Job = Job;
    Pool.currentTask = () => running.task;
    Object.defineProperty(Pool, 'isWorker', {get: () => running.isWorker});
}
