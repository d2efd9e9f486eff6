"""Which modules are changed: those that the contract can reach, as it only speaks HTTP.

Not among them are the testers' own tools (`_control`, `_scripted`, `_serving`, `_testing`, the
plugin for pytest, the command line, the journal), which no proxy has; the deployed proxy's quirks
(`_deployed`), which this run has switched off; and `match`, which runs in a process of its own and
is read from the disk there, as it is.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.mutation.sites import Mutation, mutations

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "sandbox_fakeproxy"
_PARTS = (
    "_app.py",
    "_clock.py",
    "_errors.py",
    "_http.py",
    "_mint.py",
    "_files/*.py",
    "_local/*.py",
    "_proxy/*.py",
    "_runtime/*.py",
    "_shells/*.py",
    "_state/*.py",
)
_LEFT_OUT = {"__init__", "journal", "match"}


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the fake's. `name` is the part below the package: `_proxy.auth`."""

    name: str
    path: Path
    tree: ast.Module = field(repr=False, compare=False)

    @property
    def full_name(self) -> str:
        """Return the name that it is imported by."""
        return f"{PACKAGE}.{self.name}"

    @property
    def part(self) -> str:
        """Return which package or module of the fake's it is in."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Mutant:
    """The fake with one change to one of its modules."""

    module: Module
    mutation: Mutation

    def __str__(self) -> str:
        change = self.mutation
        return f"{self.module.name}:{change.line} {change.was} → {change.became}"


def modules(pattern: str = "*") -> list[Module]:
    """Return the modules whose name fits a pattern."""
    root = home()
    paths = sorted(path for part in _PARTS for path in root.glob(part))
    found = [_module(root, path) for path in paths if path.stem not in _LEFT_OUT]
    return [module for module in found if fnmatchcase(module.name, pattern)]


def home() -> Path:
    """Return where the fake's source is, without importing it."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"Package '{PACKAGE}' is not installed")
    return Path(spec.origin).parent


def mutants(among: Sequence[Module]) -> list[Mutant]:
    """Return every mutant of some modules."""
    return [Mutant(module, each) for module in among for each in mutations(module.tree)]


def sampled(among: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """Return some mutants, mixed, so that the first few of them are a sample too."""
    mixed = [*among]
    Random(seed).shuffle(mixed)  # noqa: S311  (to be repeated)
    return mixed[:size]


def _module(root: Path, path: Path) -> Module:
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return Module(name, path, ast.parse(path.read_bytes()))
