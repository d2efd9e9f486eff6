"""The pages and drawings of the fake's structure are true: files, and the tree of errors."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sandbox_fakeproxy
from sandbox_fakeproxy import errors

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fakeproxy" / "sandbox_fakeproxy"
CONTRACT = ROOT / "contract" / "sandbox_contract"


def test_each_file_of_the_page_is_there() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w[\w/.]*(?:\.py|\.sh|\.yaml|/))`", page)
    assert len(named) > 40
    assert [
        each for each in named if not any((at / each).exists() for at in (PACKAGE, CONTRACT, ROOT))
    ] == []


@pytest.mark.parametrize("package", [PACKAGE, CONTRACT], ids=lambda package: package.name)
def test_each_folder_of_a_package_is_on_the_page(package: Path) -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = {each.name for each in package.iterdir() if (each / "__init__.py").exists()}
    assert [each for each in sorted(folders) if f"`{each}/" not in page] == []


def test_the_drawn_tree_has_each_error_of_the_fake_below_its_base() -> None:
    drawn: dict[str, str] = {}
    path = ["Exception"]
    for branch, name in re.findall(
        r"^((?:[│ ]   )*[├└]── )(\w+)", inspect.getdoc(errors) or "", re.MULTILINE
    ):
        path[len(branch) // 4 :] = [name]
        drawn[name] = path[-2]
    known = {each.__name__: each.__bases__[0].__name__ for each in _public_errors()}
    assert drawn == known | {"ValueError": "Exception"}


def _public_errors() -> Iterator[type[Exception]]:
    """Yield each exception class that a module of the package defines."""
    prefix = f"{sandbox_fakeproxy.__name__}."
    for module in pkgutil.walk_packages(sandbox_fakeproxy.__path__, prefix):
        if module.name.endswith(("__main__", ".match")):  # programs
            continue
        for name, each in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            is_own = each.__module__ == module.name and not name.startswith("_")
            if is_own and issubclass(each, Exception):
                yield each
