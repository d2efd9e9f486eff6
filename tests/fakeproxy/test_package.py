import ast
from pathlib import Path

import sandbox_fakeproxy

SOURCE = Path(sandbox_fakeproxy.__file__).parent


def test_the_public_names_are_these() -> None:
    assert sandbox_fakeproxy.__all__ == [
        "Clock",
        "Command",
        "Fake",
        "FakeProxy",
        "FakeProxyServer",
        "LocalRuntime",
        "ManualClock",
        "Outcome",
        "Runtime",
        "RuntimeUnreachable",
        "ScriptedRuntime",
        "SeedUnusable",
        "Store",
        "SystemClock",
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
