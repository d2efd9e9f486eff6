"""`check_connection` and `remote-sandbox doctor` against both kinds of fake proxy."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sandbox_client import Client
from sandbox_client.cli.console import Console
from sandbox_client.cli.login import Login
from sandbox_client.config import load_config
from sandbox_client.diagnostics import run_checks
from sandbox_client.http import Proxy
from sandbox_client.polling import Timing
from sandbox_client.provider import ClientCache

from tests.integration.in_process import ADMIN_KEY, InProcessFake
from tests.integration.programs import DEADLINE, clean_environment, config_path, run_remote_sandbox
from tests.integration.terminal import open_terminal

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from sandbox_client import Config
    from sandbox_client.diagnostics import Finding

    from tests.integration.programs import FakeProcess

LOOPBACK = "http://localhost"


def timing(in_process: InProcessFake) -> Timing:
    return Timing(lambda: in_process.clock.now().timestamp(), in_process.sleep, lambda: 0.5)


def provider_for(in_process: InProcessFake, environ: Mapping[str, str]) -> ClientCache:
    """Return a provider of clients that connect to the in-process fake."""

    def connect(config: Config) -> Client:
        return Client(
            Proxy(config, transport=in_process.transport, sleep=in_process.sleep),
            timing(in_process),
        )

    return ClientCache(environ, connect)


async def run_all(
    in_process: InProcessFake, key: str, ahead: timedelta = timedelta()
) -> tuple[dict[str, str], dict[str, Finding]]:
    """Run all checks; return the outcomes other than `passed`, and all findings, by check."""
    variables = {"REMOTE_SANDBOX_PROXY_URL": LOOPBACK, "REMOTE_SANDBOX_API_KEY": key}
    provider = provider_for(in_process, {"HOME": "/nonexistent", **variables})
    found = {
        each.check: each
        for each in await run_checks(
            provider,
            report=in_process.report,
            timing=timing(in_process),
            now=lambda: in_process.clock.now() - ahead,
        )
    }
    assert key not in str(found)
    return {name: each.outcome for name, each in found.items() if each.outcome != "passed"}, found


async def test_a_users_key_passes_every_check(in_process: InProcessFake) -> None:
    key = (await in_process.new_key(await in_process.new_user("ada")))["api_key"]

    outcomes, found = await run_all(in_process, key)

    assert outcomes == {}
    assert found["key"].message.endswith("belongs to ada")


async def test_an_unknown_key_fails_on_a_healthy_proxy(in_process: InProcessFake) -> None:
    outcomes, found = await run_all(in_process, "sk_live_" + "0" * 32)

    assert outcomes == {"key": "failed", "sandboxes": "not tried"}
    assert "does not know the API key" in found["key"].message


async def test_a_key_that_expires_soon_and_a_wrong_clock_give_warnings(
    in_process: InProcessFake,
) -> None:
    expires_at = (in_process.clock.now() + timedelta(days=3)).isoformat()
    key = (await in_process.new_key(await in_process.new_user("ada"), expires_at=expires_at))[
        "api_key"
    ]

    outcomes, found = await run_all(in_process, key, ahead=timedelta(minutes=5))

    assert outcomes == {"clock": "warned", "key": "warned"}
    assert found["clock"].message == "the proxy's clock is 5 minutes ahead of this machine's"
    assert "expires in 3 days" in found["key"].message


async def test_a_full_quota_gives_a_warning_and_counts_paused_sandboxes(
    in_process: InProcessFake,
) -> None:
    key = (await in_process.new_key(await in_process.new_user("ada")))["api_key"]
    sandboxes = in_process.client(key).sandboxes
    for number in range(10):
        await sandboxes.create(f"box-{number}", image=None, port=None, report=in_process.report)
    await sandboxes.pause("box-0", report=in_process.report)
    in_process.clock.advance(timedelta(days=2).total_seconds())

    outcomes, found = await run_all(in_process, key)

    assert outcomes == {"sandboxes": "warned"}
    assert found["sandboxes"].message.startswith("10 of 10")
    assert "older than a day: box-" in found["sandboxes"].message


@dataclass
class ScriptedAdmin:
    """Enters the admin key and accepts every default."""

    attempts: int = 1

    def text(self, _: str, default: str, /) -> str:
        return default

    def secret(self, _: str, /) -> str:
        return ADMIN_KEY

    def confirm(self, _: str, /, *, default: bool) -> bool:
        return default


async def test_a_second_login_with_the_admin_key_creates_another_working_key(
    in_process: InProcessFake, tmp_path: Path
) -> None:
    provider = provider_for(in_process, {"HOME": str(tmp_path)})
    keys: set[str] = set()
    for _ in range(2):
        login = Login(provider, Console(as_json=True, name=""), ScriptedAdmin())
        assert await login.run(url=LOOPBACK, user="ada", is_admin=True) == 0
        keys.add(load_config(provider.environ).api_key)

    assert len(keys) == 2
    for key in keys:
        assert (await run_all(in_process, key))[0] == {}


def test_each_check_is_a_line_with_a_mark_and_its_outcome(home: Path) -> None:
    with open_terminal(home, "doctor") as terminal:
        terminal.wait_for("The connection works: all 9 checks passed.")
        assert terminal.finish() == 0

    rows = [line.split() for line in terminal.output.splitlines() if line.startswith("✓")]
    assert len(rows) == 9
    assert {row[1] for row in rows} == {"passed"}
    assert max(len(line) for line in terminal.output.splitlines()) <= 80


def test_the_fix_contains_the_whole_path(home: Path, fake: FakeProcess) -> None:
    path = config_path(home)
    path.chmod(0o644)

    with open_terminal(home, "doctor") as terminal:
        assert terminal.finish() == 0

    shown = "".join(line.strip() for line in terminal.output.splitlines())
    assert "! warned    file mode     0644: others" in terminal.output
    assert str(path) in shown


def test_doctor_in_json_prints_one_object(home: Path) -> None:
    result = run_remote_sandbox(home, "doctor", "--json")

    assert result.returncode == 0
    assert json.loads(result.stdout)["ok"] is True


@contextmanager
def silent_server() -> Generator[str]:
    """Listen on a free port without ever responding, and return its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.check  # takes six seconds, until the deadline of the client
def test_a_server_that_never_responds_is_waited_for_once(home: Path) -> None:
    with silent_server() as url:
        result = run_remote_sandbox(home, "doctor", REMOTE_SANDBOX_PROXY_URL=url)

    assert result.returncode == 1
    assert result.stdout.count("failed: ") == 1
    assert "failed: proxy: The proxy did not answer within 6 s" in result.stdout


def test_ctrl_c_ends_doctor_at_once(home: Path) -> None:
    with silent_server() as url:
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
            assert "checking the proxy" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()

    assert (process.returncode, stderr) == (
        130,
        "remote-sandbox: interrupted: nothing was changed\n",
    )
