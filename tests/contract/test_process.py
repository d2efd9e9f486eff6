"""`sandbox-contract` as a process: Ctrl-C, SIGTERM, SIGKILL, and the process list."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.contract.serving import ADMIN_KEY, serve_fake
from tests.contract.test_cli import call, usernames
from tests.integration.programs import DEADLINE, clean_environment
from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

NEVER = 3600.0  # seconds until a sandbox is ready: longer than any test waits


@pytest.fixture
def url(tmp_path: Path) -> Generator[str]:
    with serve_fake(tmp_path / "fake", ready_after=NEVER) as (url, _):
        yield url


def start(
    home: Path, *arguments: str, ignores_ctrl_c: bool = False, **variables: str
) -> subprocess.Popen[str]:
    # As a shell starts a command, and with SIGINT ignored a script's background job. SIGHUP may be
    # ignored here: under nohup.
    signals = {signal.SIGINT: ignores_ctrl_c, signal.SIGHUP: False}
    settings = "".join(
        f"signal.signal({int(number)}, signal.{'SIG_IGN' if is_ignored else 'SIG_DFL'});"
        for number, is_ignored in signals.items()
    )
    execute = f"import os, signal, sys; {settings} os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-m", "sandbox_contract", *arguments]
    return subprocess.Popen(
        [sys.executable, "-I", "-c", execute, *command],
        cwd=ROOT,
        env=clean_environment(
            home,
            PYTHONUNBUFFERED="1",
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),  # of this working copy
            **variables,
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    said = list[str]()
    while not said or words not in said[-1]:
        line = process.stderr.readline()
        assert line, "".join(said)  # pytest-timeout bounds a program that says nothing
        said.append(line)


@pytest.mark.parametrize(
    ("number", "only", "ignores_ctrl_c"),
    [
        (signal.SIGINT, "readiness", False),
        (signal.SIGTERM, "readiness", False),
        (signal.SIGHUP, "readiness", False),
        (signal.SIGINT, "model", False),  # which acts from another thread
        (signal.SIGINT, "readiness", True),
        (signal.SIGTERM, "readiness", True),
    ],
)
def test_an_interrupted_run_cleans_up_and_reports_its_findings(
    url: str, tmp_path: Path, number: signal.Signals, only: str, ignores_ctrl_c: bool
) -> None:
    arguments = ("run", "--proxy-url", url, "--only", "health", only)
    with start(
        tmp_path, *arguments, ignores_ctrl_c=ignores_ctrl_c, ADMIN_API_KEY=ADMIN_KEY
    ) as process:
        wait_for(process, "waiting for sandbox contract-")
        assert len(usernames(url)) > 1
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the run was not finished" in out
    assert usernames(url) == ["admin"]


class Holding:
    """Delay deletions of sandboxes: GET /held returns once one waits, GET /go lets it go on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._holds, self._goes = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # which tells the server that there is no lifespan
        if scope["path"] == "/held":
            await self._holds.wait()
        if scope["path"] == "/go":
            self._goes.set()
        if scope["method"] == "DELETE" and scope["path"].startswith("/api/sandboxes/"):
            self._holds.set()
            await self._goes.wait()
        await self._app(scope, receive, send)


def test_a_ctrl_c_while_it_cleans_up_lets_it_come_to_its_end(tmp_path: Path) -> None:
    arguments = ("run", "--only", "readiness.ready.row")
    with (
        serve_fake(tmp_path / "fake", Holding, ready_after=NEVER) as (url, _),
        start(tmp_path, *arguments, PROXY_URL=url, ADMIN_API_KEY=ADMIN_KEY) as process,
    ):
        wait_for(process, "waiting for sandbox contract-")
        process.send_signal(signal.SIGINT)
        call(url, ADMIN_KEY, "GET", "/held")
        process.send_signal(signal.SIGINT)
        call(url, ADMIN_KEY, "GET", "/go")
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 130, err
        assert "Traceback" not in err
        assert "the run was not finished" in out
        assert usernames(url) == ["admin"]


def test_a_third_ctrl_c_ends_it_at_once_and_it_tells_what_may_be_left(tmp_path: Path) -> None:
    arguments = ("run", "--only", "readiness.ready.row")
    with (
        serve_fake(tmp_path / "fake", Holding, ready_after=NEVER) as (url, _),
        start(tmp_path, *arguments, PROXY_URL=url, ADMIN_API_KEY=ADMIN_KEY) as process,
    ):
        wait_for(process, "waiting for sandbox contract-")
        process.send_signal(signal.SIGINT)
        call(url, ADMIN_KEY, "GET", "/held")
        wait_for(process, "removing what this run has created; Ctrl-C twice leaves it")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
        call(url, ADMIN_KEY, "GET", "/go")
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Perhaps left on the target, which did not list it: the cleanup was interrupted" in out
    assert re.search(r"^  user contract-[0-9a-f]{6}-alice$", out, re.MULTILINE)
    assert "To remove what is left: sandbox-contract sweep --run " in err


def test_a_killed_run_is_swept(url: str, tmp_path: Path) -> None:
    arguments = ("run", "--proxy-url", url, "--only", "readiness.ready.row")
    with start(tmp_path, *arguments, ADMIN_API_KEY=ADMIN_KEY) as process:
        wait_for(process, "waiting for sandbox contract-")
        process.kill()
        process.communicate(timeout=DEADLINE)
    (left,) = set(usernames(url)) - {"admin"}
    run_id = left.split("-")[1]
    arguments = ("sweep", "--proxy-url", url, "--run", run_id)
    with start(tmp_path, *arguments, ADMIN_API_KEY=ADMIN_KEY) as process:
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    assert out == f"removed: user {left}\n"
    assert usernames(url) == ["admin"]


def test_a_key_among_the_arguments_is_in_no_process_list(url: str, tmp_path: Path) -> None:
    arguments = (
        "run",
        "--proxy-url",
        url,
        "--only",
        "readiness.ready.row",
        "--admin-key",
        ADMIN_KEY,
    )
    with start(tmp_path, *arguments) as process:
        wait_for(process, "waiting for sandbox contract-")
        shown = psutil.Process(process.pid).cmdline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
    assert "--only" in shown
    assert ADMIN_KEY not in " ".join(shown)
    assert call(url, ADMIN_KEY, "GET", "/api/admin/users")["count"] == 1


def test_a_reader_that_leaves_gets_no_traceback(tmp_path: Path) -> None:
    with start(tmp_path, "list") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert said == ""


def test_help_fits_a_terminal_and_says_the_exit_codes(tmp_path: Path) -> None:
    with start(tmp_path, "run", "--help", COLUMNS="80") as process:
        out, _ = process.communicate(timeout=DEADLINE)
    assert max(map(len, out.splitlines())) <= 80
    assert "0 every MUST that was judged holds" in " ".join(out.split())


def test_make_contract_judges_the_proxy_that_it_is_given(url: str, tmp_path: Path) -> None:
    process = subprocess.run(
        [
            *("make", "--silent", "contract", f"PROXY_URL={url}", f"ADMIN_API_KEY={ADMIN_KEY}"),
            "ARGS=--only health me --level must",
        ],
        cwd=ROOT,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert f"Judging {url} by " in process.stderr
    assert re.search(
        r"Every MUST that was judged holds: (\d+) of \d+ clauses were selected, \1 judged, 0 not",
        process.stdout,
    )
    assert usernames(url) == ["admin"]
