// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported encode, decode, Unsendable */

// Values as bytes. A letter says how to read what follows:
//
//   J  JSON, as it is
//   T  JSON with tags: {"$pool": [KIND, …]} stands for what JSON has not
//   B  seven bytes of padding, the length of such a JSON (32 bits, little-endian), four more bytes, the JSON,
//      and buffers that the tags refer to, each aligned to 8 bytes for a view on it
//
// JSON.stringify() leaves out or alters what it has no words for, so values are looked at first.

const {GLib} = imports.gi;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const TAG = '$pool';
const HEAD = 16;
/** Only a value that is deeper than that is checked for cycles: looking is not free, and a cycle has no end. */
const DEPTH_UNCHECKED = 64;
const DEPTH_MAX = 1000;

const VIEWS = Object.fromEntries([
    Uint8Array, Uint8ClampedArray, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array, DataView,
].map(view => [view.name, view]));

/** A value that has no bytes. */
var Unsendable = class extends TypeError {
    get name() {
        return 'Unsendable';
    }
};

function describe(value) {
    if (typeof value === 'function')
        return value.name ? `the function ${value.name}` : 'a function';
    if (typeof value === 'symbol')
        return String(value);
    return `an object of the class ${value.constructor?.name ?? '?'}`;
}

const align = size => (size + 7) & ~7;

/** Makes a value one that JSON can do; what has to be changed is copied, everything else is used as it is. */
class Packer {
    constructor() {
        this.tagged = false;
        this.buffers = [];
        this.size = 0;
        this.ancestors = [];
    }

    pack(value, depth) {
        switch (typeof value) {
        case 'string':
        case 'boolean':
            return value;
        case 'number':
            return Number.isFinite(value) && !Object.is(value, -0) ? value
                : this.tag('number', Object.is(value, -0) ? '-0' : String(value));
        case 'undefined':
            return this.tag('undefined');
        case 'bigint':
            return this.tag('bigint', String(value));
        case 'object':
            return value === null ? null : this.packObject(value, depth + 1);
        default:
            throw new Unsendable(`${describe(value)} cannot be sent`);
        }
    }

    packObject(value, depth) {
        if (depth <= DEPTH_UNCHECKED)
            return this.packMembers(value, depth);
        if (this.ancestors.includes(value))
            throw new Unsendable('a value that contains itself cannot be sent');
        if (depth > DEPTH_MAX)
            throw new Unsendable(`a value that is nested more than ${DEPTH_MAX} deep cannot be sent`);
        this.ancestors.push(value);
        const packed = this.packMembers(value, depth);
        this.ancestors.pop();
        return packed;
    }

    packMembers(value, depth) {
        if (Array.isArray(value))
            return this.packArray(value, depth);
        const prototype = Object.getPrototypeOf(value);
        if (prototype === Object.prototype || prototype === null)
            return this.packPlain(value, depth);
        return this.packOther(value, depth);
    }

    packArray(array, depth) {
        let copy = null;
        for (let i = 0; i < array.length; i++) {
            const member = array[i];
            // whole numbers that JSON has, the most frequent
            if (typeof member === 'number' && member - member === 0 && member !== 0)
                continue;
            const packed = this.pack(member, depth);
            if (packed !== member) {
                copy ??= Array.from(array);
                copy[i] = packed;
            }
        }
        return copy ?? array;
    }

    packPlain(object, depth) {
        if (typeof object.toJSON === 'function')
            return this.pack(object.toJSON(), depth);
        let copy = null;
        for (const [key, member] of Object.entries(object)) {
            const packed = this.pack(member, depth);
            if (packed !== member) {
                copy ??= {...object};
                setMember(copy, key, packed);
            }
        }
        return Object.hasOwn(object, TAG) ? this.tag('object', copy ?? object) : copy ?? object;
    }

    packOther(value, depth) {
        if (ArrayBuffer.isView(value))
            return this.packView(value.constructor.name, value);
        if (value instanceof ArrayBuffer)
            return this.packView('ArrayBuffer', new Uint8Array(value));
        if (value instanceof GLib.Bytes)
            return this.packView('Bytes', value.toArray());
        if (value instanceof GLib.Variant) {
            return this.packView('Variant', value.get_data_as_bytes().toArray(), value.get_type_string());
        }
        if (value instanceof Date)
            return this.tag('Date', this.pack(value.getTime(), depth));
        if (value instanceof Map)
            return this.tag('Map', this.packArray([...value].flat(1), depth));
        if (value instanceof Set)
            return this.tag('Set', this.packArray([...value], depth));
        if (typeof value.toJSON === 'function')
            return this.pack(value.toJSON(), depth);
        throw new Unsendable(`${describe(value)} cannot be sent`);
    }

    packView(kind, view, ...more) {
        if (kind !== 'ArrayBuffer' && kind !== 'Bytes' && kind !== 'Variant' && !VIEWS[kind])
            throw new Unsendable(`an array of the class ${kind} cannot be sent`);
        const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
        const offset = this.size;
        this.buffers.push(bytes);
        this.size = align(offset + bytes.length);
        return this.tag(kind, offset, bytes.length, ...more);
    }

    tag(...parts) {
        this.tagged = true;
        return {[TAG]: parts};
    }
}

/** Also of the name __proto__. */
function setMember(object, key, value) {
    Object.defineProperty(object, key, {value, writable: true, enumerable: true, configurable: true});
}

/**
 * @param {*} value what JSON can do, and undefined, numbers that are not finite, BigInt, Date, Map, Set, typed arrays,
 *   ArrayBuffer, GLib.Bytes, GLib.Variant
 * @returns {Uint8Array} its bytes
 * @throws {Unsendable}
 */
function encode(value) {
    const packer = new Packer();
    const packed = packer.pack(value, 0);
    if (packer.buffers.length === 0)
        return encoder.encode((packer.tagged ? 'T' : 'J') + JSON.stringify(packed));

    const json = encoder.encode(JSON.stringify(packed));
    const start = align(HEAD + json.length);
    const frame = new Uint8Array(start + packer.size);
    frame[0] = 'B'.charCodeAt(0);
    new DataView(frame.buffer).setUint32(8, json.length, true);
    frame.set(json, HEAD);
    let offset = start;
    for (const bytes of packer.buffers) {
        frame.set(bytes, offset);
        offset = align(offset + bytes.length);
    }
    return frame;
}

class Unpacker {
    constructor(frame, start) {
        this.frame = frame;
        this.start = start;
    }

    unpack(value) {
        if (typeof value !== 'object' || value === null)
            return value;
        if (Array.isArray(value)) {
            for (let i = 0; i < value.length; i++) {
                if (typeof value[i] === 'object')
                    value[i] = this.unpack(value[i]);
            }
            return value;
        }
        return Object.hasOwn(value, TAG) ? this.unpackTag(...value[TAG]) : this.unpackPlain(value);
    }

    unpackPlain(object) {
        for (const [key, member] of Object.entries(object)) {
            if (typeof member === 'object' && member !== null)
                setMember(object, key, this.unpack(member));
        }
        return object;
    }

    unpackTag(kind, ...parts) {
        switch (kind) {
        case 'undefined':
            return undefined;
        case 'number':
            return Number(parts[0]);
        case 'bigint':
            return BigInt(parts[0]);
        case 'object':
            return this.unpackPlain(parts[0]);
        case 'Date':
            return new Date(this.unpack(parts[0]));
        case 'Set':
            return new Set(this.unpack(parts[0]));
        case 'Map':
            return this.unpackMap(this.unpack(parts[0]));
        default:
            return this.unpackView(kind, ...parts);
        }
    }

    unpackMap(flat) {
        const map = new Map();
        for (let i = 0; i < flat.length; i += 2)
            map.set(flat[i], flat[i + 1]);
        return map;
    }

    /** Views share the memory of the frame: nothing is copied. */
    unpackView(kind, offset, size, type) {
        const {buffer, byteOffset} = this.frame;
        const from = byteOffset + this.start + offset;
        switch (kind) {
        case 'ArrayBuffer':
            return buffer.slice(from, from + size);
        case 'Bytes':
            return new GLib.Bytes(new Uint8Array(buffer, from, size));
        case 'Variant':
            return GLib.Variant.new_from_bytes(new GLib.VariantType(type),
                new GLib.Bytes(new Uint8Array(buffer, from, size)), false);
        default: {
            const View = VIEWS[kind];
            return new View(buffer, from, size / (View.BYTES_PER_ELEMENT ?? 1));
        }
        }
    }
}

/**
 * @param {Uint8Array} frame what encode() gave, aligned to 8 bytes
 * @returns {*} the value; typed arrays in it are views on the frame
 */
function decode(frame) {
    switch (String.fromCharCode(frame[0])) {
    case 'J':
        return JSON.parse(decoder.decode(frame.subarray(1)));
    case 'T':
        return new Unpacker(frame, 0).unpack(JSON.parse(decoder.decode(frame.subarray(1))));
    case 'B': {
        const size = new DataView(frame.buffer, frame.byteOffset).getUint32(8, true);
        const json = decoder.decode(frame.subarray(HEAD, HEAD + size));
        return new Unpacker(frame, align(HEAD + size)).unpack(JSON.parse(json));
    }
    default:
        throw new TypeError('these bytes are no value of JavaScript');
    }
}
