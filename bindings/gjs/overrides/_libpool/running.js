// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported task */

/** The call that runs in this worker; null outside of one. */
var task = null;
