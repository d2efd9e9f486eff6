"""Random histories of users and an administrator, compared with a model.

The last clause of a run checks that nothing is left.
"""

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from hypothesis import HealthCheck, Verbosity, seed, settings
from hypothesis import Phase as Stage
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from sandbox_contract.clause import clause
from sandbox_contract.harness.leftovers import leftovers
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Violation, require
from sandbox_contract.target import Need, Unsupported

from .machine import machine_of
from .shortest_failure import ShortestFailure

_T = TypeVar("_T")
_STEP_TIMEOUT = 600.0  # seconds for one step, which may wait for a pod
_SHRINK_TIME = 20.0  # seconds to search for a shorter history
# A target may be slow.
_IGNORED_HEALTH_CHECKS = (
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)
# Histories, and steps of each.
_IN_PROCESS, _ON_A_PORT, _DEPLOYED = (20, 25), (12, 25), (4, 20)


@clause(
    "model.history.legal",
    "In any history of users and an administrator, each response follows from those before.",
    source="any-order",
    needs=Need.USER,
)
async def every_history_is_linearizable(run: Run) -> None:
    failure = ShortestFailure(time_limit=_SHRINK_TIME, clock=time.monotonic)
    runner = _StepRunner(asyncio.get_running_loop(), failure)
    machine_run = asyncio.ensure_future(asyncio.to_thread(_run_machine, run, runner, failure))
    try:
        await asyncio.shield(machine_run)
    except asyncio.CancelledError:
        runner.end()
        await asyncio.wait({machine_run}, timeout=_STEP_TIMEOUT)
        raise
    if failure.shortest is not None:
        raise failure.shortest


class _StepRunner:
    """Run the machine's steps in the event loop of the run, from the machine's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, failure: ShortestFailure) -> None:
        self._loop = loop
        self._failure = failure
        self._current_step: Future[Any] | None = None

    def __call__(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a step, and wait for its result.

        Raises:
            CancelledError: the run has ended.
        """
        if self._failure.is_over:
            work.close()
            raise CancelledError
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._current_step = future
        return future.result(_STEP_TIMEOUT)

    def end(self) -> None:
        """Stop, and cancel the current step."""
        self._failure.is_over = True
        if self._current_step is not None:
            self._current_step.cancel()


def _run_machine(run: Run, run_step: _StepRunner, failure: ShortestFailure) -> None:
    """Run the state machine, which records violations in `failure`, flaky ones too."""
    machine = seed(run.seed)(machine_of(run, run_step, failure))
    try:
        run_state_machine_as_test(machine, settings=_settings(run))
    except (Violation, Unsupported, Flaky, CancelledError):
        if failure.shortest is None and not failure.is_over:
            raise


def _sizes(run: Run) -> tuple[int, int]:
    """Return the number of histories, and of steps in each."""
    if run.target.time.ready_after is None:
        return _DEPLOYED
    return _ON_A_PORT if run.target.app is None else _IN_PROCESS


def _settings(run: Run) -> settings:
    is_real = run.target.time.ready_after is None
    histories, steps = _sizes(run)
    # Search for a shorter history only where requests cost nothing.
    stages = [Stage.generate] if is_real else [Stage.generate, Stage.shrink]
    return settings(
        max_examples=histories,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=stages,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=_IGNORED_HEALTH_CHECKS,
        verbosity=Verbosity.quiet,
    )


@clause(
    "run.end.nothing-left",
    "Everything that the run created is deleted, and stays deleted.",
    source="nothing-left",
)
async def nothing_is_left_behind(run: Run) -> None:
    await run.remove_everything()
    listed = "; ".join(run.cleanup.listed)
    require(not listed, "everything removed that was created", listed)
    found = await leftovers(run.client, run.target)
    own = [each.what for each in found if each.run_id == run.id]
    require(not own, f"nothing of run {run.id}", ", ".join(own))
