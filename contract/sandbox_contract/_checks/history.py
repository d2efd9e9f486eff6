"""Long histories: a machine that does what users and an administrator may do, beside a model."""

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from hypothesis import HealthCheck, Verbosity, seed, settings
from hypothesis import Phase as Stage
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from sandbox_contract._run.run import Run
from sandbox_contract._wire.expect import Unsupported, Violation

from .chronicle import Chronicle
from .machine import machine_of
from .registry import checks

_T = TypeVar("_T")
_PATIENCE = 600.0  # seconds for one step, which may wait for a pod
_SHRINKING = 20.0  # seconds to look for a shorter history in
# A target takes what it takes.
_SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example)
# How many histories, and of how many steps.
_IN_PROCESS, _ON_A_PORT, _FOR_REAL = (20, 25), (12, 25), (4, 20)


@checks("model.history.legal")
async def every_history_is_legal(run: Run) -> None:
    chronicle = Chronicle(patience=_SHRINKING, clock=time.monotonic)
    loop = asyncio.get_running_loop()

    def do(work: Coroutine[Any, Any, _T]) -> _T:
        """Do something in the loop of the run, from the thread of the machine."""
        return asyncio.run_coroutine_threadsafe(work, loop).result(_PATIENCE)

    working = asyncio.ensure_future(asyncio.to_thread(_work, run, do, chronicle))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        chronicle.is_over = True  # the machine ends at its next step
        raise
    if chronicle.shortest is not None:
        raise chronicle.shortest


def _work(run: Run, do: Any, chronicle: Chronicle) -> None:
    """Let the machine run; what it finds is in the chronicle, whatever Hypothesis makes of it."""
    machine = seed(run.seed)(machine_of(run, do, chronicle))
    try:
        run_state_machine_as_test(machine, settings=_settings(run))
    except (Violation, Flaky, CancelledError):
        if chronicle.shortest is None and not chronicle.is_over:
            raise
    except Unsupported:
        if chronicle.shortest is None:
            raise


def _settings(run: Run) -> settings:
    is_real = run.target.time.ready_after is None
    histories, steps = (
        _FOR_REAL if is_real else _IN_PROCESS if run.target.app is not None else _ON_A_PORT
    )
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
