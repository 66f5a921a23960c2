// SPDX-License-Identifier: LGPL-2.1-or-later
/* exported toVariant, toArguments, fromVariant */

// Plain values for the named tasks of task modules, which take and give variants.

const {GLib, Pool} = imports.gi;
const {fail} = imports.overrides._libpool.errors;

const BYTES = new GLib.VariantType('ay');

const isInt = value => Number.isSafeInteger(value) && !Object.is(value, -0);

/** The variant of a value; one that is given as a variant is taken as it is. */
function toVariant(value) {
    switch (typeof value) {
    case 'string':
        return new GLib.Variant('s', value);
    case 'boolean':
        return new GLib.Variant('b', value);
    case 'number':
        return isInt(value) ? new GLib.Variant('x', value) : new GLib.Variant('d', value);
    case 'object':
        if (value !== null)
            return toContainer(value);
    }
    throw fail(Pool.Error.ENCODING,
        `A named task takes no ${value === null ? 'null' : typeof value}; a GLib.Variant can be of any type`);
}

function toContainer(value) {
    if (value instanceof GLib.Variant)
        return value;
    if (value instanceof Uint8Array)
        return GLib.Variant.new_from_bytes(BYTES, new GLib.Bytes(value), true);
    if (value instanceof GLib.Bytes)
        return GLib.Variant.new_from_bytes(BYTES, value, true);
    if (Array.isArray(value))
        return new GLib.Variant('av', value.map(toVariant));
    if (Object.getPrototypeOf(value) === Object.prototype) {
        return new GLib.Variant('a{sv}',
            Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toVariant(member)])));
    }
    throw fail(Pool.Error.ENCODING, `A named task takes no ${value.constructor?.name ?? 'such object'}`);
}

/** The tuple of a call. */
function toArguments(args) {
    return GLib.Variant.new_tuple(args.map(toVariant));
}

/** A plain value; bytes are a Uint8Array. */
function fromVariant(variant) {
    const type = variant.get_type_string();
    if (type === 'ay')
        return variant.get_data_as_bytes().toArray();
    if (type === 'v')
        return fromVariant(variant.get_variant());
    if (type.startsWith('a{')) {
        const entries = [];
        for (let i = 0; i < variant.n_children(); i++)
            entries.push(fromVariant(variant.get_child_value(i)));
        return Object.fromEntries(entries);
    }
    if (!variant.is_container())
        return variant.unpack();
    const members = [];
    for (let i = 0; i < variant.n_children(); i++)
        members.push(fromVariant(variant.get_child_value(i)));
    return type.startsWith('m') ? members[0] ?? null : members;
}
