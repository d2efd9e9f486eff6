import ast
import sys
from pathlib import Path

import pytest
import sandbox_fakeproxy
from sandbox_fakeproxy.distribution import install_command

from tools.manifest import ROOT

SOURCE = Path(sandbox_fakeproxy.__file__).parent


def test_the_public_names_are_these() -> None:
    assert sandbox_fakeproxy.__all__ == [
        "APIError",
        "ApiKey",
        "Clock",
        "Command",
        "Fake",
        "FakeProxy",
        "FakeProxyServer",
        "Instant",
        "InvalidDocument",
        "LocalRuntime",
        "ManualClock",
        "Outcome",
        "Runtime",
        "RuntimeUnreachable",
        "Sandbox",
        "ScriptedRuntime",
        "ServerThread",
        "Service",
        "Status",
        "Store",
        "SystemClock",
        "User",
        "create_app",
    ]
    assert sandbox_fakeproxy.__all__ == sorted(sandbox_fakeproxy.__all__)
    assert all(hasattr(sandbox_fakeproxy, name) for name in sandbox_fakeproxy.__all__)


def test_the_fake_imports_neither_the_client_nor_the_contract() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in {"sandbox_client", "sandbox_contract"}, path


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (ROOT / ".venv", f"sh {ROOT}/client/launch --extras fakeproxy"),
        ("/venv", f"pip install '{ROOT}[fakeproxy]'"),
    ],
)
def test_a_missing_package_is_installed_from_the_clone(
    prefix: Path | str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(prefix))
    assert install_command("fakeproxy") == expected


def test_an_installation_that_is_no_clone_names_a_placeholder(tmp_path: Path) -> None:
    assert install_command("fakeproxy", tmp_path) == "pip install '/path/to/the/clone[fakeproxy]'"
