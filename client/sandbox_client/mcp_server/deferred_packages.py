"""Defer the `__init__` of packages until one of its names is used.

The `__init__` modules of `mcp` and `mcp.server` import clients, web servers and cryptography, which
takes a fifth of the time until the first call, and the server uses none of their names.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


class _DeferredPackage(ModuleType):
    """A package that lets its submodules be imported before its `__init__` has run."""

    def __getattr__(self, name: str) -> Any:
        """Run `__init__` for the first name that only it can define."""
        self.__class__ = ModuleType  # type: ignore[assignment]  # Python allows it for modules
        if self.__spec__ is not None and self.__spec__.loader is not None:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def defer(*names: str) -> None:
    """Defer the `__init__` of installed packages, parents first, that are not imported yet.

    Example:
        `defer("mcp", "mcp.server")` before `from mcp.server.lowlevel.server import Server`.
    """
    for name in names:
        if name in sys.modules or (spec := find_spec(name)) is None:
            continue
        package = module_from_spec(spec)
        package.__class__ = _DeferredPackage
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
