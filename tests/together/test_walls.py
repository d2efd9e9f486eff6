"""The law at the head of each package: client, fakeproxy and contract never import one another."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.manifest import ROOT

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
    "_face",
    "_server",
    "_tools",
    "_tool",
    "_content",
    "_sandboxes",
    "_lifecycle",
    "_proxy",
    "_tls",
    "_refusal",
    "_config",
    "_wire",
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
)
FAKEPROXY = ROOT / "fakeproxy" / "sandbox_fakeproxy"
FAKEPROXY_PACKAGES = sorted(path.parent.name for path in FAKEPROXY.glob("*/__init__.py"))


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
    assert "sandbox_client._errors" in set(imported(ROOT / "client/sandbox_client/_config.py"))
    assert "sandbox_fakeproxy._files.tree" in set(imported(FAKEPROXY / "_files" / "volume.py"))


def test_each_client_module_knows_only_those_further_in() -> None:
    modules = {path.stem for path in sources("client")}
    assert modules == set(CLIENT_ORDER)
    for path in sources("client"):
        inner = CLIENT_ORDER[CLIENT_ORDER.index(path.stem) + 1 :]
        for name in imported(path):
            module = name.removeprefix("sandbox_client").lstrip(".").split(".")[0]
            if name.startswith("sandbox_client.") and module in modules:
                assert module in inner, f"{path.stem} imports {module}, which is further out"


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


def room(name: str) -> str:
    """Return which of the fake's packages, or modules beside them, a full name is in."""
    return next((part for part in name.split(".")[1:2] if part in FAKEPROXY_ORDER), "__init__")


def rooms_known_to(name: str) -> set[str]:
    """Return what a package of the fake, or a module beside them, imports of the others."""
    files = [FAKEPROXY / f"{name}.py", *(FAKEPROXY / name).rglob("*.py")]
    names = {each for path in files if path.exists() for each in imported(path)}
    return {room(each) for each in names if each.startswith("sandbox_fakeproxy.")} - {name}


def test_each_of_the_fakes_packages_knows_only_those_further_in() -> None:
    modules = {path.stem for path in FAKEPROXY.glob("*.py")}
    assert modules | set(FAKEPROXY_PACKAGES) == set(FAKEPROXY_ORDER)
    for number, name in enumerate(FAKEPROXY_ORDER):
        further_out = rooms_known_to(name) - set(FAKEPROXY_ORDER[number + 1 :])
        assert not further_out, f"{name} imports {further_out}, which are further out"


@pytest.mark.parametrize("name", FAKEPROXY_PACKAGES)
def test_each_of_the_fakes_packages_says_what_it_knows(name: str) -> None:
    law = ast.get_docstring(ast.parse((FAKEPROXY / name / "__init__.py").read_text())) or ""
    said = re.findall(r"`(\w+)`", law.rpartition("\n\nKnows ")[2])
    assert sorted(rooms_known_to(name)) == said, f"{name} is not what its docstring says"


def test_the_fakes_state_knows_no_http() -> None:
    strangers = {"starlette", "uvicorn", "httpx"}
    for path in (FAKEPROXY / "_state").glob("*.py"):
        assert not strangers & {name.split(".")[0] for name in imported(path)}, path.name
