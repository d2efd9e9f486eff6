"""A wrong proxy: the fake with one mistake, made without a change to the fake's own files."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox_fakeproxy import LocalRuntime, Service

from tests.contract.targets import in_process

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from sandbox_contract import Target
    from starlette.types import ASGIApp

    Make = Callable[[Path], AbstractContextManager[Target]]

_Component = TypeVar("_Component", bound="Service | LocalRuntime")


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

    def of(
        self, mutant_id: str, mistake: str, *caught_by: str
    ) -> Callable[[type[_Component]], type[_Component]]:
        """Add a fake with the decorated class as its service, or as its runtime."""

        def register(component: type[_Component]) -> type[_Component]:
            name = "service" if issubclass(component, Service) else "runtime"
            self.add(mutant_id, mistake, with_settings(**{name: component}), *caught_by)
            return component

        return register


def with_settings(**options: Any) -> Make:
    """Make the fake with settings that its target does not declare."""
    return lambda directory: in_process(directory, **options)


def with_middleware(wrap: Callable[[ASGIApp], Any], **options: Any) -> Make:
    """Make the fake, with settings, behind a middleware that rewrites requests or answers."""

    @contextmanager
    def make(directory: Path) -> Generator[Target]:
        with in_process(directory, **options) as target:
            assert target.app is not None
            app: Any = target.app
            yield replace(target, app=wrap(app))

    return make
