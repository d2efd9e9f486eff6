"""A fake that was started in the background, as by `nohup … &`: its commands heed signals."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode
from sandbox_fakeproxy.runtime.local.machine import with_default_signals

from tests.fakeproxy.available_isolations import with_each_isolation
from tests.fakeproxy.shell_api import CommandResult, ShellApi

IGNORED = [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM]


@pytest.fixture
def in_the_background() -> Generator[None]:
    """Ignore the signals that a background process ignores, and block another."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
async def shell(
    in_the_background: None, tmp_path: Path, isolation: IsolationMode
) -> AsyncGenerator[ShellApi]:
    runtime = LocalRuntime(tmp_path, isolation=isolation)
    yield ShellApi(runtime)
    await runtime.close()


@with_each_isolation
async def test_a_kill_interrupts_the_command_and_keeps_the_session(shell: ShellApi) -> None:
    one = await shell.session()
    running = asyncio.ensure_future(shell.run("x=1; echo on; sleep 1000", id=one))
    await shell.wait_for_output("on\n", one)
    killed = await shell.request("POST", "kill", {"id": one})
    assert killed.json["data"]["status"] == "terminated"
    assert killed.json["hint"] is None  # it heeded Ctrl-C
    assert await running == CommandResult("on\n", None, "terminated")
    assert await shell.run("echo $x", id=one) == CommandResult("1\n")


@pytest.mark.parametrize("name", ["INT", "HUP", "TERM", "USR1"])
async def test_a_command_is_ended_by_a_signal(shell: ShellApi, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    ran = await shell.run(f"bash -c 'kill -{name} $$; echo no'", timeout=5)
    assert ran.exit_code == 128 + number
    assert "no\n" not in ran.output


def test_in_the_foreground_nothing_is_put_before_a_command() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    others = {number: signal.signal(number, signal.SIG_DFL) for number in IGNORED[1:]}
    try:
        assert with_default_signals(["bash"]) == ["bash"]
    finally:
        for number, handler in {signal.SIGINT: before, **others}.items():
            signal.signal(number, handler)
