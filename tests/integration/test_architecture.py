"""Each path on the page about the architecture exists, and each folder of a package is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "architecture.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PACKAGES = {
    "The client": ROOT / "client/sandbox_client",
    "The fake proxy": ROOT / "fakeproxy/sandbox_fakeproxy",
    "The contract suite": ROOT / "contract/sandbox_contract",
}
sections = pytest.mark.parametrize(
    ("text", "package"),
    [(SECTIONS[name], package) for name, package in PACKAGES.items()],
    ids=list(PACKAGES),
)


def test_the_page_has_a_section_for_each_package() -> None:
    assert list(SECTIONS) == list(PACKAGES)


@sections
def test_each_path_of_a_section_exists(text: str, package: Path) -> None:
    paths = re.findall(r"`(\w[\w/.]*(?:\.py|\.sh|\.yaml|/))`", text)

    assert len(paths) > 20
    assert [each for each in paths if not any((at / each).exists() for at in (package, ROOT))] == []


def test_each_module_of_the_client_is_in_its_section() -> None:
    package = PACKAGES["The client"]
    names = sorted(str(each.relative_to(package)) for each in package.rglob("*.py"))
    modules = [each for each in names if not each.endswith("/__init__.py")]

    assert [each for each in modules if f"`{each}`" not in SECTIONS["The client"]] == []


@sections
def test_each_folder_of_a_package_is_in_its_section(text: str, package: Path) -> None:
    folders = sorted(each.name for each in package.iterdir() if (each / "__init__.py").exists())

    assert [each for each in folders if f"`{each}/" not in text] == []
