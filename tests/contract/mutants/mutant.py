"""A wrong proxy: the fake with one mistake, made without a change to the fake's own files."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch

import sandbox_fakeproxy._app as proxy_app
from sandbox_fakeproxy import LocalRuntime, Service
from sandbox_fakeproxy._local import isolation
from sandbox_fakeproxy._local import runtime as local_runtime
from sandbox_fakeproxy._testing import in_tests

from tests.contract.targets import in_process

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path
    from types import ModuleType

    from sandbox_contract import Target
    from starlette.types import ASGIApp

    Make = Callable[[Path], AbstractContextManager[Target]]

_T = TypeVar("_T")
# The modules in which the fake looks its components up by name.
_HOMES: tuple[ModuleType, ...] = (proxy_app, in_tests, local_runtime, isolation)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong proxy, and the clauses that must find its mistake; `make` takes a directory."""

    id: str
    kind: str
    mistake: str
    caught_by: tuple[str, ...]
    make: Make


class Kind:
    """A kind of mistake, and the wrong proxies that make it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.mutants: list[Mutant] = []

    def add(
        self,
        mutant_id: str,
        mistake: str,
        make: Make,
        *caught_by: str,
    ) -> None:
        """Add a wrong proxy."""
        self.mutants.append(Mutant(mutant_id, self.title, mistake, caught_by, make))

    def of(self, mutant_id: str, mistake: str, *caught_by: str) -> Callable[[type[_T]], type[_T]]:
        """Add a fake in which the decorated class replaces the one it derives from."""

        def register(component: type[_T]) -> type[_T]:
            self.add(mutant_id, mistake, with_component(component), *caught_by)
            return component

        return register


def with_component(component: type) -> Make:
    """Make the fake with a wrong service or a wrong runtime."""
    if issubclass(component, Service):
        return with_settings(service=component)
    if issubclass(component, LocalRuntime):
        return with_settings(runtime=component)
    return with_components(component)


def with_components(*components: type) -> Make:
    """Replace the fake's own classes by these, each by the one that derives from it."""

    @contextmanager
    def make(directory: Path) -> Generator[Target]:
        with ExitStack() as stack:
            for component in components:
                name = _replaced_by(component).__name__
                for home in _HOMES:
                    if hasattr(home, name):
                        stack.enter_context(patch.object(home, name, component))
            yield stack.enter_context(in_process(directory))

    return make


def _replaced_by(component: type) -> type:
    """Return the fake's own class that a wrong one derives from."""
    own = [each for each in component.__mro__ if each.__module__.startswith("sandbox_fakeproxy.")]
    return own[0]


def with_patched(name: str, value: object, *owners: object) -> Make:
    """Bind a name of these modules or classes to another value while the fake runs."""

    @contextmanager
    def make(directory: Path) -> Generator[Target]:
        with ExitStack() as stack:
            for owner in owners:
                stack.enter_context(patch.object(owner, name, value))
            yield stack.enter_context(in_process(directory))

    return make


def with_settings(**options: Any) -> Make:
    """Make the fake with settings that its target does not declare."""
    return lambda directory: in_process(directory, **options)


def with_middleware(wrap: Callable[[ASGIApp], Any]) -> Make:
    """Put a middleware before the fake, which rewrites requests or answers."""

    @contextmanager
    def make(directory: Path) -> Generator[Target]:
        with in_process(directory) as target:
            assert target.app is not None
            app: Any = target.app
            yield replace(target, app=wrap(app))

    return make
