"""Ten problems of a user of the terminal: each as the screen shows it, and the advised way on."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_fakeproxy import FakeProxyServer

from tests.integration.programs import run_remote_sandbox, write_config
from tests.integration.slow_line import slow_line
from tests.integration.terminal import RemoteSandboxTerminal, open_terminal

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

BOX = "box"
POD_START = 180.0  # seconds
WAITING = "echo begun; until [ -e go ]; do sleep 0.05; done; echo ended"
LIST, STATUS = "/api/sandboxes", f"/api/sandboxes/{BOX}"
FAST = "60"  # times as fast as this machine's clock
WIDE = 400  # columns: no line is wrapped


@pytest.fixture
def ready_after() -> float:
    """Return the seconds until a sandbox is ready."""
    return 0.0


@pytest.fixture
def server(tmp_path: Path, ready_after: float) -> Generator[FakeProxyServer]:
    """Return a served fake with a manual clock; a change shows at once."""
    (tmp_path / "fake").mkdir()
    with FakeProxyServer(tmp_path / "fake", ready_after=ready_after, reconcile_delay=0) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, server: FakeProxyServer) -> Path:
    """Return a home directory with the configuration of a user of the fake."""
    directory = tmp_path / "home"
    directory.mkdir()
    write_config(directory, server.url, server.user("alice"))
    return directory


@pytest.fixture
def box_home(home: Path) -> Path:
    """Return `home`, after its user has created BOX."""
    assert run_remote_sandbox(home, "create", BOX).returncode == 0
    return home


cold_pod = pytest.mark.parametrize("ready_after", [POD_START])


def screen_of(home: Path, *words: str, **variables: str) -> tuple[int, str]:
    """Run `remote-sandbox` in a terminal; return its exit code and the screen at its end."""
    with open_terminal(home, *words, columns=WIDE, **variables) as terminal:
        return terminal.finish(), terminal.screen


def end_of(terminal: RemoteSandboxTerminal) -> tuple[int, str]:
    """Return the exit code and the screen at the end of a program."""
    return terminal.finish(), terminal.screen


def advised(screen: str, verb: str) -> list[str]:
    """Return the words of the command line with `verb` that the screen advises."""
    found = re.search(rf"`remote-sandbox ({verb}\b[^`]*)`", screen)
    assert found is not None, screen
    return found[1].split()


@cold_pod
def test_a_proxy_that_goes_away_during_a_create(server: FakeProxyServer, home: Path) -> None:
    with open_terminal(home, "create", BOX, columns=WIDE, CLOCK_RATE=FAST) as terminal:
        server.wait_for_request("GET", STATUS)
        server.stop()
        code, screen = end_of(terminal)
    server.start()
    server.advance(POD_START)

    assert code == 1
    assert "created" in screen
    assert "Connection refused" in screen
    assert "cause: the network, or a proxy that was stopped: it has answered before" in screen
    assert "NOT ready" not in screen, "nobody knows"
    code, screen = screen_of(home, *advised(screen, "status"))
    assert (code, f"{BOX} is ready" in screen) == (0, True)


def test_a_proxy_that_goes_away_during_a_prompt(server: FakeProxyServer, box_home: Path) -> None:
    with open_terminal(box_home, "prompt", BOX, WAITING, columns=WIDE, CLOCK_RATE=FAST) as terminal:
        terminal.wait_for("begun")
        server.stop()
        code, screen = end_of(terminal)
    server.start()
    assert run_remote_sandbox(box_home, "prompt", BOX, "touch go").returncode == 0

    assert code == 125
    assert "Connection refused" in screen
    assert "last known to be running" in screen
    code, screen = screen_of(box_home, *advised(screen, "output"))
    assert (code, screen) == (0, "ended")


def test_a_proxy_that_goes_away_during_a_copy(server: FakeProxyServer, box_home: Path) -> None:
    data = os.urandom(2_000_000)
    file = box_home / "data"
    file.write_bytes(data)
    words = ("cp", str(file), f"{BOX}:data")
    with open_terminal(box_home, *words, columns=WIDE, CLOCK_RATE=FAST) as terminal:
        server.wait_for_request("POST", f"/proxy/{BOX}/v1/file/write")
        server.stop()
        code, screen = end_of(terminal)
    server.start()

    assert code == 1
    assert "0 files copied" in screen
    assert "a proxy that was stopped: it had answered this copy before" in screen
    assert "make fake" not in screen
    assert "HTTP" not in screen
    assert screen_of(box_home, *words)[0] == 0, "the same line again"
    assert run_remote_sandbox(box_home, "cp", f"{BOX}:data", str(box_home / "back")).returncode == 0
    assert (box_home / "back").read_bytes() == data


@cold_pod
def test_a_cold_pod_of_three_minutes(server: FakeProxyServer, home: Path) -> None:
    code, screen = screen_of(home, "create", BOX, CLOCK_RATE=FAST)
    assert code == 3
    assert re.search(r"NOT ready after 6\d s: pending", screen)
    server.advance(60)
    code, early = screen_of(home, "prompt", BOX, "echo hello")
    assert code == 125
    assert "not ready" in early
    assert "the command was not run" in early
    server.advance(POD_START)
    code, screen = screen_of(home, *advised(screen, "status"))
    assert (code, f"{BOX} is ready" in screen) == (0, True)
    assert screen_of(home, "prompt", BOX, "echo hello") == (0, "hello")


def test_a_colleague_deletes_the_sandbox(server: FakeProxyServer, box_home: Path) -> None:
    with open_terminal(box_home, "prompt", BOX, WAITING, columns=WIDE) as terminal:
        terminal.wait_for("begun")
        assert run_remote_sandbox(box_home, "delete", BOX).returncode == 0
        code, screen = end_of(terminal)

    assert code == 125
    assert f"'{BOX}'" in screen
    assert "deleted while the command ran" in screen
    assert "session" not in screen, "there is none any more"
    code, screen = screen_of(box_home, *advised(screen, "list"))
    assert (code, screen.startswith("No sandboxes.")) == (0, True)


def test_a_full_quota(server: FakeProxyServer, home: Path) -> None:
    sandboxes = [{"name": f"box-{number}", "state": "paused"} for number in range(10)]
    user: dict[str, Any] = {"username": "bob", "keys": [{}], "sandboxes": sandboxes}
    made = server.seed({"users": [user]})
    key = {"REMOTE_SANDBOX_API_KEY": made["users"][0]["keys"][0]["api_key"]}

    code, screen = screen_of(home, "create", "one-more", **key)

    assert code == 1
    assert "quota exceeded: a user may have 10 sandboxes, paused ones counted" in screen
    assert "remote-sandbox delete NAME" in screen
    code, listed = screen_of(home, *advised(screen, "list"), **key)
    assert (code, listed.count("paused")) == (0, 10)
    assert screen_of(home, "delete", "box-3", **key)[0] == 0
    assert screen_of(home, "create", "one-more", **key)[0] == 0


def test_a_slow_line(server: FakeProxyServer, box_home: Path) -> None:
    data = os.urandom(150_000)
    (box_home / "data").write_bytes(data)
    with slow_line(server.url, bytes_per_second=100_000, latency=0.15) as url:
        slow = {"REMOTE_SANDBOX_PROXY_URL": url}
        code, screen = screen_of(box_home, "cp", str(box_home / "data"), f"{BOX}:data", **slow)
        assert (code, "1 file (" in screen) == (0, True)
        command = "sha256sum < data | cut -c-64; sleep 1; seq 20000 | tail -n 1"
        code, screen = screen_of(box_home, "prompt", BOX, command, **slow)
    assert code == 0
    assert screen.splitlines()[1] == "20000"


def test_a_laptop_closed_for_an_hour(server: FakeProxyServer, box_home: Path) -> None:
    with open_terminal(box_home, "prompt", BOX, WAITING, columns=WIDE) as terminal:
        terminal.wait_for("begun")
        os.kill(terminal.pseudo.process.pid, signal.SIGSTOP)
        server.stop()  # its connections are gone when the laptop wakes
        server.start()
        server.advance(3600)
        assert run_remote_sandbox(box_home, "prompt", BOX, "touch go").returncode == 0
        os.kill(terminal.pseudo.process.pid, signal.SIGCONT)
        code, screen = end_of(terminal)

    assert (code, screen) == (0, "begun\nended")


def test_two_terminals_on_one_sandbox(server: FakeProxyServer, box_home: Path) -> None:
    session = ("prompt", "--session", "work", BOX)
    with open_terminal(box_home, *session, WAITING, columns=WIDE) as first:
        first.wait_for("begun")
        code, screen = screen_of(box_home, *session, "echo mine")
        assert code == 125
        assert f"runs '{WAITING}'; this one was not run" in screen
        assert screen_of(box_home, "prompt", BOX, "touch go; echo beside") == (0, "beside")
        code, screen = end_of(first)
    assert code == 0
    assert screen.endswith("begun\nended")


def test_a_huge_log(server: FakeProxyServer, box_home: Path) -> None:
    with open_terminal(box_home, "prompt", BOX, "seq 1000000; exit 7", columns=WIDE) as terminal:
        code, screen = end_of(terminal)
        lines = re.findall(r"^\d+$", terminal.output, re.MULTILINE)

    assert code == 7
    assert screen.endswith("999999\n1000000")
    assert lines == [str(number) for number in range(1, 1_000_001)], "each line once"


@pytest.mark.parametrize("error", [-50 * 365 * 86400, 400 * 86400])
def test_a_wrong_clock(server: FakeProxyServer, box_home: Path, error: int) -> None:
    code, screen = screen_of(box_home, "list", CLOCK_OFFSET=str(error))
    assert code == 0
    (row,) = [line for line in screen.splitlines() if line.startswith(BOX)]
    assert row.split()[:3] == [BOX, "ready", "unknown"], "the age"
    assert "more than a day" not in screen
    code, screen = screen_of(box_home, "doctor", CLOCK_OFFSET=str(error))
    assert code == 0
    assert "the proxy's clock is" in screen


def test_a_paused_sandbox(server: FakeProxyServer, box_home: Path) -> None:
    assert screen_of(box_home, "prompt", BOX, "echo kept > file")[0] == 0
    code, screen = screen_of(box_home, "pause", BOX)
    assert (code, "is paused" in screen) == (0, True)
    code, screen = screen_of(box_home, "prompt", BOX, "cat file")
    assert code == 125
    assert f"Sandbox '{BOX}' is paused; the command was not run" in screen
    code, resumed = screen_of(box_home, *advised(screen, "resume"))
    assert (code, "is ready" in resumed) == (0, True)
    assert screen_of(box_home, "prompt", BOX, "cat file") == (0, "kept")
