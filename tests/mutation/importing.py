"""The fake with a change, imported: only in memory, and without the caches of compiled modules."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING

from tests.mutation.modules import PACKAGE, Mutant
from tests.mutation.sites import mutated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_MADE_OF_IT = "tests.contract.targets"


class Changed(MetaPathFinder):
    """Find one module, changed."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module, and leave the others to others."""
        module = self._mutant.module
        if fullname != module.full_name:
            return None
        loader = _Loader(fullname, str(module.path))
        loader.mutant = self._mutant
        return spec_from_file_location(fullname, module.path, loader=loader)


class _Loader(SourceFileLoader):
    """Compile what was changed; the way round `get_code` is also that round the caches."""

    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        tree = mutated(self.mutant.module.tree, self.mutant.mutation)
        return compile(tree, self.path, "exec", dont_inherit=True)


def import_changed(mutant: Mutant | None) -> None:
    """Have the fake imported anew from now on, in this process, with a change or without."""
    for name in list(sys.modules):
        if name in {PACKAGE, _MADE_OF_IT} or name.startswith(f"{PACKAGE}."):
            del sys.modules[name]
    if mutant is not None:
        sys.meta_path.insert(0, Changed(mutant))
