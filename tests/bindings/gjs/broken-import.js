// SPDX-License-Identifier: LGPL-2.1-or-later

export function square(x) {
    return x * x;
}

throw new RangeError('not this module');
