#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# /usr/bin/python3 thumbnails.py
"""Makes thumbnails of pictures that cannot be trusted: whatever one of them does to its worker, the others get done.

It makes its own pictures, in a temporary directory: four that are good, one that was cut short, one that is far larger
than it looks, and one that a decoder dies of.
"""

import ctypes
import pathlib
import tempfile

from gi.repository import Pool
from PIL import Image, ImageDraw

Image.MAX_IMAGE_PIXELS = None  # the memory limit is what holds here


def make_pictures(directory):
    for number, color in enumerate(('crimson', 'seagreen', 'royalblue', 'goldenrod')):
        picture = Image.new('RGB', (640 + 160 * number, 480), color)
        ImageDraw.Draw(picture).ellipse((100, 100, 400, 400), 'white')
        picture.save(directory / f'good-{number}.png')
    whole = (directory / 'good-0.png').read_bytes()
    (directory / 'broken.png').write_bytes(whole[:len(whole) // 2])
    (directory / 'deadly.png').write_bytes(whole)
    Image.new('1', (12000, 12000)).save(directory / 'huge.png')


def thumbnail(path):
    if path.stem == 'deadly':
        ctypes.string_at(0)  # stands for a bug in a decoder: a segmentation fault
    with Image.open(path) as picture:
        small = picture.convert('RGB')
    small.thumbnail((128, 128))
    small.save(path.with_suffix('.thumbnail.png'))
    return small.size


def describe(result):
    try:
        width, height = result.get()
    except MemoryError:  # Pool.OutOfMemoryError is one, too
        return 'failed: out of memory'
    except Pool.WorkerLostError:
        return 'failed: its worker died'
    except OSError:
        return 'failed: not a whole picture'
    return f'{width} x {height}'


def main():
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        make_pictures(directory)
        paths = sorted(directory.glob('*.png'))

        # 128 MiB for each worker; a picture that has killed one worker is not given to another
        with Pool.Pool(2, memory_limit=128 * 1024, max_retries=1, timeout=60) as pool:
            results = [pool.apply_async(thumbnail, (path,)) for path in paths]
            outcomes = [describe(result) for result in results]

        for path, outcome in zip(paths, outcomes):
            print(f'{path.name}: {outcome}')
        there = len(list(directory.glob('*.thumbnail.png')))
        print(f'{len(paths)} pictures, {there} thumbnails')


if __name__ == '__main__':
    main()
