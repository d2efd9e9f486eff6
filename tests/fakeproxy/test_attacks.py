"""Attacks by the commands of a sandbox: on the fake, on other sandboxes and on this machine.

Each stands in SECURITY.md, with its outcomes. In a jail each is run, and none succeeds but by the
network of the machine, where that is given. Without a jail, those are run that only look at what
they reach: there `unjailed` is the outcome, or None where it depends on the machine. The others are
run in a jail only: they would harm this machine, or their outcome is what its user may do.
"""

import errno
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode, Network
from sandbox_fakeproxy.runtime.local.limits import Limits

from tests.fakeproxy.available_isolations import needs_jail, with_each_isolation
from tests.fakeproxy.processes import pids_in_jail
from tests.fakeproxy.shell_api import CommandResult, ShellApi

LIMITS = Limits(processes=60, memory=400 * 1024**2, file=1024**2, cpu=1)
ANOTHER_USER = 20_000 + os.getpid() % 40_000  # of no other run on this machine
ROOT = Path(__file__).parents[2]
PACKAGES = ("client", "contract", "fakeproxy")
KEYCTL = {"x86_64": 250, "aarch64": 219}.get(platform.machine())  # the number of the system call
PERL = Path("/usr/bin/perl")  # calls the kernel as no shell can


@dataclass(frozen=True)
class Setting:
    """A fake's state with two sandboxes; commands run in the one named `one`."""

    runtime: LocalRuntime
    state: Path
    port: int

    @property
    def shell(self) -> ShellApi:
        return ShellApi(self.runtime)

    @property
    def other(self) -> ShellApi:
        return ShellApi(self.runtime, "two")

    async def output(self, command: str) -> str:
        named = {"{pid}": str(os.getpid()), "{state}": str(self.state), "{port}": str(self.port)}
        for name, value in named.items():
            command = command.replace(name, value)
        return (await self.shell.run(command, timeout=20)).output.strip()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
async def setting(tmp_path: Path, isolation: IsolationMode, port: int) -> AsyncGenerator[Setting]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "admin.key").write_text("the admin key\n")
    (state / "state.sqlite3").write_text("the database\n")
    runtime = LocalRuntime(
        state / "sandboxes", isolation=isolation, network="none", limits=LIMITS, hides=[state]
    )
    made = Setting(runtime, state, port)
    await made.other.run("echo secret > ~/secret; echo secret > /sandbox/secret; export x=1")
    yield made
    await runtime.close()


READ = "2>/dev/null && echo reached || echo kept"


@with_each_isolation
@pytest.mark.parametrize(
    ("attack", "unjailed"),
    [
        pytest.param(f"head -c 1 /proc/{{pid}}/environ >/dev/null {READ}", "reached", id="memory"),
        pytest.param(f"grep -q key {{state}}/admin.key {READ}", "reached", id="key"),
        pytest.param(f"grep -q data {{state}}/state.sqlite3 {READ}", "reached", id="database"),
        pytest.param(
            f"grep -q s {{state}}/sandboxes/two/home/secret {READ}", "reached", id="other sandboxes"
        ),
        pytest.param(f"touch {{state}}/new {READ}", "reached", id="writing outside"),
        pytest.param(f"kill -0 {{pid}} {READ}", "reached", id="signals"),
        pytest.param(f"test -d /proc/{{pid}} {READ}", "reached", id="processes seen"),
        pytest.param(f"(: </dev/tcp/127.0.0.1/{{port}}) {READ}", "reached", id="network"),
        pytest.param(f"test -r /proc/{{pid}}/root{{state}} {READ}", "reached", id="/proc/PID/root"),
        pytest.param(
            f"ln -s {{state}}/admin.key k; cat k {READ}", "the admin key\nreached", id="links"
        ),
        pytest.param(f"ln {{state}}/admin.key h {READ}", "reached", id="hard links"),
        pytest.param(f"cat /proc/keys /proc/key-users >/dev/null {READ}", None, id="keys listed"),
        pytest.param(f"ls -d /home/*/ | grep -v /home/gem/ {READ}", None, id="homes"),
    ],
)
async def test_a_command_reaches_nothing_outside(
    setting: Setting, attack: str, unjailed: str | None
) -> None:
    is_jailed = setting.runtime.paths("one").isolated
    if is_jailed or unjailed is not None:
        assert await setting.output(attack) == ("kept" if is_jailed else unjailed)


@needs_jail
@pytest.mark.parametrize("isolation", ["required"])
@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        pytest.param(
            "for d in / /usr /etc /dev /proc /home /.channels /opt; do"
            " touch $d/new 2>/dev/null && echo $d; done; echo kept",
            "kept",
            id="writing outside",
        ),
        pytest.param(
            "ls /dev | grep -v console | sort | tr '\\n' ' '",  # of a terminal, if there is one
            "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
            id="devices",
        ),
        pytest.param(f"mknod d b 254 0 {READ}", "kept", id="making a device"),
        pytest.param(
            "ls -A / /home | grep -E 'root|var|sys|boot|mnt|srv'; echo kept", "kept", id="folders"
        ),
        pytest.param("ls /proc | grep -c '^[0-9]'", "5", id="processes seen"),
        pytest.param(
            "find /proc/[0-9]*/root/ -maxdepth 1 2>/dev/null | grep -cE '/(root|var|sys)$'",
            "0",
            id="/proc/PID/root",
        ),
        pytest.param("id -un; grep -c NoNewPrivs.*1 /proc/self/status", "gem\n1", id="privileges"),
        pytest.param(
            "grep CapEff /proc/self/status | tr -d '\\t'",
            "CapEff:0000000000000000",
            id="capabilities",
        ),
        pytest.param(f"mount -t tmpfs x /sandbox {READ}", "kept", id="mounts"),
        pytest.param(f"hostname attacked {READ}; hostname", "kept\nsandbox", id="host name"),
        pytest.param("head -c 3000000 /dev/zero >big; stat -c %s big", "\n1048576", id="file size"),
        pytest.param(
            # Asked for at once, so that the limit of processor time does not come first.
            "dd if=/dev/zero of=/dev/null bs=600M count=1 2>&1 | grep -c -i memory",
            "1",
            id="memory",
        ),
        pytest.param("(while :; do :; done); echo $?", "\n137", id="processor"),
    ],
)
async def test_a_jail_holds(setting: Setting, attack: str, expected: str) -> None:
    assert ("\n" + await setting.output(attack)).endswith(expected)


@needs_jail
@pytest.mark.skipif(KEYCTL is None or not PERL.exists(), reason="needs Perl, and a known machine")
@pytest.mark.parametrize("isolation", ["required"])
@pytest.mark.parametrize("keyring", [pytest.param(each, id="keyrings") for each in (-3, -4, -5)])
async def test_a_jail_has_no_keyring(setting: Setting, keyring: int) -> None:
    call = f"print syscall({KEYCTL}, 0, {keyring}, 1) < 0 ? $!+0 : q(reached)"
    assert await setting.output(f"{PERL} -e '{call}'") == str(errno.ENOSYS)


@needs_jail
@pytest.mark.parametrize("isolation", ["required"])
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param("for n in {1..300}; do sleep 100 & done", id="fork bomb"),
        pytest.param("kill -9 -1", id="a signal to all"),
        pytest.param("kill -9 1; kill -TERM 1; kill -HUP 1; kill -STOP 1", id="process 1"),
        pytest.param(
            "for f in /proc/1/fd/*; do echo ended 0 0 >$f; done 2>/dev/null",
            id="the supervisor's channel",
        ),
        pytest.param("for f in /.channels/*; do echo junk >$f; done", id="the shells' channels"),
        pytest.param(
            "for f in /.channels/*; do yes >$f & done; sleep 0.1", id="a flood of the channels"
        ),
        pytest.param(
            "mark=$__sandbox_mark; yes $mark | tr '\\n' '\\0' | head -c 3000000",
            id="a flood of reports",
        ),
        pytest.param("export LD_PRELOAD=/sandbox/x.so BASH_ENV=/sandbox/x.sh", id="LD_PRELOAD"),
        pytest.param(
            "for f in ~/.bashrc ~/.profile /sandbox/x.sh; do echo 'echo attacked' >$f; done",
            id="start-up files",
        ),
    ],
)
async def test_an_attack_harms_at_most_its_own_sandbox(setting: Setting, attack: str) -> None:
    session = await setting.other.session()
    assert (await setting.other.run("x=kept", id=session)).exit_code == 0
    await setting.shell.exec(attack, async_mode=True)
    assert await setting.other.run("echo $x; cat ~/secret", id=session) == CommandResult(
        "kept\nsecret\n"
    )
    assert len(pids_in_jail(setting.runtime.paths("one").work)) <= LIMITS.processes
    await setting.runtime.stop("one")
    assert await setting.shell.run("echo again") == CommandResult("again\n")


@needs_jail
async def test_with_its_network_a_command_reaches_what_listens_on_this_machine(
    tmp_path: Path, port: int
) -> None:
    runtime = LocalRuntime(tmp_path, isolation="required", network="host")
    outcome = await ShellApi(runtime).run(f"(: </dev/tcp/127.0.0.1/{port}) {READ}")
    await runtime.close()
    assert outcome.output == "reached\n"


@needs_jail
@pytest.mark.skipif(not PERL.exists(), reason="needs Perl")
@pytest.mark.parametrize(
    ("network", "outcome"),
    [
        pytest.param("host", "reached\n", id="abstract sockets"),
        pytest.param("none", "kept\n", id="abstract sockets"),
    ],
)
async def test_abstract_sockets_are_part_of_the_network(
    tmp_path: Path, network: Network, outcome: str
) -> None:
    name = f"sandbox-fakeproxy-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        runtime = LocalRuntime(tmp_path, isolation="required", network=network)
        call = f'socket(S, 1, 1, 0); exit !connect(S, pack("Sa*", 1, "\\0{name}"))'
        assert (await ShellApi(runtime).run(f"{PERL} -e '{call}' {READ}")).output == outcome
        await runtime.close()


def test_every_attack_stands_in_the_security_page() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    source = Path(__file__).read_text()
    attacks = re.findall(r'\bid="([^"]+)"', source)
    assert len(attacks) > 30
    assert not [each for each in attacks if f"`{each}`" not in page]


@with_each_isolation
async def test_a_sandbox_that_fills_the_disk_is_stopped(
    tmp_path: Path, isolation: IsolationMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.limits._MIN_INTERVAL", 0.05)
    runtime = LocalRuntime(tmp_path, isolation=isolation, limits=Limits(disk=3_000_000))
    ran = await ShellApi(runtime).exec(
        "for i in {1..100}; do head -c 100000 /dev/zero >$i; done; sleep 1000"
    )
    assert (ran["status"], ran["exit_code"]) == ("completed", 137)
    assert "[killed, as the sandbox has " in ran["output"]
    assert (await ShellApi(runtime).run("rm *; echo again")).output == "again\n"
    await runtime.close()


def as_another_user(*command: str) -> list[str]:
    ids = (f"--reuid={ANOTHER_USER}", f"--regid={ANOTHER_USER}")
    return ["setpriv", *ids, "--clear-groups", *command]


def may_use(environment: dict[str, str], python: str) -> bool:
    """Tell whether another user may run an interpreter, and import the packages."""
    # By a shell, as setpriv itself still has capabilities of root.
    run = ("sh", "-c", 'exec "$0" -c "import pytest, psutil, orjson"', python)
    done = subprocess.run(as_another_user(*run), env=environment, capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.check  # all of this module again
@needs_jail
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_the_attacks_fail_for_another_user_too() -> None:
    """Run this module as another user than root, with a readable copy of the packages."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for each in (*PACKAGES, "tests"):
            shutil.copytree(ROOT / each, folder / each)
        for each in ("pyproject.toml", "SECURITY.md"):
            shutil.copy(ROOT / each, folder)
        (folder / "run").mkdir()
        shutil.chown(folder / "run", ANOTHER_USER, ANOTHER_USER)
        site = [each for each in sys.path if "site-packages" in each]
        paths = os.pathsep.join([*(str(folder / each) for each in PACKAGES), *site])
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "HOME": "/"}
        python = next(
            filter(partial(may_use, environment), (sys.executable, "/usr/bin/python3")), None
        )
        if python is None:
            pytest.skip("another user may use no interpreter with these packages")
        pytest_ = (python, "-m", "pytest", "-qx", "--tb=short", "-p", "no:cacheprovider")
        where = ("--basetemp", str(folder / "run/pytest"), "tests/fakeproxy/test_attacks.py")
        done = subprocess.run(
            as_another_user(*pytest_, *where),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        assert " passed" in done.stdout
