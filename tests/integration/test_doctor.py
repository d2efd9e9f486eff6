"""`check_connection` and `remote-sandbox doctor` against the fake, sane and as deployed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sandbox_client import _config
from sandbox_client._backend import Backend
from sandbox_client._client import over
from sandbox_client._commands.login import Login
from sandbox_client._doctor import examine
from sandbox_client._face import Face
from sandbox_client._proxy import Proxy
from sandbox_client._waiting import Timing

from tests.integration.in_process import ADMIN_KEY, InProcessFake
from tests.integration.programs import DEADLINE, clean_environment
from tests.integration.terminal import a_terminal

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from sandbox_client._client import Client
    from sandbox_client._config import Config
    from sandbox_client._doctor import Finding

    from tests.integration.programs import FakeProcess

LOOPBACK = "http://localhost"


def timing(in_process: InProcessFake) -> Timing:
    return Timing(lambda: in_process.clock.now().timestamp(), in_process.sleep, lambda: 0.5)


def access_to(in_process: InProcessFake, environ: Mapping[str, str]) -> Backend:
    """Return a provider of clients of the in-process fake, whatever host is configured."""

    def connect(config: Config) -> Client:
        return over(
            Proxy(config, transport=in_process.transport, sleep=in_process.sleep),
            timing(in_process),
        )

    return Backend(environ, connect)


async def examined(
    in_process: InProcessFake, key: str, ahead: timedelta = timedelta()
) -> tuple[dict[str, str], dict[str, Finding]]:
    """The outcomes that are not `passed`, and all findings by their names."""
    variables = {"REMOTE_SANDBOX_PROXY_URL": LOOPBACK, "REMOTE_SANDBOX_API_KEY": key}
    access = access_to(in_process, {"HOME": "/nonexistent", **variables})
    found = {
        each.check: each
        for each in await examine(
            access,
            report=in_process.report,
            timing=timing(in_process),
            now=lambda: in_process.clock.now() - ahead,
        )
    }
    assert key not in str(found)
    return {name: each.outcome for name, each in found.items() if each.outcome != "passed"}, found


async def test_a_users_key_passes_every_check(in_process: InProcessFake) -> None:
    key = (await in_process.key(await in_process.user("ada")))["api_key"]

    outcomes, found = await examined(in_process, key)

    assert outcomes == {}
    assert found["key"].words.endswith("it is ada's")


async def test_an_unknown_key_fails_beside_a_proxy_that_is_well(in_process: InProcessFake) -> None:
    outcomes, found = await examined(in_process, "sk_live_" + "0" * 32)

    assert outcomes == {"key": "failed", "sandboxes": "not tried"}
    assert "does not know the API key" in found["key"].words


async def test_a_key_that_expires_soon_and_a_wrong_clock_are_warned_about(
    in_process: InProcessFake,
) -> None:
    expires_at = (in_process.clock.now() + timedelta(days=3)).isoformat()
    key = (await in_process.key(await in_process.user("ada"), expires_at=expires_at))["api_key"]

    outcomes, found = await examined(in_process, key, ahead=timedelta(minutes=5))

    assert outcomes == {"clock": "warned", "key": "warned"}
    assert found["clock"].words == "the proxy's clock is 5 minutes ahead of this machine's"
    assert "expires in 3 days" in found["key"].words


async def test_a_used_up_quota_is_warned_about_and_counts_the_paused(
    in_process: InProcessFake,
) -> None:
    key = (await in_process.key(await in_process.user("ada")))["api_key"]
    sandboxes = in_process.client(key).sandboxes
    for number in range(10):
        await sandboxes.create(f"box-{number}", image=None, port=None, report=in_process.report)
    await sandboxes.pause("box-0", report=in_process.report)
    in_process.clock.advance(timedelta(days=2).total_seconds())

    outcomes, found = await examined(in_process, key)

    assert outcomes == {"sandboxes": "warned"}
    assert found["sandboxes"].words.startswith("10 of 10")
    assert "older than a day: box-" in found["sandboxes"].words


@dataclass
class AnAdministrator:
    """The answers of a person who logs in with the admin key and agrees."""

    tries: int = 1

    def text(self, _: str, default: str, /) -> str:
        return default

    def secret(self, _: str, /) -> str:
        return ADMIN_KEY

    def agreed(self, _: str, /, *, default: bool) -> bool:
        return default


async def test_a_login_with_the_admin_key_makes_a_user_and_then_another_key(
    in_process: InProcessFake, tmp_path: Path
) -> None:
    access = access_to(in_process, {"HOME": str(tmp_path)})
    keys: set[str] = set()
    for _ in range(2):
        login = Login(access, Face(as_json=True, name=""), AnAdministrator())
        assert await login.run(url=LOOPBACK, user="ada", is_admin=True) == 0
        keys.add(_config.load(access.environ).api_key)

    assert len(keys) == 2
    for key in keys:
        assert (await examined(in_process, key))[0] == {}


def doctor(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox_client", "doctor", *words],
        env=clean_environment(home, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_a_person_sees_a_mark_a_word_and_the_reason_of_each_check(home: Path) -> None:
    with a_terminal(home, "doctor") as terminal:
        terminal.wait_for("The connection works: all 9 checks passed.")
        assert terminal.finish() == 0

    rows = [line.split() for line in terminal.screen.splitlines() if line.startswith("✓")]
    assert len(rows) == 9
    assert {row[1] for row in rows} == {"passed"}
    assert max(len(line) for line in terminal.screen.splitlines()) <= 80


def test_a_person_sees_the_whole_path_in_the_fix(home: Path, fake: FakeProcess) -> None:
    path = home / ".config" / "gemini-remote-sandbox" / "config.json"
    path.chmod(0o644)

    with a_terminal(home, "doctor") as terminal:
        assert terminal.finish() == 0

    shown = "".join(line.strip() for line in terminal.screen.splitlines())
    assert "! warned    file mode     0644: others" in terminal.screen
    assert str(path) in shown


def test_in_json_it_is_one_object(home: Path) -> None:
    result = doctor(home, "--json")

    assert result.returncode == 0
    assert json.loads(result.stdout)["ok"] is True


@contextmanager
def a_deaf_host() -> Generator[str]:
    """A host that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.check  # a real six seconds, as the deadline is
@pytest.mark.timeout(20)
def test_a_host_that_never_answers_ends_within_ten_seconds(home: Path) -> None:
    with a_deaf_host() as url:
        before = os.times().elapsed
        result = doctor(home, REMOTE_SANDBOX_PROXY_URL=url)

    assert os.times().elapsed - before < 10
    assert result.returncode == 1
    assert "failed: proxy: The proxy did not answer within 6 s" in result.stdout


def test_ctrl_c_ends_it_at_once(home: Path) -> None:
    with a_deaf_host() as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox_client", "doctor"],
            env=clean_environment(home, REMOTE_SANDBOX_PROXY_URL=url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            assert "looking at the proxy" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()

    assert (process.returncode, said) == (130, "interrupted: nothing was changed\n")
