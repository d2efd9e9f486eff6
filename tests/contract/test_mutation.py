from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from sandbox_contract import CLAUSES

from tests.mutation.baseline import LAST, Baseline
from tests.mutation.children import Failure, Overdue, answers
from tests.mutation.modules import modules, mutants, sampled
from tests.mutation.operators import OPERATORS
from tests.mutation.reach import IMPORT, Reach
from tests.mutation.run import finding_of
from tests.mutation.sites import mutated, mutations
from tests.mutation.trial import Fate, Finding, trying
from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mutation.children import Tell, Work

SILENT = '''
"""A docstring."""
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar
if TYPE_CHECKING:
    import json
__all__ = ["Shell"]
T = TypeVar("T")
Kind = Literal["a", "b"]
Call = Callable[[int | None], "str"]
@dataclass(frozen=True)
class Shell(Protocol):
    size: int = 1
    def kill(self) -> None:
        """Kill it."""
        raise NotImplementedError
class Row:
    """A docstring."""
    __slots__ = ("a",)
    name: "str | None"
    @cache(maxsize=1)
    def f(self, a: Literal["x"]) -> Literal["y"]:
        """A docstring."""
        assert a == "x", "so it is"
        ...
'''
PATIENCE = 10.0  # seconds


@pytest.mark.parametrize(
    ("operator", "source", "expected"),
    [
        ("comparison", "a < b", ["a <= b"]),
        ("comparison", "a == b", ["a != b"]),
        ("comparison", "a is not b", ["a is b"]),
        ("comparison", "a in b", ["a not in b"]),
        ("comparison", "0 < a < b", ["0 <= a < b", "0 < a <= b"]),
        ("boolean", "a and b", ["a or b"]),
        ("negation", "not a", ["a"]),
        ("negation", "-a", ["a"]),
        ("condition", "if a: b", ["if True:\n    b", "if False:\n    b"]),
        ("condition", "a if b else c", ["a if True else c", "a if False else c"]),
        ("condition", "[a for a in b if c]", ["[a for a in b if True]", "[a for a in b if False]"]),
        ("condition", "while a: b", ["while False:\n    b"]),
        ("condition", "while True: b", []),
        ("number", "a = 1", ["a = 2", "a = 0"]),
        ("number", "a = 0.5", ["a = 1.5", "a = -0.5"]),
        ("number", "a = True", ["a = False"]),
        ("number", "def f(a=1): b", ["def f(a=2):\n    b", "def f(a=0):\n    b"]),
        ("text", "a = 'b'", ["a = 'XXbXX'"]),
        ("text", "a = ''", ["a = 'XX'"]),
        ("text", "a = b'c'", ["a = b'XXcXX'"]),
        ("text", "a = f'b{c:d}'", ["a = f'XXbXX{c:d}'"]),
        ("arithmetic", "a + b", ["a - b"]),
        ("arithmetic", "a += b", ["a -= b"]),
        ("arithmetic", "a ** b", []),
        ("result", "def f(): return a", ["def f():\n    return None"]),
        ("result", "def f(): return None", []),
        ("statement", "a()", ["pass"]),
        ("statement", "raise a", ["pass"]),
        ("statement", "a.b = c", ["pass"]),
        ("statement", "a = b", []),
        ("entry", "a = {'b': 1, **c}", ["a = {**c}"]),
        ("argument", "a(1, b=2, **c)", ["a(1, **c)"]),
    ],
)
def test_an_operator_changes_one_thing(operator: str, source: str, expected: list[str]) -> None:
    tree = ast.parse(source)
    found = [each for each in mutations(tree) if each.operator == operator]
    assert [ast.unparse(mutated(tree, each)) for each in found] == expected
    assert ast.unparse(tree) == ast.unparse(ast.parse(source))


def test_nothing_is_changed_where_no_reply_could_tell() -> None:
    assert list(mutations(ast.parse(SILENT))) == []


def test_a_change_says_where_it_is_and_what_became_of_what() -> None:
    tree = ast.parse("def f():\n    call(\n        1,\n        name='x',\n    )\n")
    (found,) = (each for each in mutations(tree) if each.operator == "argument")
    assert (found.line, found.column, found.was, found.became) == (2, 4, "name='x'", "no argument")
    assert found.lines == range(2, 6)


def test_a_block_is_run_where_its_head_is() -> None:
    tree = ast.parse("if a:\n    b()\nelse:\n    c()\n")
    assert {each.lines for each in mutations(tree) if each.operator == "condition"} == {range(1, 2)}


def test_every_operator_finds_something_in_the_fake() -> None:
    assert {each.mutation.operator for each in mutants(modules())} == set(OPERATORS)


def test_testers_tools_and_the_deployed_quirks_are_left_alone() -> None:
    parts = {module.part for module in modules()}
    assert {"_app", "_proxy", "_state", "_local"} < parts
    assert parts.isdisjoint({"_control", "_deployed", "_scripted", "_serving", "_testing"})


def test_the_same_seed_samples_the_same_mutants() -> None:
    every = mutants(modules("_proxy.*"))
    first, again, other = (sampled(every, 20, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 20
    assert sampled(every, 10, 1) == first[:10], "a smaller sample is the beginning of a larger"
    assert len(sampled(every, len(every) + 1, 1)) == len(every)


def test_the_clauses_that_run_what_was_changed_come_first_and_the_last_stays_last() -> None:
    mutant = next(each for each in mutants(modules("_proxy.auth")) if each.mutation.line > 20)
    near, nearby = CLAUSES[200].id, CLAUSES[100].id
    path, line = str(mutant.module.path), mutant.mutation.line
    reach = Reach({(path, line): {LAST, near}, (path, 1): {IMPORT, nearby}})
    baseline = Baseline({clause.id: 0.01 for clause in CLAUSES}, reach)
    order = [clause.id for clause in baseline.order(mutant)]
    assert (order[:3], order[-1]) == ([near, nearby, CLAUSES[0].id], LAST)
    assert sorted(order) == sorted(clause.id for clause in CLAUSES)


@pytest.fixture(scope="module")
def alone() -> Iterator[ProcessPoolExecutor]:
    """A process with one thread: who forks may have no others, and a session of tests may."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def found(module: str, was: str, became: str, *areas: str) -> Finding:
    """Try the one mutant that is so, with the clauses of some areas."""
    every = mutants(modules(module))
    (mutant,) = (
        each for each in every if (each.mutation.was, each.mutation.became) == (was, became)
    )
    return answer(trying(mutant, [each for each in CLAUSES if each.area in areas]))


def found_unchanged(*areas: str) -> Finding:
    return answer(trying(None, [each for each in CLAUSES if each.area in areas]))


def answer(work: Work) -> Finding:
    (told,) = (told for _, told, _ in answers([("", work)], jobs=1, seconds=PATIENCE))
    return finding_of(told)


def test_a_lethal_mutant_is_killed_by_the_clause_about_it_and_leaves_no_trace(
    alone: ProcessPoolExecutor,
) -> None:
    killed = alone.submit(found, "_app", "'connected'", "'XXconnectedXX'", "health").result()
    assert (killed.fate, killed.clause) == (Fate.KILLED, "health.answer.shape")
    assert "XXconnectedXX" in killed.detail
    assert alone.submit(found_unchanged, "health").result().fate is Fate.SURVIVED


def test_an_equivalent_mutant_survives(alone: ProcessPoolExecutor) -> None:
    # How many records are remembered is nobody's business.
    survived = alone.submit(found, "_state.recall", "1000", "1001", "health", "me").result()
    assert survived == Finding(Fate.SURVIVED)


def test_a_fake_that_cannot_even_be_made_is_broken(alone: ProcessPoolExecutor) -> None:
    broken = alone.submit(found, "_app", "app.state.fake = fake", "nothing", "health").result()
    assert broken.fate is Fate.BROKEN
    assert "AttributeError" in broken.detail


def linger(directory: Path, tell: Tell) -> None:
    """Start what gets away from its parent, and hang."""
    (directory / "left").write_text("")
    away = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
    subprocess.run([sys.executable, "-c", away], check=True)
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    time.sleep(600)


def overdue(directory: Path) -> tuple[object, list[int]]:
    """Let a child hang in a directory; return what came of it, and which processes are left."""
    tempfile.tempdir = str(directory)
    try:
        (told,) = (told for _, told, _ in answers([("", linger)], jobs=1, seconds=0.5))
    finally:
        tempfile.tempdir = None
    return told, [each.pid for each in psutil.process_iter() if lives(each, directory)]


def lives(process: psutil.Process, directory: Path) -> bool:
    with suppress(psutil.Error):
        return Path(process.cwd()).is_relative_to(directory)
    return False


def test_a_child_that_hangs_is_timed_out_and_ended_with_all_its_processes(
    alone: ProcessPoolExecutor, tmp_path: Path
) -> None:
    told, processes = alone.submit(overdue, tmp_path).result()
    assert told == Overdue()
    assert finding_of(told).fate is Fate.TIMED_OUT
    assert finding_of(told).fate.is_killed
    assert processes == []
    assert list(tmp_path.iterdir()) == []


def beyond(what: str) -> list[object]:
    """Do what no child may."""

    def work(directory: Path, tell: Tell) -> None:
        if what == "signal":
            os.kill(os.getppid(), 0)
        else:
            (directory.parent / "strangers-file").write_text("")
        tell("done")

    return [told for _, told, _ in answers([("", work)], jobs=1, seconds=PATIENCE)]


@pytest.mark.parametrize("what", ["signal", "write"])
def test_a_child_may_neither_signal_strangers_nor_write_elsewhere(
    alone: ProcessPoolExecutor, what: str
) -> None:
    (told,) = alone.submit(beyond, what).result()
    assert isinstance(told, Failure)
    assert "not allowed" in told.why
    assert finding_of(told).fate is Fate.BROKEN


def test_ctrl_c_ends_a_run_with_its_processes() -> None:
    command = [sys.executable, "-m", "tests.mutation", "--sample", "5", "--jobs", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        children = until_there_are_children(psutil.Process(run.pid))
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert "0 of" in out
    assert "Stopped; every process was ended." in err
    assert not any(child.is_running() for child in children)


def until_there_are_children(process: psutil.Process) -> list[psutil.Process]:
    deadline = time.monotonic() + PATIENCE
    while not (children := process.children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return children
