# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of time lines and metrics share: reading them strictly."""

import collections
import json
import math
import pathlib

import tap

PHASES = {'X', 'M', 'i'}
OUTCOMES = {'done', 'failed', 'cancelled', 'terminated', 'timed-out', 'out-of-memory'}


def check_event(event):
    assert event['ph'] in PHASES, event
    assert isinstance(event['name'], str) and event['name'], event
    assert isinstance(event['pid'], int) and event['pid'] > 0, event
    assert isinstance(event['tid'], int) and event['tid'] >= 0, event
    if event['ph'] == 'M':
        assert event['name'] in ('process_name', 'thread_name') and event['args']['name'], event
        return
    assert event['ts'] >= 0, event
    if event['ph'] == 'i':
        assert event['s'] in ('t', 'g'), event
        return
    assert event['dur'] >= 0, event
    arguments = event['args']
    assert arguments['id'] > 0 and arguments['attempt'] > 0 and arguments['items'] > 0, event
    assert arguments['outcome'] in OUTCOMES, event


def check_overlap(events):
    """A worker does one thing at a time."""
    by_worker = collections.defaultdict(list)
    for event in events:
        if event['ph'] == 'X':
            by_worker[event['pid'], event['tid']].append(event)
    for runs in by_worker.values():
        runs.sort(key=lambda event: (event['ts'], event['dur']))
        for before, after in zip(runs, runs[1:]):
            # numbers of 16 digits: a nanosecond may be lost
            assert before['ts'] + before['dur'] <= after['ts'] + 0.002, (before, after)


def read(path):
    """The events of a time line, each of them looked at."""
    events = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    assert isinstance(events, list)
    for event in events:
        check_event(event)
    check_overlap(events)
    named = {(event['pid'], event['tid']) for event in events if event['name'] == 'thread_name'}
    ran = {(event['pid'], event['tid']) for event in events if event['ph'] == 'X'}
    assert ran <= named, (ran, named)
    return events


def runs(events):
    return [event for event in events if event['ph'] == 'X']


def instants(events, name):
    return [event for event in events if event['ph'] == 'i' and event['name'] == name]


def parse_metrics(text):
    """The samples by name and labels, after a strict parser has read them."""
    try:
        from prometheus_client.openmetrics import parser
    except ImportError:
        raise tap.Skip('there is no prometheus_client') from None
    samples = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.name.startswith('libpool_'), family
        assert family.documentation, family
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop('backend'), sample
            samples[sample.name, *sorted(labels.items())] = sample.value
    return samples


def check_histogram(samples, name):
    """Buckets grow and end at infinity with the number of times. Returns: that number, and their sum"""
    buckets = sorted((float(key[1][1]), value) for key, value in samples.items() if key[0] == f'{name}_bucket')
    assert buckets and math.isinf(buckets[-1][0]), buckets
    for before, after in zip(buckets, buckets[1:]):
        assert before[1] <= after[1], (before, after)
    count = samples[f'{name}_count',]
    assert buckets[-1][1] == count, (buckets[-1], count)
    return count, samples[f'{name}_sum',]
