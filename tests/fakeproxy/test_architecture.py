"""docs/architecture.md names files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fakeproxy" / "sandbox_fakeproxy"


def test_each_file_of_the_page_is_there() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w[\w/.]*(?:\.py|\.sh|\.yaml|/))`", page)
    assert len(named) > 40
    assert [each for each in named if not any((at / each).exists() for at in (PACKAGE, ROOT))] == []


def test_each_part_of_the_fake_is_on_the_page() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = {each.name for each in PACKAGE.iterdir() if (each / "__init__.py").exists()}
    assert [each for each in sorted(folders) if f"`{each}/" not in page] == []
