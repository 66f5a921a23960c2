#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a file that has the name of a module and is none.

    damage.py half MODULE OUTPUT    the first half of what would be mapped into memory
    damage.py almost MODULE OUTPUT  all of that but its last byte
    damage.py header MODULE OUTPUT  an ELF header, and nothing that it speaks of
    damage.py prose MODULE OUTPUT   lines of text
    damage.py empty MODULE OUTPUT   nothing
"""

import pathlib
import struct
import sys

PT_LOAD = 1


def mapped_size(elf):
    """How much of the file the segments take that are mapped."""
    wide, order = elf[4] == 2, '<' if elf[5] == 1 else '>'
    table, = struct.unpack_from(order + ('Q' if wide else 'I'), elf, 32 if wide else 28)
    entry_size, n_entries = struct.unpack_from(order + 'HH', elf, 54 if wide else 42)
    end = 0
    for i in range(n_entries):
        at = table + i * entry_size
        kind, = struct.unpack_from(order + 'I', elf, at)
        if wide:
            offset, size = struct.unpack_from(order + 'Q', elf, at + 8) + struct.unpack_from(order + 'Q', elf, at + 32)
        else:
            offset, size = struct.unpack_from(order + 'I', elf, at + 4) + struct.unpack_from(order + 'I', elf, at + 16)
        if kind == PT_LOAD:
            end = max(end, offset + size)
    return end


def main():
    how, module, output = sys.argv[1:]
    data = pathlib.Path(module).read_bytes()
    pathlib.Path(output).write_bytes({
        'half': data[:mapped_size(data) // 2],
        'almost': data[:mapped_size(data) - 1],
        'header': data[:64],
        'prose': b'This is not the module that you are looking for.\n' * 100,
        'empty': b'',
    }[how])


main()
