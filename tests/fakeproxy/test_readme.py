"""What the fake's README says of testing is true."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sandbox_fakeproxy
from sandbox_fakeproxy import ScriptedRuntime, create_app
from sandbox_fakeproxy._control.seed import STATES, parse_seed
from sandbox_fakeproxy._state.fates import FATES, fate_of_image
from starlette.routing import Route

pytest_plugins = ["pytester"]

README = (Path(sandbox_fakeproxy.__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_pytest_example_passes(pytester: pytest.Pytester) -> None:
    (example,) = (block for block in blocks("python") if "def test_" in block)
    backend = "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n\n"
    pytester.makepyfile(backend + example)
    pytester.runpytest_subprocess("-W", "error", timeout=50).assert_outcomes(passed=2)


def test_the_example_without_pytest_prints_what_it_is_said_to() -> None:
    (example,) = (block for block in blocks("python") if "asyncio.run(" in block)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == "ran ls"
    assert "It prints `ran ls`." in README


def test_the_seed_is_one_and_shows_every_field() -> None:
    (document,) = blocks("json")
    (alice,) = parse_seed(document.encode())
    assert len(alice.keys) == 2
    assert {box.name for box in alice.sandboxes} == {"box", "asleep", "young", "broken"}
    assert set(json.loads(document)["users"][0]) == {
        "username",
        "email",
        "is_active",
        "keys",
        "sandboxes",
    }
    for state in STATES:
        assert f"`{state}`" in README


def test_the_images_are_those_that_bring_a_fate() -> None:
    images = re.findall(r"^\| `(fake/[\w-]+)` \|", README, re.MULTILINE)
    assert [fate_of_image(image).value for image in images] == list(FATES[1:])


def test_the_table_of_requests_is_all_there_is_below_fake() -> None:
    app = create_app(admin_key="k", runtime=ScriptedRuntime())
    paths = {
        re.sub(r"[{<]\w+[}>]", "*", route.path)
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/_fake/")
    }
    named = re.findall(r"^\| `(?:GET|PUT|POST) (/_fake/[^ `[]+)", README, re.MULTILINE)
    assert {re.sub(r"<\w+>", "*", path) for path in named} == paths
