"""Which clauses run which line of the fake, so that those are tried first that could notice."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Set
    from pathlib import Path
    from types import FrameType

    from tests.mutation.modules import Module, Mutant

IMPORT = ""  # stands for the clause where there is none yet


@dataclass(frozen=True, slots=True)
class Reach:
    """The clauses by file and line; those lines too that are run as a module is imported."""

    clauses: Mapping[tuple[str, int], Set[str]]

    def of(self, mutant: Mutant) -> set[str]:
        """Return who runs the statement that was changed."""
        path = str(mutant.module.path)
        lines = mutant.mutation.lines
        return {each for line in lines for each in self.clauses.get((path, line), ())}

    def of_module(self, module: Module) -> set[str]:
        """Return who runs anything of a module."""
        path = str(module.path)
        return {each for (at, _), found in self.clauses.items() if at == path for each in found}


class Tracer:
    """Take note of every line of the fake that any thread of this process runs."""

    def __init__(self, root: Path) -> None:
        self.clause = IMPORT
        self._root = f"{root}/"
        self._found: dict[tuple[str, int], set[str]] = {}

    def start(self) -> None:
        """Begin."""
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def reach(self) -> Reach:
        """Return what was found."""
        return Reach(dict(self._found))

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._note if frame.f_code.co_filename.startswith(self._root) else None

    def _note(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            place = frame.f_code.co_filename, frame.f_lineno
            self._found.setdefault(place, set()).add(self.clause)
        return self._note
