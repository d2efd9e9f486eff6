"""The fake's fixtures in a project of its own, installed with pip and run with pytest-xdist."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

INSTALL_DEADLINE = 300.0  # seconds
TESTS = """\
import httpx
import pytest

@pytest.mark.parametrize("number", range(10))
def test_on_a_port(fake_proxy_server, number):
    http = fake_proxy_server.client(fake_proxy_server.user("alice"))
    fake_proxy_server.faults.add(operation="createSandbox", times=1, do="drop-after-commit")
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/api/sandboxes", json={"name": "box"})
    fake_proxy_server.assert_requested("POST", "/api/sandboxes", times=1)
    fake_proxy_server.stop()
    fake_proxy_server.start()
    assert http.get("/api/sandboxes").json()["count"] == 1

@pytest.mark.anyio
@pytest.mark.parametrize("number", range(10))
@pytest.mark.fake_proxy(log_bodies=True, ready_after=0)
async def test_in_process(fake_proxy, number):
    async with fake_proxy.client(fake_proxy.user("alice")) as http:
        await http.post("/api/sandboxes", json={"name": "box"})
        reply = await http.post("/proxy/box/v1/shell/exec", json={"command": f"echo {number}"})
        assert reply.json()["data"]["output"] == f"{number}\\n"
    request = await fake_proxy.wait_for_request("POST", "/api/sandboxes", json={"name": "box"})
    assert request["status"] == 201

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.timeout(2 * INSTALL_DEADLINE)
def test_the_fixtures_work_in_another_project_and_in_parallel(tmp_path: Path) -> None:
    python = str(tmp_path / "venv" / "bin" / "python")
    (tmp_path / "test_project.py").write_text(TESTS)
    for command in (
        [sys.executable, "-m", "venv", str(tmp_path / "venv")],
        [python, "-m", "pip", "install", "--quiet", f"{ROOT}[fakeproxy]", "pytest", "pytest-xdist"],
    ):
        subprocess.run(command, check=True, timeout=INSTALL_DEADLINE)

    done = subprocess.run(
        [python, "-m", "pytest", "-W", "error", "-n", "2", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "20 passed" in done.stdout
