"""The fake as a person meets it: a program in a terminal."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sandbox_fakeproxy import ScriptedRuntime, Store, create_app
from sandbox_fakeproxy.distribution import install_command
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode
from sandbox_fakeproxy.runtime.local.machine import with_default_signals
from sandbox_fakeproxy.serving.data_directory import open_data_directory

from tests.fakeproxy.available_isolations import with_each_isolation
from tests.fakeproxy.processes import TIMEOUT, is_running, pids_in, wait_until

JSON = {"Content-Type": "application/json"}
STOP_TIMEOUT = 5.0  # seconds; a stop takes a fifth of one, on a machine with nothing else to do
PROMISED = 3.0  # seconds from a fake's end until nothing of it is left
PASSED_ON = ("PATH", "COVERAGE_PROCESS_CONFIG")  # the process is covered too
CONFIG = ".config/gemini-remote-sandbox/config.json"
GUARDIAN = "sandbox_fakeproxy.runtime.cleanup.guardian"
PROGRAM = [sys.executable, "-m", "sandbox_fakeproxy"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed | own


class Fake:
    """A fake that runs as a process, and the lines that it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read_banner(self) -> None:
        assert self.process.stdout is not None
        while not self.lines or self.lines[-1] != "Ctrl-C stops the fake.":
            line = await asyncio.wait_for(self.process.stdout.readline(), TIMEOUT)
            assert line, "it ended before it listened"
            self.lines.append(line.decode().rstrip("\n"))

    @property
    def url(self) -> str:
        return self.lines[0].removeprefix("Fake proxy listening on ")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send a signal; return the exit code, and stdout and stderr since the banner."""
        self.process.send_signal(number)
        out, err = await asyncio.wait_for(self.process.communicate(), STOP_TIMEOUT)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


def nohup(command: list[str]) -> list[str]:
    """Return a command that starts as `nohup sh -c '… &'` does: with signals ignored."""
    return ["sh", "-c", "trap '' INT QUIT HUP; exec \"$@\"", "sh", *command]


@contextlib.asynccontextmanager
async def serving(
    environment: dict[str, str],
    *arguments: str | Path,
    key: str | None = "admin-key",
    in_the_background: bool = False,
    within: Sequence[str] = (),
) -> AsyncGenerator[Fake]:
    """Start a fake, by the command `within`; end it with the block, if it still runs."""
    command = [*within, *PROGRAM, "serve", "--port", "0", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(
        *(nohup(command) if in_the_background else with_default_signals(command)),
        env=environment | ({"ADMIN_API_KEY": key} if key else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    fake = Fake(process)
    try:
        await fake.read_banner()
        yield fake
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait_for(process.communicate(), TIMEOUT)


async def a_user(
    url: str, admin_key: str = "admin-key", username: str = "alice"
) -> httpx.AsyncClient:
    """Add a user; return a client with a key of that user's."""
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {admin_key}"}
    ) as admin:
        made = await admin.post("/api/admin/users", json={"username": username})
        path = f"/api/admin/users/{made.json()['user']['id']}/apikeys"
        key = (await admin.post(path)).json()["api_key"]
    return httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT
    )


async def execute(user: httpx.AsyncClient, command: str) -> Any:
    reply = await user.post("/proxy/box/v1/shell/exec", json={"command": command})
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def in_the_home(tmp_path: Path, name: str) -> Path:
    """Return where the only sandbox's ~/name is, once something has been written there."""
    return next(tmp_path.rglob(f"sandboxes/*/home/{name}"), tmp_path / "nothing")


async def test_it_serves_where_its_first_line_says(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with serving(environment, "--data", tmp_path / "data") as fake:
        assert fake.lines[0].startswith("Fake proxy listening on http://127.0.0.1:")
        assert str(tmp_path / "data") in fake.text
        assert "Responses" not in fake.text  # they are the default ones
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.get(f"{fake.url}/health")
            assert reply.status_code == 200
            assert "server" not in reply.headers  # the deployed proxy is not uvicorn
            local = fake.url.replace("127.0.0.1", "localhost")
            assert (await http.get(f"{local}/health")).status_code == 200
            foreign = await http.get(f"{fake.url}/health", headers={"Host": "evil.example"})
            assert foreign.status_code == 400


async def test_a_restart_keeps_users_keys_sandboxes_files_and_time(
    environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("--data", tmp_path / "data")
    async with serving(environment, *arguments) as fake:
        user = await a_user(fake.url)
        await user.post("/api/sandboxes", json={"name": "box"})
        admin = {"Authorization": "Bearer admin-key"}
        advance = {"seconds": 86400}
        moved = await user.post("/_fake/clock/advance", json=advance, headers=admin)
        await execute(user, "echo kept > file")
        assert (await fake.end(signal.SIGTERM))[0] == 0
    async with serving(environment, *arguments) as fake:
        user.base_url = fake.url
        assert (await user.get("/api/sandboxes/box")).json()["ready"] is True
        assert (await execute(user, "cat file"))["output"] == "kept\n"
        now = (await user.get("/health")).json()["timestamp"]
        assert now >= moved.json()["now"]
    await user.aclose()


@pytest.mark.parametrize(
    ("number", "isolation"),
    [(signal.SIGINT, "auto"), (signal.SIGTERM, "none"), (signal.SIGHUP, "none")],
)
async def test_a_signal_stops_it_with_all_that_runs_and_all_that_waits(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, isolation: str
) -> None:
    arguments = ("--ephemeral", "--ready-after", "0", "--isolation", isolation)
    async with serving(environment, *arguments) as fake:
        if isolation == "none":
            assert "run as you among this machine's processes" in " ".join(fake.text.split())
        user = await a_user(fake.url)
        await user.post("/api/sandboxes", json={"name": "box"})
        await execute(user, "setsid sleep 1000 & echo $! >> ~/pids; sleep 1000 & echo $! >> ~/pids")
        waiting = asyncio.ensure_future(
            user.post("/proxy/box/v1/shell/exec", json={"command": "echo $$ >> ~/pids; sleep 1000"})
        )
        await wait_until(lambda: len(pids_in(in_the_home(tmp_path, "pids"))) == 3)
        pids = pids_in(in_the_home(tmp_path, "pids"))
        code, out, err = await fake.end(number)
        assert (code, out, err) == (0, "Fake proxy stopped\n", "")
        assert (await asyncio.wait_for(waiting, TIMEOUT)).status_code == 502
        await wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert not [name for name in os.listdir(tmp_path) if name.startswith("sandbox-fakeproxy-")]  # noqa: PTH208  (a moment in a test)
    await user.aclose()


def stubborn(number: signal.Signals) -> tuple[list[str], str]:
    """Return a program of this test alone, and a command that runs it twice, deaf to signals."""
    program = ["sleep", f"1000.{os.getpid()}{number:02}"]
    line = " ".join(program)
    return program, f"trap '' HUP INT TERM; setsid {line} & {line}"


def runs(process: psutil.Process, program: list[str]) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.cmdline() == program
    return False


def temporary_directories(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("sandbox-fakeproxy-*"))


async def end_and_see_nothing_left(
    pid: int, number: signal.Signals, program: list[str], tmp_path: Path
) -> None:
    """Send a signal once `program` runs twice below a process; wait for all of that to end."""
    process = psutil.Process(pid)
    below: list[psutil.Process] = []

    def is_under_way() -> bool:
        below[:] = process.children(recursive=True)
        return sum(runs(each, program) for each in below) == 2

    await wait_until(is_under_way)
    assert temporary_directories(tmp_path)
    process.send_signal(number)
    try:
        await wait_until(
            lambda: (
                not any(is_running(each.pid) for each in [process, *below])
                and not temporary_directories(tmp_path)
            ),
            within=PROMISED,
        )
    finally:
        for each in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


@with_each_isolation
@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGABRT],
    ids=attrgetter("name"),
)
async def test_a_fake_that_ends_leaves_nothing_within_three_seconds(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, isolation: IsolationMode
) -> None:
    """SIGHUP is the end of a terminal, SIGABRT a crash."""
    arguments = ("--ephemeral", "--ready-after", "0", "--isolation", isolation)
    no_core = ("sh", "-c", 'ulimit -c 0; exec "$@"', "sh")
    program, command = stubborn(number)
    async with serving(environment, *arguments, within=no_core) as fake:
        async with await a_user(fake.url) as user:
            await user.post("/api/sandboxes", json={"name": "box"})
            body = {"command": command, "async_mode": True}
            await user.post("/proxy/box/v1/shell/exec", json=body)
        await end_and_see_nothing_left(fake.process.pid, number, program, tmp_path)


PYTEST = [sys.executable, "-m", "pytest", "--disable-plugin-autoload", "-p", "no:cacheprovider"]
# SIGUSR1 ends the process as pytest-timeout's method "thread" does.
TESTS = """
import os, signal, threading

import pytest
from sandbox_fakeproxy import LocalRuntime


def exit_in_a_thread(*_):
    threading.Thread(target=os._exit, args=(1,)).start()


@pytest.mark.fake_proxy(runtime=lambda: LocalRuntime(isolation=ISOLATION), ready_after=0)
def test_that_does_not_end(fake_proxy_server):
    signal.signal(signal.SIGUSR1, exit_in_a_thread)
    http = fake_proxy_server.client(fake_proxy_server.user())
    http.post("/api/sandboxes", json={"name": "box"})
    http.post("/proxy/box/v1/shell/exec", json={"command": COMMAND}, timeout=60)
"""


@with_each_isolation
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=attrgetter("name"))
async def test_tests_that_are_ended_leave_nothing_within_three_seconds(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, isolation: IsolationMode
) -> None:
    program, command = stubborn(number)
    tests = TESTS.replace("COMMAND", repr(command)).replace("ISOLATION", repr(isolation))
    (tmp_path / "test_project.py").write_text(tests)
    process = await asyncio.create_subprocess_exec(
        *(*PYTEST, "-p", "sandbox_fakeproxy.pytest_plugin", "test_project.py"),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        await end_and_see_nothing_left(process.pid, number, program, tmp_path)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a process the first one")
async def test_as_process_1_of_a_container_it_reaps_orphans(environment: dict[str, str]) -> None:
    arguments = ("--ephemeral", "--ready-after", "0", "--isolation", "none")
    container = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    async with serving(environment, *arguments, within=container) as fake:
        user = await a_user(fake.url)
        await user.post("/api/sandboxes", json={"name": "box"})
        await execute(user, "(setsid true &); (setsid true &); sleep 0.1")
        (process,) = psutil.Process(fake.process.pid).children()
        await wait_until(lambda: all(is_running(each.pid) for each in process.children()))
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(fake.process.communicate(), STOP_TIMEOUT)
    await user.aclose()


ENDING = """
import asyncio, json, os, signal, sys
from sandbox_fakeproxy import LocalRuntime
from tests.fakeproxy.shell_api import ShellApi

async def main():
    runtime = LocalRuntime(isolation=sys.argv[1])
    await ShellApi(runtime).exec("setsid sleep 1000 & echo $! > ~/pids")
    print(runtime.paths("one").home, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("number", "isolation"),
    [(signal.SIGKILL, "auto"), (signal.SIGKILL, "none"), (signal.SIGTERM, "none")],
)
async def test_a_runtime_whose_process_is_ended_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, isolation: str
) -> None:
    """As the process of tests may be, by a person or by a time limit."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENDING, isolation),
        stdout=subprocess.PIPE,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    home = Path((await asyncio.wait_for(process.stdout.readline(), TIMEOUT)).decode().strip())
    (pid,) = pids_in(home / "pids")
    assert is_running(pid)
    process.send_signal(number)
    await process.communicate()
    await wait_until(lambda: not is_running(pid))
    await wait_until(lambda: not list(tmp_path.glob("sandbox-fakeproxy-*")))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="this machine has no setpriv")
@pytest.mark.parametrize("api", ["shell", "bash"])
async def test_a_shell_without_a_jail_ends_with_a_killed_fake_even_without_a_guardian(
    environment: dict[str, str], tmp_path: Path, api: str
) -> None:
    arguments = ("--ephemeral", "--ready-after", "0", "--isolation", "none")
    async with serving(environment, *arguments) as fake:
        user = await a_user(fake.url)
        await user.post("/api/sandboxes", json={"name": "box"})
        # It waits without a child, as only the shell gets the signal.
        command = "trap '' HUP; mkfifo ~/pipe; echo $$ >> ~/pids; read -t 60 <>~/pipe"
        body = {"command": command, "async_mode": True}
        await user.post(f"/proxy/box/v1/{api}/exec", json=body)
        await wait_until(lambda: bool(pids_in(in_the_home(tmp_path, "pids"))))
        (pid,) = pids_in(in_the_home(tmp_path, "pids"))
        await wait_until(lambda: bool(guardians_of(fake)))
        for guardian in guardians_of(fake):
            guardian.kill()
        fake.process.kill()
        await wait_until(lambda: not is_running(pid))
    assert in_the_home(tmp_path, "pids").exists()  # no guardian has removed it
    await user.aclose()


def guardians_of(fake: Fake) -> list[psutil.Process]:
    """Return the process that cleans up after a fake, once there is one."""
    found: list[psutil.Process] = []
    for child in psutil.Process(fake.process.pid).children():
        with contextlib.suppress(psutil.Error):  # one that has just ended
            if GUARDIAN in child.cmdline():
                found.append(child)
    return found


async def test_in_the_background_a_hangup_does_not_stop_it_and_a_kill_ends_a_command(
    environment: dict[str, str],
) -> None:
    arguments = ("--ephemeral", "--ready-after", "0")
    async with serving(environment, *arguments, in_the_background=True) as fake:
        user = await a_user(fake.url)
        await user.post("/api/sandboxes", json={"name": "box"})
        fake.process.send_signal(signal.SIGHUP)
        shell = "/proxy/box/v1/shell"
        body = {"command": "sleep 1000", "async_mode": True}
        session = (await user.post(f"{shell}/exec", json=body)).json()["data"]["session_id"]
        killed = (await user.post(f"{shell}/kill", json={"id": session})).json()
        assert killed["data"]["status"] == "terminated"
        assert killed["hint"] is None  # it heeded Ctrl-C
        assert (await fake.end(signal.SIGINT))[0] == 0
    await user.aclose()


async def test_a_request_that_is_never_sent_to_its_end_does_not_hold_up_the_stop(
    environment: dict[str, str],
) -> None:
    async with serving(environment, "--ephemeral") as fake:
        user = await a_user(fake.url)
        port = int(fake.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        key = user.headers["authorization"]
        writer.write(
            f"POST /api/sandboxes HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{".encode()
        )
        await writer.drain()
        # Another answer on another connection: by then the half request has arrived.
        assert (await user.get("/api/me")).status_code == 200
        code, _, err = await fake.end(signal.SIGINT)
        assert (code, err) == (0, "")
        writer.close()
    await user.aclose()


async def test_after_a_kill_the_next_start_finds_its_state_and_ends_leftover_processes(
    environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("--data", tmp_path / "data", "--ready-after", "0", "--isolation", "none")
    async with serving(environment, *arguments) as fake:
        user = await a_user(fake.url)
        await user.post("/api/sandboxes", json={"name": "box"})
        await execute(user, "setsid sleep 1000 & echo $! >> ~/pids")
        (pid,) = pids_in(in_the_home(tmp_path, "pids"))
        # Before it has a session of its own, the end of the terminal would end it.
        await wait_until(lambda: psutil.Process(pid).name() == "sleep")
        await fake.end(signal.SIGKILL)
    assert is_running(pid)
    async with serving(environment, *arguments) as fake:
        await wait_until(lambda: not is_running(pid))
        user.base_url = fake.url
        assert (await execute(user, "echo $((6 * 7))"))["output"] == "42\n"
    await user.aclose()


async def test_the_admin_key_is_made_once_shown_once_and_kept_for_its_owner_only(
    environment: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    # A reference that nothing has expanded is no key.
    async with serving(environment, "--data", data, key="${ADMIN_API_KEY}") as fake:
        key = (data / "admin.key").read_text().strip()
        assert fake.text.count(key) == 1
        user = await a_user(fake.url, key)
        await user.aclose()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for name in ("admin.key", "state.sqlite3", "lock"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name
    async with serving(environment, "--data", data, key=None) as fake:
        assert key not in fake.text
        assert str(data / "admin.key") in fake.text
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=fake.url, headers=headers) as admin:
            assert (await admin.get("/api/admin/users")).status_code == 200
    async with serving(environment, "--data", data, key="from-the-environment") as fake:
        assert "from-the-environment" not in fake.text
        async with httpx.AsyncClient(base_url=fake.url, headers=headers) as admin:
            assert (await admin.get("/api/admin/users")).status_code == 403


@pytest.mark.parametrize("reads_a_line", [True, False])
def test_a_closed_stdout_is_no_failure(environment: dict[str, str], *, reads_a_line: bool) -> None:
    fake = subprocess.Popen(
        [*PROGRAM, "serve", "--ephemeral", "--port", "0"],
        env=environment | {"ADMIN_API_KEY": "admin-key"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert fake.stdout is not None
    if reads_a_line:
        fake.stdout.readline()
    fake.stdout.close()
    if not reads_a_line:  # it serves all the same
        deadline = time.monotonic() + TIMEOUT
        while not (listening := psutil.Process(fake.pid).net_connections()):
            assert time.monotonic() < deadline, "waited in vain"
        url = f"http://127.0.0.1:{listening[0].laddr.port}/health"
        assert httpx.get(url, timeout=TIMEOUT, trust_env=False).status_code == 200
    fake.send_signal(signal.SIGINT)
    _, err = fake.communicate(timeout=TIMEOUT)
    assert (fake.returncode, err) == (0, "")


async def pasted(fake: Fake, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run the printed lines in a shell; return its exit code and output."""
    start = fake.lines.index(f"  URL={fake.url}")
    lines = "\n".join(fake.lines[start : fake.lines.index("", start)])
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", lines, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(shell.communicate(), TIMEOUT)
    return shell.returncode, out.decode()


@pytest.mark.parametrize(("key", "kept"), [("a-key-of-mine", False), (None, True)])
async def test_the_printed_lines_lead_from_nothing_to_a_config_that_works(
    environment: dict[str, str], tmp_path: Path, key: str | None, *, kept: bool
) -> None:
    arguments = ["--data", tmp_path / "data dir"] if kept else ["--ephemeral"]
    home = tmp_path / "home"
    home.mkdir()
    async with serving(environment, *arguments, key=key) as fake:
        code, said = await pasted(fake, environment | ({"ADMIN_API_KEY": key} if key else {}))
        assert code == 0
        asked_for = "with ADMIN_API_KEY set:" in " ".join(fake.lines)
        assert asked_for == (key is not None)
        api_key = said.strip()
        config = home / CONFIG
        assert httpx.Response(200, content=config.read_bytes()).json() == {
            "proxyUrl": fake.url,
            "apiKey": api_key,
        }
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        headers = {"Authorization": f"Bearer {api_key}"}
        async with httpx.AsyncClient(base_url=fake.url, headers=headers) as http:
            assert (await http.get("/api/me")).json()["user"]["username"] == "dev1"


async def test_the_printed_lines_pasted_twice_say_why_and_write_no_blank_key(
    environment: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "home" / CONFIG
    config.parent.mkdir(parents=True)
    async with serving(environment, "--ephemeral", key=None) as fake:
        code, said = await pasted(fake, environment)
        assert (code, said[:8]) == (0, "sk_live_")
        config.unlink()
        code, said = await pasted(fake, environment)
        assert code != 0
        assert "is the username dev1 free?" in said
        assert not config.exists()


async def test_the_printed_lines_with_a_wrong_admin_key_say_why_and_write_no_config(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    async with serving(environment, "--ephemeral", key="a-key-of-mine") as fake:
        code, said = await pasted(fake, environment | {"ADMIN_API_KEY": "another"})
        assert code != 0
        assert "is ADMIN_API_KEY right" in said
        assert not (tmp_path / "home" / CONFIG).exists()


@pytest.mark.parametrize("missing", ["platformdirs", "starlette"])
def test_without_its_extra_it_names_the_package_to_install(
    environment: dict[str, str], missing: str
) -> None:
    start = (
        f"import sys; sys.modules[{missing!r}] = None;"
        " from sandbox_fakeproxy.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", start],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"sandbox-fakeproxy needs {missing}, which is not installed."
        f" Run: {install_command('fakeproxy')}\n"
    )


async def test_verbose_logs_each_request_in_a_line_without_its_keys(
    environment: dict[str, str],
) -> None:
    async with serving(environment, "--ephemeral", "--verbose") as fake:
        user = await a_user(fake.url)
        key = user.headers["Authorization"].removeprefix("Bearer ")
        await user.get(f"/api/sandboxes/{key}?key={key}&admin=admin-key")
        await user.get("/proxy/box/admin-key?token=admin-key")
        await user.get("/_fake/requests")
        _, out, err = await fake.end(signal.SIGINT)
    await user.aclose()
    for secret in ("admin-key", key[8:]):
        assert secret not in fake.text + out + err
    assert "?" not in err
    lines = [line.rpartition(" ")[0].rpartition(" ")[0] for line in err.splitlines()]
    assert lines[0] == "POST /api/admin/users 201"
    assert lines[2:] == [
        "GET /api/sandboxes/*** 403",
        "GET /proxy/box/*** 403",
        "GET /_fake/requests 403",
    ]


KEY = "sk_live_" + "k" * 32
SEED: Any = {
    "users": [
        {
            "username": "alice",
            "keys": [{"key": KEY}, {"name": "made"}],
            "sandboxes": [{"name": "box", "state": "paused"}],
        }
    ]
}


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    file = tmp_path / "seed.json"
    file.write_text(json.dumps(SEED))
    return file


async def test_a_seed_file_is_loaded_with_the_chosen_profile(
    environment: dict[str, str], seed_file: Path
) -> None:
    arguments = ("--ephemeral", "--profile", "v1beta1", "--as-deployed", "--seed-file", seed_file)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        serving(environment, *arguments) as fake,
        httpx.AsyncClient(base_url=fake.url, headers=headers) as user,
    ):
        assert (await user.get("/api/me")).json()["user"]["username"] == "alice"
        assert (await user.get("/api/sandboxes/box")).json()["readyReason"] == "SandboxSuspended"
        said = " ".join(fake.text.split())
        assert "Responses statuses as in the controller v1beta1; the deployed proxy's" in said
        assert "endpoints" in (await user.get("/api/nothing")).json()  # as deployed
        _, out, _ = await fake.end(signal.SIGINT)
    assert "The seed file was loaded. Users: 1." in out
    assert "  alice  sk_live_" in out
    assert KEY not in fake.text + out


async def test_a_seed_file_does_not_replace_state_that_is_there(
    environment: dict[str, str], seed_file: Path, tmp_path: Path
) -> None:
    with open_data_directory(tmp_path / "data") as data:
        store = Store(data.database)
        app = create_app(admin_key="admin-key", store=store, runtime=ScriptedRuntime())
        app.state.fake.add_user("bob")
        store.close()
    arguments = ("--data", tmp_path / "data", "--seed-file", seed_file)
    async with serving(environment, *arguments) as fake:
        async with httpx.AsyncClient(headers={"Authorization": "Bearer admin-key"}) as admin:
            state = (await admin.get(f"{fake.url}/_fake/state")).json()
        _, out, _ = await fake.end(signal.SIGINT)
    assert [user["username"] for user in state["users"]] == ["bob", "admin"]
    assert "The seed file was not used: the state here is not new, and was kept." in out


async def test_with_a_seed_a_start_from_nothing_makes_the_same_and_a_restart_goes_on(
    environment: dict[str, str], tmp_path: Path
) -> None:
    made: dict[str, list[tuple[str, ...]]] = {"a": [], "b": []}
    admin_keys: list[str] = []
    for place, users in made.items():
        for name in ("alice", "bob") if place == "a" else ("alice",):
            arguments = ("--data", tmp_path / place, "--seed", "7", "--ready-after", "0")
            async with serving(environment, *arguments, key=None) as fake:
                admin_keys.append((tmp_path / place / "admin.key").read_text().strip())
                user = await a_user(fake.url, admin_keys[-1], username=name)
                me = (await user.get("/api/me")).json()["user"]
                await user.post("/api/sandboxes", json={"name": "box"})
                session = (await execute(user, "true"))["session_id"]
                users.append((me["id"], user.headers["Authorization"], session))
                await user.aclose()
    assert made["a"][:1] == made["b"]
    assert len({each for user in made["a"] for each in user}) == 6
    assert len(set(admin_keys)) == 1
    # A user's key tells nothing of the admin's.
    secret = admin_keys[0].removeprefix("admin_")
    pieces = {secret[start : start + 8] for start in range(len(secret) - 7)}
    assert not any(piece in key for piece in pieces for _, key, _ in made["a"])


async def test_memory_stays_bounded_when_a_command_writes_without_end(
    environment: dict[str, str],
) -> None:
    arguments = ("--ephemeral", "--ready-after", "0", "--command-timeout", "0.5")
    async with serving(environment, *arguments) as fake:
        user = await a_user(fake.url)
        await user.post("/api/sandboxes", json={"name": "box"})
        reply = await user.post("/proxy/box/v1/shell/exec", json={"command": "yes"})
        assert reply.status_code == 504
        assert reply.json()["error"] == "Gateway Timeout"
        assert psutil.Process(fake.process.pid).memory_info().rss < 200_000_000
    await user.aclose()


@pytest.mark.check  # takes half a minute
@pytest.mark.timeout(180)
async def test_output_of_deleted_sandboxes_leaves_memory(environment: dict[str, str]) -> None:
    command = {"command": "yes 'ten letters' | head -c 11000000", "truncate": False}
    rss: list[int] = []
    async with serving(environment, "--ephemeral", "--ready-after", "0") as fake:
        user = await a_user(fake.url)
        for _ in range(8):
            await user.post("/api/sandboxes", json={"name": "box"})
            for _ in range(10):
                reply = await user.post("/proxy/box/v1/shell/exec", json=command)
                assert len(reply.json()["data"]["output"]) > 9_999_000
            await user.delete("/api/sandboxes/box")
            rss.append(psutil.Process(fake.process.pid).memory_info().rss)
        await user.aclose()
    assert rss[-1] <= 1.2 * rss[0], rss
