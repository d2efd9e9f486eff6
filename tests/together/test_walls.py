"""The law at the head of each package: client, fakeproxy and contract never import one another."""

from __future__ import annotations

import ast
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


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Yield the full name of each module that the file imports, wherever in it."""
    package = path.parent.name
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = f"{package}.{base}".rstrip(".")
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
