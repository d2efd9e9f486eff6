"""Run clauses on a target one by one, and remove their resources."""

import asyncio
import platform
import secrets
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from time import perf_counter
from types import FrameType, TracebackType
from typing import Protocol, Self

from sandbox_contract.clauses.catalogue import CLAUSES, LAST
from sandbox_contract.harness.cluster import notice
from sandbox_contract.harness.preflight import preflight, reach
from sandbox_contract.harness.run import Run
from sandbox_contract.http.client import Observer
from sandbox_contract.http.expect import NoAnswer, Violation
from sandbox_contract.report.summary import leftover_sections
from sandbox_contract.target import CannotRun

from .clause import Clause
from .distribution import version
from .result import Outcome, Result, Verdict, outcome_if_broken
from .target import Need, Target, Unsupported

# Seconds of this machine that a clause may take: only a hang takes as long.
_PATIENCE = 120.0
_WAITS = 4  # for a change, in one clause
_LONG = 400.0  # more, where a clause is about the proxy's five minutes


class Listener(Protocol):
    """A receiver of a run's progress."""

    def begins(self, clause: Clause) -> None:
        """Receive the clause that starts."""
        ...

    def waits(self, what: str, waited: float, budget: float) -> None:
        """Receive the subject of a wait, the seconds so far and the most that it may take."""
        ...

    def ends(self, verdict: Verdict) -> None:
        """Receive the verdict of a clause."""
        ...

    def cleans(self) -> None:
        """Receive the start of the cleanup."""
        ...


Confirm = Callable[[str], bool]


class Silence:
    """A listener that does nothing."""

    def begins(self, clause: Clause) -> None:
        """Receive the clause that starts."""

    def waits(self, what: str, waited: float, budget: float) -> None:
        """Receive the subject of a wait."""

    def ends(self, verdict: Verdict) -> None:
        """Receive the verdict of a clause."""

    def cleans(self) -> None:
        """Receive the start of the cleanup."""


@contextmanager
def unhurried() -> Generator[None]:
    """Let the block finish after a first Ctrl-C; a second one interrupts it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = 0

    def hear(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Judge:
    """Try clauses on a target; the end of the block removes the resources that they created.

    The same `seed` finds the same: it decides what the model does and, on an app in process, in
    which order concurrent requests come. `verdicts` are those so far. `stopped` is the reason why
    later clauses are not tried: the target no longer answers.

    `confirm` is called with the notice of leftovers in a cluster, before anything is created on a
    target that may have one; without it, the run goes on.
    """

    def __init__(
        self,
        target: Target,
        *,
        run_id: str,
        seed: int = 0,
        listener: Listener | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        self.target = target
        self._confirm = confirm
        self._listener = listener or Silence()
        self.run = Run(target, run_id, seed=seed, on_wait=self._listener.waits)
        self.verdicts: list[Verdict] = []
        self.stopped = ""
        self._trying: asyncio.Task[object] | None = None
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_cut_short = False
        try:
            with unhurried():
                self._runner.run(self._leave())
        except KeyboardInterrupt:
            is_cut_short = True
            raise
        finally:
            self._runner.__exit__(exc_type, exc, traceback)
            if is_cut_short:
                self.run.cleanup.suppose("the cleanup was interrupted")

    @property
    def left(self) -> list[str]:
        """The leftovers on the target, or the possible ones if it did not list them."""
        return self.run.cleanup.left

    def prepare(self) -> list[str]:
        """Return descriptions of earlier runs' leftovers.

        Raises:
            CannotRun: nothing answers, a key does not work, nothing could be removed, or `confirm`
                declined.
        """
        try:
            self._runner.run(reach(self.run))
            will_be_left = self.run.cluster.will_be_left
            # Not within the event loop: a question has to be interrupted by Ctrl-C.
            if will_be_left and self._confirm and not self._confirm(notice(will_be_left)):
                raise CannotRun("Nothing was created.")  # noqa: TRY301
            return self._runner.run(preflight(self.run))
        except (CannotRun, KeyboardInterrupt):
            self.run.client.interrupt()
            raise

    def try_clause(self, clause: Clause) -> Verdict:
        """Try a clause, and remove its resources."""
        self._listener.begins(clause)
        verdict = self._verdict(clause)
        self.verdicts.append(verdict)
        self._listener.ends(verdict)
        return verdict

    def _verdict(self, clause: Clause) -> Verdict:
        missing = [need for need in clause.needs if not self.target.has(need)]
        if missing:
            return _unsupported(clause, Unsupported(*missing))
        if self.stopped:
            return Verdict(clause, Outcome.ERROR, detail=f"Not tried: {self.stopped}")
        started = perf_counter()
        verdict = self._runner.run(self._tried(clause))
        return replace(verdict, seconds=perf_counter() - started)

    async def _tried(self, clause: Clause) -> Verdict:
        self._trying = asyncio.current_task()
        self.run.begin_clause()
        try:
            return self._shown(await self._found(clause))
        except asyncio.CancelledError:
            self.run.client.interrupt()
            raise
        finally:
            await self.run.end_clause()

    async def _found(self, clause: Clause) -> Verdict:
        patience = _PATIENCE + _WAITS * min(self.target.time.budget, 600.0)
        if Need.LONG_WAIT in clause.needs:
            patience += _LONG
        error: Exception | None = None
        try:
            async with asyncio.timeout(patience):
                await clause.check(self.run)
        except Exception as exc:  # noqa: BLE001  # `_verdict_on` tells them apart
            error = exc
        self.stopped = self.run.redactor.text(await self.run.client.give_up_if_gone())
        return self._verdict_on(clause, error)

    def _verdict_on(self, clause: Clause, error: Exception | None) -> Verdict:
        """Return the verdict on a clause whose check raised an error or nothing."""
        if error is None:
            return Verdict(clause, Outcome.PASS)
        if isinstance(error, Unsupported):
            return _unsupported(clause, error)
        # Where the target is gone, a request without an answer says nothing about the clause.
        is_outage = bool(self.stopped) and isinstance(error, NoAnswer)
        if isinstance(error, Violation) and not is_outage:
            return self._broken(clause, error)
        return Verdict(clause, Outcome.ERROR, detail=_where(error))

    def _broken(self, clause: Clause, violation: Violation) -> Verdict:
        shown = violation.exchange
        return Verdict(
            clause,
            outcome_if_broken(clause),
            expected=violation.expected,
            received=violation.received,
            decisive=None if shown is None else shown.redacted(),
        )

    def _shown(self, verdict: Verdict) -> Verdict:
        """Add notes and exchanges, and mask keys."""
        redactor = self.run.redactor
        return replace(
            verdict,
            expected=redactor.text(verdict.expected),
            received=redactor.text(verdict.received),
            detail=redactor.text(verdict.detail),
            reason=redactor.text(verdict.reason),
            notes=tuple(self.run.notes),
            exchanges=[each.redacted() for each in self.run.exchanges],
        )

    async def _leave(self) -> None:
        if self.run.cleanup.has_created:
            self._listener.cleans()
        if self._trying is not None and not self._trying.done():  # after a second Ctrl-C
            self._trying.cancel()
            await asyncio.wait({self._trying})
        if self.stopped:
            self.run.client.try_again()
        await self.run.remove_everything()
        await self.run.client.close()


def _unsupported(clause: Clause, exc: Unsupported) -> Verdict:
    return Verdict(
        clause,
        Outcome.UNSUPPORTED,
        detail=f"needs {exc}",
        missing_needs=exc.needs,
        reason=exc.reason,
    )


def _where(exc: Exception) -> str:
    """Return the error and the line of the suite that raised it."""
    frames = traceback.extract_tb(exc.__traceback__)
    own = [frame for frame in frames if "sandbox_contract" in frame.filename]
    place = f" ({own[-1].filename.rpartition('/')[2]}:{own[-1].lineno})" if own else ""
    return f"{type(exc).__name__}: {exc}{place}"


def new_run_id() -> str:
    """Return a random id for a run."""
    return secrets.token_hex(3)


def judge(
    target: Target,
    clauses: Sequence[Clause] = CLAUSES,
    *,
    run_id: str | None = None,
    seed: int = 0,
    shuffle: int | None = None,
    listener: Listener | None = None,
    confirm: Confirm | None = None,
    observers: Sequence[Observer] = (),
) -> Result:
    """Judge a target by some clauses, and remove the resources that they created.

    With `shuffle`, the clauses come in an order that this number decides; the last one stays last.
    Ctrl-C ends the run early: the resources are removed then too, and the result is marked as
    interrupted.
    Observers are shown every exchange, keys and all. `confirm` is that of `Judge`.

    Raises:
        CannotRun: nothing answers, a key does not work, nothing could be removed, or `confirm`
            declined; the message also lists possible leftovers.
    """
    run_id = run_id or new_run_id()
    started, begun = datetime.now(UTC), perf_counter()
    judging = Judge(target, run_id=run_id, seed=seed, listener=listener, confirm=confirm)
    cleanup = judging.run.cleanup
    try:
        with judging:
            judging.run.client.observers += observers
            is_finished = _tried(judging, _ordered(clauses, shuffle))
    except KeyboardInterrupt:  # while it cleaned up
        is_finished = False
    except CannotRun as exc:
        sections = leftover_sections(cleanup.left, cleanup.listing_error)
        removal = f"Remove it by: sandbox-contract sweep --run {run_id}"
        left = [f" {heading}: {'; '.join(items)}. {removal}" for heading, items in sections]
        raise CannotRun(f"{exc}{''.join(left)}") from exc
    return Result(
        target=target.base_url,
        run_id=run_id,
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(perf_counter() - begun, 3),
        verdicts=sorted(judging.verdicts, key=lambda verdict: clauses.index(verdict.clause)),
        total=len(CLAUSES),
        selected=len(clauses),
        left=cleanup.left,
        listing_error=cleanup.listing_error,
        out_of_reach=judging.run.cluster.left,
        interrupted=not is_finished,
        stopped=judging.stopped,
        suite_version=version(),
        target_version=judging.run.target_version,
        settings=_settings(target, seed, shuffle),
    )


def _tried(judging: Judge, clauses: Sequence[Clause]) -> bool:
    """Try clauses until the target is gone; return False after Ctrl-C."""
    try:
        judging.prepare()
        for clause in clauses:
            judging.try_clause(clause)
            if judging.stopped:
                break
    except (KeyboardInterrupt, asyncio.CancelledError):  # the latter, where it came twice
        return False
    return True


def _ordered(clauses: Sequence[Clause], shuffle: int | None) -> Sequence[Clause]:
    if shuffle is None:
        return clauses
    mixed = [clause for clause in clauses if clause.id != LAST]
    Random(shuffle).shuffle(mixed)  # noqa: S311  (to be repeated)
    return [*mixed, *(clause for clause in clauses if clause.id == LAST)]


def _settings(target: Target, seed: int, shuffle: int | None) -> dict[str, str]:
    keys = {"admin": target.admin_key, "user": target.api_key, "second": target.second_api_key}
    return {
        "keys": ", ".join(name for name, key in keys.items() if key) or "none",
        "time": "advanced" if target.time.ready_after is not None else "polled",
        "budget": f"{target.time.budget:g} s",
        "seed": str(seed),
        "order": "as listed" if shuffle is None else f"shuffled by {shuffle}",
        "python": platform.python_version(),
    }
