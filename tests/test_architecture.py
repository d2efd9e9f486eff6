"""The law at the head of each package: client, fakeproxy and contract never import one another."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = {
    "client": "sandbox_client",
    "fakeproxy": "sandbox_fakeproxy",
    "contract": "sandbox_contract",
}

# The client reads inwards: each module knows those after it, and only those.
CLIENT_ORDER = (
    "__main__",
    "_cli",
    "_commands",
    "_face",
    "_server",
    "_resources",
    "_tools",
    "_content",
    "_backend",
    "_doctor",
    "_login",
    "_access",
    "_client",
    "_files",
    "_prompts",
    "_watch",
    "_sandboxes",
    "_lifecycle",
    "_waiting",
    "_proxy",
    "_tls",
    "_refusal",
    "_config",
    "_config_file",
    "_agent",
    "_excerpt",
    "_account_wire",
    "_shell_wire",
    "_wire",
    "_message",
    "_errors",
    "__init__",
)

# So do the fake's packages, and the modules beside them.
FAKEPROXY_ORDER = (
    "__main__",
    "pytest_plugin",
    "__init__",
    "_testing",
    "_serving",
    "_app",
    "_control",
    "_deployed",
    "_proxy",
    "_local",
    "_scripted",
    "_shells",
    "_files",
    "_runtime",
    "_state",
    "_http",
    "_mint",
    "_clock",
    "_errors",
    "_distribution",
)
CONTRACT_ORDER = (
    "__main__",
    "_cli",
    "test_proxy",
    "pytest_plugin",
    "_options",
    "_fake_clock",
    "__init__",
    "_suite",
    "_pytest_summary",
    "_progress",
    "_console",
    "_sweep",
    "_trial",
    "_judge",
    "_checks",
    "_run",
    "_report",
    "_target",
    "_verdict",
    "_clauses",
    "probe",
    "_wire",
    "_distribution",
)


@dataclass(frozen=True)
class House:
    """A package of packages that reads inwards: each room knows those after it, and only those."""

    folder: str
    name: str
    order: tuple[str, ...]

    @property
    def root(self) -> Path:
        return ROOT / self.folder / self.name

    @property
    def packages(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("*/__init__.py"))

    def room(self, name: str) -> str:
        """Return which package, or module beside them, a full name is in."""
        return next((part for part in name.split(".")[1:2] if part in self.order), "__init__")

    def known_to(self, name: str) -> set[str]:
        """Return what a package, or a module beside them, imports of the others."""
        files = [self.root / f"{name}.py", *(self.root / name).rglob("*.py")]
        names = {each for path in files if path.exists() for each in imported(path)}
        return {self.room(each) for each in names if each.startswith(f"{self.name}.")} - {name}


CLIENT = House("client", "sandbox_client", CLIENT_ORDER)
FAKEPROXY = House("fakeproxy", "sandbox_fakeproxy", FAKEPROXY_ORDER)
CONTRACT = House("contract", "sandbox_contract", CONTRACT_ORDER)
HOUSES = {house.folder: house for house in (CLIENT, FAKEPROXY, CONTRACT)}
PACKAGES_IN_HOUSES = [(house, name) for house in HOUSES for name in HOUSES[house].packages]


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Yield the full name of each module that the file imports, wherever in it."""
    source_root = next(each for each in path.parents if not (each / "__init__.py").exists())
    package = path.relative_to(source_root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join((*package[: len(package) + 1 - node.level], base)).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", PACKAGES)
def test_no_package_imports_another(folder: str) -> None:
    others = {name for other, name in PACKAGES.items() if other != folder}
    for path in sources(folder):
        strangers = {name for name in imported(path) if name.split(".")[0] in others | {"tests"}}
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


def test_the_walls_are_looked_for_where_the_code_is() -> None:
    assert len(sources("client")) > 10
    assert len(sources("fakeproxy")) > 10
    assert len(sources("contract")) > 10
    assert "sandbox_client._errors" in set(imported(ROOT / "client/sandbox_client/_config.py"))
    assert "sandbox_fakeproxy._files.tree" in set(imported(FAKEPROXY.root / "_files" / "volume.py"))


def test_only_one_module_touches_httpx() -> None:
    users = {path.stem for path in sources("client") if "httpx" in set(imported(path))}
    assert users == {"_proxy"}


def test_only_the_server_touches_the_mcp_package() -> None:
    users = {
        path.stem
        for path in sources("client")
        if any(name.split(".")[0] in {"mcp", "mcp_types"} for name in imported(path))
    }
    assert users == {"_server"}


@pytest.mark.parametrize("house", HOUSES)
def test_each_room_of_a_house_knows_only_those_further_in(house: str) -> None:
    here = HOUSES[house]
    modules = {path.stem for path in here.root.glob("*.py")}
    assert modules | set(here.packages) == set(here.order)
    for number, name in enumerate(here.order):
        further_out = here.known_to(name) - set(here.order[number + 1 :])
        assert not further_out, f"{name} imports {further_out}, which are further out"


@pytest.mark.parametrize(("house", "name"), PACKAGES_IN_HOUSES)
def test_each_room_of_a_house_says_what_it_knows(house: str, name: str) -> None:
    here = HOUSES[house]
    law = ast.get_docstring(ast.parse((here.root / name / "__init__.py").read_text())) or ""
    said = re.findall(r"`(\w+)`", law.rpartition("\n\nKnows ")[2])
    assert sorted(here.known_to(name)) == said, f"{name} is not what its docstring says"


def test_only_one_module_of_the_contract_touches_httpx() -> None:
    users = {path.stem for path in sources("contract") if "httpx" in set(imported(path))}
    assert users == {"caller"}


def test_the_fakes_state_knows_no_http() -> None:
    strangers = {"starlette", "uvicorn", "httpx"}
    for path in (FAKEPROXY.root / "_state").glob("*.py"):
        assert not strangers & {name.split(".")[0] for name in imported(path)}, path.name
