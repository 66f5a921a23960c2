// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported isWorker, task */

/** The call that runs in this worker; null outside of one. */
var task = null;

/** Whether this is a worker's interpreter. */
var isWorker = false;
