// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported Slices */

// Long work in short slices, so that the main loop goes on: a frame is drawn, a key is heard.

const {GLib} = imports.gi;

const SLICE = 4000; // µs
/** After what draws, which GTK does at 120, and before what is idle. */
const PRIORITY = 150;

var Slices = class {
    constructor() {
        this.end = GLib.get_monotonic_time() + SLICE;
    }

    get isOver() {
        return GLib.get_monotonic_time() >= this.end;
    }

    /** Lets the main loop have its turn. */
    async pause() {
        await new Promise(resolve => {
            GLib.idle_add(PRIORITY, () => {
                resolve();
                return GLib.SOURCE_REMOVE;
            });
        });
        this.end = GLib.get_monotonic_time() + SLICE;
    }
};
