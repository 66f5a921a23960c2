# SPDX-License-Identifier: LGPL-2.1-or-later
"""The namespace as introspection gives it, and what every other part asks about it."""

import gi

# a program that imports the namespace without naming a version gets this one, and no warning
gi.require_version('Pool', '1')

from gi.module import get_introspection_module  # noqa: E402
from gi.repository import GLib  # noqa: E402

native = get_introspection_module('Pool')

# Python's own classes have the same names; those of the library are to be made first, or its objects would be wrapped as
# Python's
for _name in 'AsyncResult', 'ApplyResult', 'MapResult', 'Manager', 'WorkerInfo':
    getattr(native, _name)

Error = native.Error
State = native.State
POOL_DOMAIN = GLib.quark_to_string(native.error_quark())


def matches(error, code):
    """Whether a GLib.Error is the pool's, of that code."""
    return error.domain == POOL_DOMAIN and error.code == code
