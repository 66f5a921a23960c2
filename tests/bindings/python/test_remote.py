# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs rely on that were written for multiprocessing.Pool, where agents make the workers."""

import pytest

from conftest import has_zmq
from test_behaviour import (  # noqa: F401
    test_a_callback_that_submits, test_a_callable_with_state_is_each_calls_own, test_a_result_keeps_its_pool,
    test_a_source_that_waits_for_results, test_a_task_that_ends_its_process, test_a_task_that_ends_oddly,
    test_an_endless_source_is_taken_as_needed, test_an_error_does_not_end_an_iteration,
    test_an_initializer_that_fails_does_not_go_on_for_ever, test_apply, test_arguments_and_results_are_let_go,
    test_callbacks_come_before_wait_returns, test_callbacks_come_when_nobody_waits, test_chunks,
    test_closed_pools_refuse, test_closures_and_lambdas, test_empty, test_exceptions_arrive_as_they_were,
    test_initializer_runs_once_in_each_worker, test_it_is_a_context_manager, test_map_keeps_the_order,
    test_map_runs_all_and_raises_the_first, test_output_of_tasks_is_not_lost, test_results_after_the_pool_has_ended,
    test_starmaps, test_tasks_run_in_the_main_thread_of_a_worker, test_terminated_pools, test_threads_that_submit_at_once,
    test_what_cannot_be_sent_back, test_what_cannot_be_sent_is_the_results_own_error)
from test_logging import logger, test_loggers_of_a_pool  # noqa: F401

pytestmark = pytest.mark.skipif(not has_zmq(), reason='there is no backend zmq')


@pytest.fixture(params=['zmq'])
def kind(request):
    return request.param


@pytest.fixture(params=['zmq'])
def method(request):
    return request.param
