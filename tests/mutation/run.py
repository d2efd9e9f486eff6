"""A whole run: the fake as it is, judged and traced, and then its mutants."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tests.mutation import table
from tests.mutation.baseline import Unsound, measured
from tests.mutation.children import SIGNALS, Failure, answers
from tests.mutation.modules import modules, mutants, sampled
from tests.mutation.trial import Fate, Finding, trying

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.mutation.children import Work
    from tests.mutation.modules import Mutant

# What every child would import: it is imported once, here, before the first fork.
_SHARED = (
    "anyio._backends._asyncio",
    "httpx",
    "hypothesis.stateful",
    "orjson",
    "psutil",
    "python_multipart",
    "sandbox_contract._checks.catalogue",
    "sandbox_contract.probe",
    "starlette.applications",
    "starlette.responses",
    "starlette.testclient",
    "uvicorn",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What to try, and where to write what survives."""

    sample: int
    seed: int
    pattern: str
    jobs: int
    survivors: Path | None = None


class Stop:
    """Whether a signal has come: from then on nothing is begun, and what runs is ended."""

    def __init__(self) -> None:
        self.has_come = False
        for each in SIGNALS:
            signal.signal(each, self._take)

    def _take(self, _number: int, _frame: object) -> None:
        self.has_come = True


def run(options: Options) -> int:
    """Print the table; return 0, or 2 when the fake itself does not pass, 130 after Ctrl-C."""
    stop, begun = Stop(), perf_counter()
    every = mutants(modules(options.pattern))
    chosen = sampled(every, options.sample, options.seed)
    found: list[tuple[Mutant, Finding]] = []
    try:
        with _progress() as progress:
            task = progress.add_task("the fake as it is", total=len(chosen))
            progress.refresh()
            for each in findings(chosen, options.jobs, stop):
                found.append(each)
                survived = sum(not finding.fate.is_killed for _, finding in found)
                told = f"mutants, {survived} survived"
                progress.update(task, advance=1, description=told, refresh=True)
    except Unsound as exc:
        print(f"No mutant was tried: {exc}", file=sys.stderr)
        return 2
    table.show(found, of=len(every), seconds=perf_counter() - begun)
    if options.survivors is not None:
        options.survivors.write_text(json.dumps(table.survivors(found), indent=2) + "\n")
    if stop.has_come:
        print("Stopped; every process was ended.", file=sys.stderr)
    return 130 if stop.has_come else 0


def findings(chosen: Sequence[Mutant], jobs: int, stop: Stop) -> Iterator[tuple[Mutant, Finding]]:
    """Yield what becomes of each mutant, in no certain order.

    Raises:
        Unsound: the fake as it is does not pass.
    """
    for name in _SHARED:
        import_module(name)
    baseline = measured(lambda: stop.has_come)
    if baseline is None:
        return
    works: list[tuple[Mutant, Work]] = []
    for mutant in chosen:
        if baseline.reach.of(mutant):
            works.append((mutant, trying(mutant, baseline.order(mutant))))
        else:
            yield mutant, Finding(Fate.UNREACHED)
    for mutant, answer, _ in answers(
        works, jobs=jobs, seconds=baseline.limit, is_stopped=lambda: stop.has_come
    ):
        yield mutant, finding_of(answer)


def finding_of(answer: object) -> Finding:
    """Return what a child's answer says about its mutant."""
    match answer:
        case Finding():
            return answer
        case Failure(why):
            return Finding(Fate.BROKEN, detail=why)
        case _:
            return Finding(Fate.TIMED_OUT)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # it would be a thread, and this process forks
    )
