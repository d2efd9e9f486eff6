"""Whatever a command does to its shell, the fake's side of it holds."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime

from tests.fakeproxy.isolations import WORKING
from tests.fakeproxy.shells import Box, Ran


@pytest.fixture(params=WORKING)
async def box(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Box]:
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation=request.param)
    yield Box(runtime)
    await runtime.close()


async def test_what_follows_a_dead_shell_writes_to_nobody_elses_descriptor(box: Box) -> None:
    one = await box.session()
    await box.exec("kill -9 $$", id=one)
    with ExitStack() as stack:
        # They take the numbers that the dead shell's terminal and channel had.
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(12)]
        assert await box.run("echo mine", id=one) == Ran("mine\n")
        for file in files:
            file.seek(0)
            assert file.read() == b""


async def test_a_session_whose_streams_all_lead_elsewhere_goes_on(box: Box) -> None:
    one = await box.session()
    assert await box.run("exec </dev/null >out.log 2>&1", id=one, timeout=10) == Ran("")
    assert await box.run("echo logged; exit 3", id=one, timeout=10) == Ran("", 3)
    assert await box.run("cat out.log >/dev/tty", id=one, timeout=10) == Ran("logged\n")
