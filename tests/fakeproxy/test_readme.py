"""The statements and console sessions of the fake's README."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sandbox_fakeproxy
from sandbox_fakeproxy import ManualClock, ScriptedRuntime, create_app
from sandbox_fakeproxy.control.seed import STATES, parse_seed
from sandbox_fakeproxy.model import FAILURE_MODES, failure_mode_from_image
from sandbox_fakeproxy.runtime.paths import SandboxPaths
from sandbox_fakeproxy.runtime.pipe.commands import Clocks, Process, ProcessListener
from sandbox_fakeproxy.runtime.pipe.sessions import PipeSessions
from sandbox_fakeproxy.runtime.pods import Pod
from sandbox_fakeproxy.runtime.shell.sessions import Sessions, Shell, ShellListener
from starlette.routing import Route

pytest_plugins = ["pytester"]

README = (Path(sandbox_fakeproxy.__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_pytest_examples_pass(pytester: pytest.Pytester) -> None:
    examples = [block for block in blocks("python") if "def test_" in block]
    backend = "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n\n"
    pytester.makepyfile(backend + "\n\n".join(examples))
    pytester.runpytest_subprocess("-W", "error", timeout=50).assert_outcomes(passed=3)


def test_the_example_without_pytest_prints_the_stated_output() -> None:
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


def test_the_seed_is_valid_and_shows_every_field() -> None:
    (document,) = blocks("json")
    (alice,) = parse_seed(document.encode(), has_port=False).users
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


def test_the_table_of_images_names_every_failure_mode() -> None:
    images = re.findall(r"^\| `(fake/[\w-]+)` \|", README, re.MULTILINE)
    assert [failure_mode_from_image(image).value for image in images] == list(FAILURE_MODES[1:])


def test_the_table_of_requests_is_all_there_is_below_fake() -> None:
    app = create_app(admin_key="k", runtime=ScriptedRuntime())
    paths = {
        re.sub(r"[{<]\w+[}>]", "*", route.path)
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/_fake/")
    }
    rows = "\n".join(re.findall(r"^\| (`(?:GET|PUT|POST) /_fake/[^|]+)", README, re.MULTILINE))
    named = re.findall(r"`(?:GET|PUT|POST|DELETE) (/_fake/[^ `]+)", rows)
    assert {re.sub(r"<\w+>", "*", path) for path in named} == paths


def no_shell(_listener: ShellListener, _directory: str) -> Shell:
    raise AssertionError("nothing is run here")


def no_process(_listener: ProcessListener) -> Process:
    raise AssertionError("nothing is run here")


def test_the_tables_of_routes_are_all_that_it_answers(tmp_path: Path) -> None:
    app = create_app(admin_key="k", runtime=ScriptedRuntime())
    own = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in app.routes
        if isinstance(route, Route) and not route.path.startswith(("/_fake/", "/{path"))
        for method in (route.methods or {"any method"}) - {"HEAD"}  # which goes with every GET
    }
    paths = SandboxPaths(tmp_path, isolated=False)
    clock = ManualClock()
    sessions = Sessions(paths, clock, no_shell, str)
    pipes = PipeSessions(paths, Clocks(clock, clock), no_process, str)
    runtime = Pod(sessions, pipes, paths).routes
    inside = {(method, path) for path, methods in runtime.items() for method in methods}
    section = README.split("## Routes")[1].split("\n## ")[0]
    named = re.findall(r"`(?:(GET|POST|PUT|DELETE) )?(/[^`]+)`", section)
    assert {(method or "any method", path) for method, path in named} == own | inside | {
        ("any method", "/proxy/<name>")
    }


# The sessions ------------------------------------------------------------------------------------

# A session's lines are one block: commands after a `$`, and what they answer, with `...` for what
# differs from run to run.
SESSIONS = re.findall(r"^```console([^\n]*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
NAMES = "as() {"
DEADLINE = 50  # seconds; all sessions together take two


@contextmanager
def a_readmes_fake(folder: Path, *options: str) -> Generator[str]:
    """Serve the fake with the README's world, and yield its URL."""
    (document,) = blocks("json")
    (folder / "world.json").write_text(document)
    command = ["serve", "--ephemeral", "--port", "0", "--seed-file", "world.json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_fakeproxy", *command, *options],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "ADMIN_API_KEY": "an-admin-key"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)


def steps(session: str) -> list[tuple[str, str]]:
    """Return the commands of a session, each with its stated output."""
    found: list[tuple[str, str]] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), ""))
        elif line.startswith("> "):  # a command's next line
            found[-1] = (found[-1][0] + line.removeprefix(">"), "")
        else:
            command, answer = found[-1]
            found[-1] = (command, f"{answer}{line}\n")
    return found


def run(folder: Path, url: str, commands: list[str]) -> list[str]:
    """Run commands in one shell that has the README's names; return the output of each."""
    (names,) = (block for block in blocks("sh") if NAMES in block)
    end = "(the end of an answer)"
    lines = [names.replace("http://127.0.0.1:8080", url)]
    lines += [f"{command}\nprintf '{end}'" for command in commands]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split(end)[:-1]


@pytest.mark.parametrize(("where", "options"), [("", []), (" as-deployed", ["--as-deployed"])])
def test_the_console_sessions_print_the_stated_output(
    tmp_path: Path, where: str, options: list[str]
) -> None:
    told = [step for kind, session in SESSIONS if kind == where for step in steps(session)]
    assert told
    with a_readmes_fake(tmp_path, *options) as url:
        answers = run(tmp_path, url, [command for command, _ in told])
    for (command, said), answer in zip(told, answers, strict=True):
        pattern = ".*?".join(re.escape(part) for part in said.strip().split("..."))
        assert re.fullmatch(pattern, answer.strip(), re.DOTALL), f"{command}\n{answer}"


def test_every_section_that_shows_the_fake_at_work_has_a_session() -> None:
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    shown = {title for title, text in sections if "```console" in text}
    assert shown >= {
        "Seed",
        "Run commands",
        "Files",
        "Time",
        "Failure modes",
        "Faults",
        "Limitations",
    }
