// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported CALL, START, ITEM, CHUNK, STAR_CHUNK */

// What the program and its workers call things.

/** The task functions of workers, as libpool knows them. */
var CALL = 'javascript';
var START = 'javascript-start';

/** Kinds of calls: a list of arguments; items, each of which is the argument; items, each of which is a list of arguments. */
var ITEM = 0;
var CHUNK = 1;
var STAR_CHUNK = 2;
