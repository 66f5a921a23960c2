# SPDX-License-Identifier: LGPL-2.1-or-later
"""pool bench: figures of a pool on this machine. What they are is nobody's business here, but that they are measured is."""

from clitest import Skip, each_backend, main, needs, run, test

FIGURES = ['start', 'round-trip', 'tasks', 'items', 'values', 'replacement']


def check_figures(backend):
    result = run('bench', '--json', '--seconds=0.3', '-b', backend, '-j2')
    assert result.status == 0, result.messages
    assert [entry['figure'] for entry in result.objects] == FIGURES
    for entry in result.objects:
        assert entry['backend'] == backend and entry['processes'] == 2
        if entry['figure'] == 'replacement' and backend == 'threads':
            assert entry['samples'] == 0 and 'median' not in entry
            continue
        assert entry['samples'] >= 1
        worst, median = entry['percentile-99'], entry['median']
        assert 0 < median <= worst if entry['unit'] in ('ms', 'us') else 0 < worst <= median


@each_backend
def test_every_figure(backend):
    check_figures(backend)


@test
def test_every_figure_of_agents():
    available = {entry['name'] for entry in run('backends', '--json').objects if entry['available']}
    if 'zmq' not in available:
        raise Skip('there is no backend zmq')
    check_figures('zmq')


@test
def test_no_number_of_deaths_is_too_much_for_it():
    needs('fork')
    result = run('bench', '--json', '--seconds=2', '-b', 'fork', '-j1', 'replacement')
    assert result.status == 0, result.messages
    assert result.objects[0]['samples'] > 1


@test
def test_figures_can_be_chosen():
    result = run('bench', '--seconds=0.05', '--start-method=spawn', 'round-trip', 'start')
    assert [line.split()[0] for line in result.lines] == ['start', 'round-trip'], result.text
    # a process that is executed and has loaded its libraries takes longer than a call
    start, call = (float(line.split()[1]) for line in result.lines)
    assert start * 1000 > call


@test
def test_bad_usage():
    for words, part in [(['no-such'], 'round-trip'), (['--seconds=0'], 'above 0'), (['--seconds=nan'], 'above 0'),
                        (['-b', 'no-such'], 'no-such'), (['-j0'], '1 to 4000 workers'), (['--joblog=x'], '--joblog')]:
        result = run('bench', *words)
        assert result.status == 2 and result.text == '', (words, result.status)
        assert part in result.messages, (words, result.messages)


if __name__ == '__main__':
    main()
