"""Long histories: a state machine of users and an administrator, compared with a model.

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
_PATIENCE = 600.0  # seconds for one step, which may wait for a pod
_SHRINKING = 20.0  # seconds to look for a shorter history in
# A target may be slow.
_SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example)
_IN_PROCESS, _ON_A_PORT, _FOR_REAL = (20, 25), (12, 25), (4, 20)


@clause(
    "model.history.legal",
    "In any history of users and an administrator, each response follows from those before.",
    source="any-order",
    needs=Need.USER,
)
async def every_history_is_legal(run: Run) -> None:
    chronicle = ShortestFailure(patience=_SHRINKING, clock=time.monotonic)
    acting = _Acting(asyncio.get_running_loop(), chronicle)
    working = asyncio.ensure_future(asyncio.to_thread(_work, run, acting, chronicle))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        acting.end()
        await asyncio.wait({working}, timeout=_PATIENCE)
        raise
    if chronicle.shortest is not None:
        raise chronicle.shortest


class _Acting:
    """Do things in the loop of the run, from the thread of the machine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chronicle: ShortestFailure) -> None:
        self._loop = loop
        self._chronicle = chronicle
        self._under_way: Future[Any] | None = None

    def __call__(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something, and wait for it.

        Raises:
            CancelledError: the run has ended meanwhile.
        """
        if self._chronicle.is_over:
            work.close()
            raise CancelledError
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._under_way = doing
        return doing.result(_PATIENCE)

    def end(self) -> None:
        """Stop, and cancel the current step."""
        self._chronicle.is_over = True
        if self._under_way is not None:
            self._under_way.cancel()


def _work(run: Run, do: _Acting, chronicle: ShortestFailure) -> None:
    """Run the state machine; its findings are in the chronicle, also those called flaky."""
    machine = seed(run.seed)(machine_of(run, do, chronicle))
    try:
        run_state_machine_as_test(machine, settings=_settings(run))
    except (Violation, Unsupported, Flaky, CancelledError):
        if chronicle.shortest is None and not chronicle.is_over:
            raise


def _sizes(run: Run) -> tuple[int, int]:
    """Return how many histories there shall be, and of how many steps."""
    if run.target.time.ready_after is None:
        return _FOR_REAL
    return _ON_A_PORT if run.target.app is None else _IN_PROCESS


def _settings(run: Run) -> settings:
    is_real = run.target.time.ready_after is None
    histories, steps = _sizes(run)
    # A shorter history is worth looking for where looking costs nothing.
    stages = [Stage.generate] if is_real else [Stage.generate, Stage.shrink]
    return settings(
        max_examples=histories,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=stages,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=_SLOW,
        verbosity=Verbosity.quiet,
    )


@clause(
    "run.end.nothing-left",
    "Everything that the run created is deleted, and stays deleted.",
    source="nothing-left",
)
async def nothing_is_left(run: Run) -> None:
    await run.remove_everything()
    require(not run.cleanup.left, "everything removed that was made", "; ".join(run.cleanup.left))
    found = await leftovers(run.client, run.target)
    own = [each.what for each in found if each.run_id == run.id]
    require(not own, f"nothing of run {run.id}", ", ".join(own))
