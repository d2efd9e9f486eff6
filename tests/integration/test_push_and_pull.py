"""`remote-sandbox push`, `pull` and `agent --repo` as processes, against a fake proxy on a port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_client.cli import main
from sandbox_client.errors import RepositoryRefused
from sandbox_client.files.shell_scripts import BLOCK_SIZE
from sandbox_client.repositories import Repositories
from sandbox_fakeproxy import FakeProxyServer, LocalRuntime

from tests.client.repository_stub import (
    commit_all,
    fingerprint,
    git,
    make_repository,
    tree_of_directory,
    write,
)
from tests.fakeproxy.available_isolations import AVAILABLE_ISOLATIONS
from tests.integration.programs import DEADLINE, clean_environment, run_remote_sandbox, write_config
from tests.integration.test_outages import work_directory

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sandbox_fakeproxy import Clock

BOX, OTHER, BRANCH = "box", "other", "sandbox/box"
SEED: dict[str, Any] = {
    "users": [
        {"username": "ann", "keys": [{}], "sandboxes": [{"name": BOX}, {"name": OTHER}]},
    ]
}
AGENT = 'sh -c \'pwd; printf "%s\\n" "$0" >result.txt; git add -A; git commit -qm Result\' {prompt}'
KINDS = [
    pytest.param({"as_deployed": as_deployed, "isolation": isolation}, id=f"{conduct}-{isolation}")
    for as_deployed, conduct in ((True, "as deployed"), (False, "default"))
    for isolation in AVAILABLE_ISOLATIONS
]


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[FakeProxyServer]:
    """A fake on a port, with two ready sandboxes; `home` has the configuration for it."""
    kind: dict[str, Any] = dict(getattr(request, "param", {"as_deployed": True}))
    isolation = kind.pop("isolation", "none")

    def runtime(root: Path, clock: Clock, seed: str, as_deployed: bool) -> LocalRuntime:
        return LocalRuntime(
            root, clock=clock, seed=seed, as_deployed=as_deployed, isolation=isolation
        )

    with FakeProxyServer(tmp_path / "sandboxes", runtime=runtime, **kind) as running:
        key = running.seed(SEED)["users"][0]["keys"][0]["api_key"]
        write_config(tmp_path, running.url, key)
        yield running


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "person" / "project", {"a.txt": "one\n"})


def remote_sandbox(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `remote-sandbox` in the repository."""
    return run_remote_sandbox(home, *words, cwd=home / "person" / "project", **variables)


def succeed(home: Path, *words: str, **variables: str) -> str:
    result = remote_sandbox(home, *words, **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("server", KINDS, indirect=True)
def test_a_repository_goes_and_comes_back(
    server: FakeProxyServer, top: Path, tmp_path: Path
) -> None:
    write(top, {"run.sh": "echo hi\n"})
    (top / "run.sh").chmod(0o755)
    git(top, "add", "-A")
    write(top, {"new.txt": "x\n", ".env": "secret"})
    stopped = remote_sandbox(tmp_path, "push", BOX)
    assert (stopped.returncode, "by the name: .env" in stopped.stderr) == (1, True)
    before = fingerprint(top)

    pushed = remote_sandbox(tmp_path, "push", "--leave-out", ".env", BOX)

    assert pushed.returncode == 0, pushed.stderr
    assert f"goes to {BOX}:/sandbox/project: 3 files (14 bytes)" in pushed.stderr
    assert "stays here: .env" in pushed.stderr
    assert fingerprint(top) == before
    edit = "cd project && echo two >>a.txt && git commit -qam Better && echo x >left.txt"
    succeed(tmp_path, "prompt", BOX, edit)
    shown = succeed(tmp_path, "pull", BOX)
    assert "a.txt    | 1 +" in shown
    assert "left.txt | 1 + (new)" in shown
    assert "  git log -p HEAD..sandbox/box" in shown
    diff = git(top, "diff", "--name-status", f"HEAD...{BRANCH}").splitlines()
    assert diff == ["M\ta.txt", "A\tleft.txt", "A\tnew.txt", "A\trun.sh"]
    assert git(top, "ls-tree", BRANCH, "run.sh").startswith("100755")
    after = fingerprint(top)
    assert {each for each in before if after.get(each) != before[each]} == set()
    again = json.loads(succeed(tmp_path, "pull", "--json", BOX))
    assert (again["changed"], again["files_changed"], len(again["next"])) == (False, 2, 3)


# The requests at which a command is held: its operation, and how many of that come before.
PUSH_STEPS = {
    "the look at the sandbox": ("executePiped", 0),
    "the upload": ("writeFile", 0),
    "the unpacking": ("executePiped", 1),
}
PULL_STEPS = {
    "the collecting": ("executePiped", 1),
    "the download": ("readFile", 0),
}
STEPS = [
    *(("push", *each) for each in PUSH_STEPS.values()),
    *(("pull", *each) for each in PULL_STEPS.values()),
]
with_each_step = pytest.mark.parametrize(
    ("verb", "operation", "skip"), STEPS, ids=[*PUSH_STEPS, *PULL_STEPS]
)
without_quirks = pytest.mark.parametrize("server", [{"as_deployed": False}], indirect=True)


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    """Start `remote-sandbox` in the repository."""
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox_client", *words],
        cwd=home / "person" / "project",
        env=clean_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_and_hold(
    server: FakeProxyServer, home: Path, verb: str, operation: str, skip: int
) -> subprocess.Popen[str]:
    """Start a push or a pull, and wait until a request of it is held for ever."""
    if verb == "pull":
        succeed(home, "push", BOX)
        write(work_directory(home / "sandboxes") / "project", {"b.txt": "x\n"})
    server.faults.add(operation=operation, skip=skip, delay=100_000, times=1)
    process = start(home, verb, BOX)
    wait_for(lambda: any(each["hits"] for each in server.faults.armed()))
    return process


def assert_it_arrived(home: Path, top: Path, verb: str) -> None:
    there = work_directory(home / "sandboxes") / "project"
    here = "HEAD" if verb == "push" else BRANCH
    assert git(top, "rev-parse", f"{here}^{{tree}}") == tree_of_directory(there)


@without_quirks
@with_each_step
def test_a_killed_client_is_taken_up_by_repeating_the_command(
    server: FakeProxyServer, top: Path, tmp_path: Path, verb: str, operation: str, skip: int
) -> None:
    process = start_and_hold(server, tmp_path, verb, operation, skip)
    process.kill()
    process.communicate(timeout=DEADLINE)
    server.faults.clear()

    succeed(tmp_path, verb, BOX)

    assert_it_arrived(tmp_path, top, verb)


@without_quirks
def test_an_upload_goes_on_after_the_client_was_killed(
    server: FakeProxyServer, top: Path, tmp_path: Path
) -> None:
    write(top, {"big.bin": os.urandom(3_000_000)})
    commit_all(top)
    process = start_and_hold(server, tmp_path, "push", "writeFile", 20)
    process.kill()
    process.communicate(timeout=DEADLINE)
    server.faults.clear()
    (part,) = (tmp_path / "sandboxes").glob("*/home/.remote-sandbox-*/bundle")
    arrived = part.stat().st_size

    succeed(tmp_path, "push", BOX)

    written = [each for each in server.requests() if each["path"].endswith("/file/write")]
    assert arrived > 1_000_000
    assert len(written) < 50
    assert_it_arrived(tmp_path, top, "push")


@without_quirks
def test_a_download_goes_on_after_the_client_was_killed(
    server: FakeProxyServer, top: Path, tmp_path: Path
) -> None:
    homes, here = tmp_path / "sandboxes", top / ".git" / "remote-sandbox"
    succeed(tmp_path, "push", BOX)
    write(work_directory(homes) / "project", {"big.bin": os.urandom(3_000_000)})
    server.faults.add(operation="readFile", skip=6, delay=100_000, times=1)
    process = start(tmp_path, "pull", BOX)
    wait_for(lambda: any(each["hits"] for each in server.faults.armed()))
    process.kill()
    process.communicate(timeout=DEADLINE)
    server.faults.clear()
    (bundle,) = homes.glob("*/home/.remote-sandbox-*/bundle")
    (part,) = here.glob("tmp-incoming-*/bundle")
    missing = bundle.stat().st_size - part.stat().st_size
    before = len(server.requests())

    succeed(tmp_path, "pull", BOX)

    later = server.requests()[: len(server.requests()) - before]  # the newest come first
    blocks = len([each for each in later if each["path"].endswith("/file/read")])
    assert missing < blocks * BLOCK_SIZE < missing + BLOCK_SIZE < 1_100_000
    assert_it_arrived(tmp_path, top, "pull")
    assert [*here.glob("tmp-*"), *homes.glob("*/home/.remote-sandbox-*")] == []


@without_quirks
@with_each_step
def test_a_restart_of_the_proxy_is_survived(
    server: FakeProxyServer, top: Path, tmp_path: Path, verb: str, operation: str, skip: int
) -> None:
    process = start_and_hold(server, tmp_path, verb, operation, skip)
    server.stop()
    server.faults.clear()
    server.start()
    _, errors = process.communicate(timeout=DEADLINE)
    if process.returncode != 0:  # it had not answered before, or was too long away
        assert "next:" in errors
        succeed(tmp_path, verb, BOX)

    assert_it_arrived(tmp_path, top, verb)


@without_quirks
def test_ctrl_c_during_the_upload_changes_nothing(
    server: FakeProxyServer, top: Path, tmp_path: Path
) -> None:
    write(top, {"big.bin": os.urandom(30_000_000)})
    process = start(tmp_path, "push", BOX)
    homes = tmp_path / "sandboxes"
    wait_for(lambda: any(homes.glob("*/home/.remote-sandbox-*/bundle")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)

    assert process.returncode == 130
    assert "nothing was changed, in the sandbox or here" in errors
    assert "Traceback" not in errors
    assert [*homes.glob("*/home/.remote-sandbox-*")] == []
    assert [*(top / ".git/remote-sandbox").glob("tmp-*")] == []
    assert not (work_directory(homes) / "project").exists()


@without_quirks
def test_ctrl_c_during_the_unpacking_is_told_and_completed_by_the_next_push(
    server: FakeProxyServer, top: Path, tmp_path: Path
) -> None:
    write(top, {".gitattributes": "*.slow filter=slow\n", "z.slow": "x\n"})
    slow = "git config --global filter.slow.smudge 'touch ~/waits; sleep 60; cat'"
    succeed(tmp_path, "prompt", BOX, slow)
    process = start(tmp_path, "push", BOX)
    homes = tmp_path / "sandboxes"
    wait_for(lambda: any(homes.glob("*/home/waits")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert "may have unpacked a part: push again, which completes it" in errors
    succeed(tmp_path, "prompt", BOX, "git config --global --unset filter.slow.smudge")
    refused = remote_sandbox(tmp_path, "pull", BOX)
    assert "did not arrive completely" in refused.stderr

    succeed(tmp_path, "push", BOX)

    there = work_directory(homes) / "project"
    assert tree_of_directory(there) == tree_of_directory(top)


@without_quirks
def test_ctrl_c_during_the_download_changes_nothing_here(
    server: FakeProxyServer, top: Path, tmp_path: Path
) -> None:
    process = start_and_hold(server, tmp_path, "pull", "readFile", 0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)

    assert process.returncode == 130
    assert "nothing was changed, in the sandbox or here" in errors
    assert git(top, "branch", "--list", BRANCH) == ""
    assert [*(top / ".git/remote-sandbox").glob("tmp-*")] == []
    assert [*(tmp_path / "sandboxes").glob("*/home/.remote-sandbox-*")] == []


@without_quirks
def test_a_signal_while_work_is_applied_leaves_the_working_tree_as_it_was(
    server: FakeProxyServer, top: Path, tmp_path: Path
) -> None:
    write(top, {".git/info/attributes": "*.slow filter=slow\n"})
    git(top, "config", "filter.slow.smudge", "touch ~/waits; sleep 60; cat")
    succeed(tmp_path, "push", BOX)
    write(work_directory(tmp_path / "sandboxes") / "project", {"a.txt": "x\n", "z.slow": "x\n"})
    succeed(tmp_path, "pull", BOX)
    before = fingerprint(top)
    process = start(tmp_path, "pull", "--apply", BOX)
    wait_for((tmp_path / "waits").exists)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=DEADLINE)

    assert process.returncode == 128 + signal.SIGTERM
    assert "the working tree has all of the changes or none of them" in errors
    assert fingerprint(top) == before


def wait_for(condition: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(int(DEADLINE / 0.02)):
        if condition():
            return
        ended.wait(0.02)
    pytest.fail("it did not happen")


RunHere = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunHere:
    """Runs `remote-sandbox` in the repository, in this process."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path / "person" / "project")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = main.run(words)
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return run


def succeed_here(here: RunHere, *words: str) -> str:
    result = here(*words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_an_agent_works_on_the_repository(
    server: FakeProxyServer, top: Path, here: RunHere
) -> None:
    words = ("agent", "--repo", ".", BOX, "Fix it")
    result = here(*words, REMOTE_SANDBOX_AGENT_COMMAND=AGENT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("/sandbox/project\n")
    assert f"`remote-sandbox pull {BOX}` makes its work a branch here" in result.stderr
    succeed_here(here, "pull", BOX)
    assert git(top, "show", f"{BRANCH}:result.txt") == "Fix it"


def test_a_push_and_a_pull_in_this_process(
    server: FakeProxyServer, top: Path, tmp_path: Path, here: RunHere
) -> None:
    assert succeed_here(here, "pull", "--all") == "This repository was sent to no sandbox.\n"
    assert succeed_here(here, "push", BOX).startswith("box:/sandbox/project is at ")
    hint = "`remote-sandbox ps` shows whether an agent still works\n"
    assert succeed_here(here, "pull", BOX).endswith(hint)
    write(work_directory(tmp_path / "sandboxes") / "project", {"a.txt": "x\n"})
    (top / "a.txt").write_text("mine\n")
    refused = here("pull", "--apply", BOX)
    assert refused.returncode == 1
    assert "branch sandbox/box is new" in refused.stdout
    assert "The working tree is not clean: a.txt" in refused.stderr
    git(top, "checkout", "a.txt")
    assert "applied to the working tree" in succeed_here(here, "pull", "--apply", BOX)
    assert here("push", OTHER).returncode == 0
    assert here("delete", OTHER).returncode == 0
    content = json.loads(succeed_here(here, "pull", "--all", "--json"))
    assert [each["name"] for each in content["pulled"]] == [BOX]
    assert [each["name"] for each in content["gone"]] == [OTHER]
    assert content["failed"] == []


def test_several_agents_have_a_branch_each(
    server: FakeProxyServer, top: Path, here: RunHere
) -> None:
    words = ("--repo", ".", "--on", BOX, "--on", "missing", "--on", OTHER, "Fix it")
    result = here("agent", "--json", *words, REMOTE_SANDBOX_AGENT_COMMAND=AGENT)
    content = json.loads(result.stdout)
    assert result.returncode == 125
    assert [each["name"] for each in content["started"]] == [BOX, OTHER]
    assert [each["name"] for each in content["failed"]] == ["missing"]
    for each in content["started"]:
        succeed_here(here, "output", "-f", each["name"], each["session"])
    pulled = json.loads(succeed_here(here, "pull", "--all", "--json"))
    assert [each["branch"] for each in pulled["pulled"]] == [BRANCH, "sandbox/other"]
    assert git(top, "show", "sandbox/other:result.txt") == "Fix it"


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({".env": "x"}, "by the name: .env"),
        ({".git/info/attributes": "a.txt filter=bad", "a.txt": "changed"}, "A filter of git"),
    ],
)
def test_what_stops_all_of_several_agents_is_told_once(
    server: FakeProxyServer, top: Path, here: RunHere, files: dict[str, str | bytes], error: str
) -> None:
    write(top, files)
    git(top, "config", "filter.bad.clean", "false")
    words = ("--repo", ".", "--on", BOX, "--on", OTHER, "Fix it")

    result = here("agent", *words, REMOTE_SANDBOX_AGENT_COMMAND=AGENT)

    assert (result.returncode, result.stdout) == (125, "")
    assert result.stderr.count(error) == 1
    assert f" --on {BOX} --on {OTHER} PROMPT`" in result.stderr
    assert not any(each["path"].endswith("/file/write") for each in server.requests())


def test_several_agents_without_a_repository(
    server: FakeProxyServer, tmp_path: Path, top: Path, here: RunHere
) -> None:
    agent = {"REMOTE_SANDBOX_AGENT_COMMAND": "printf '%s in ' {prompt}; basename \"$PWD\""}
    one = here("agent", "--on", BOX, "Fix", "it", **agent)
    several = here("agent", "--json", "--on", BOX, "--on", OTHER, "Fix it")
    started = json.loads(several.stdout)["started"]

    assert (one.returncode, one.stdout) == (0, "Fix it in sandbox\n")
    assert several.returncode == 0, several.stderr
    assert [[*each] for each in started] == [["name", "session"]] * 2
    for each in started:
        output = succeed_here(here, "output", "-f", each["name"], each["session"])
        assert output == "Fix it in sandbox\n"
    assert "remote-sandbox pull" not in one.stderr + several.stderr
    assert not (top / ".git" / "remote-sandbox").exists()


def test_all_work_comes_from_all_directories(
    server: FakeProxyServer, top: Path, tmp_path: Path, here: RunHere
) -> None:
    for directory in ("project", "other"):
        succeed_here(here, "push", "--directory", directory, BOX)
        write(work_directory(tmp_path / "sandboxes") / directory, {"a.txt": f"{directory}\n"})
    git(top, "checkout", "-q", "-b", BRANCH)
    blocked = here("pull", BOX)
    advice = f"`remote-sandbox pull --branch BRANCH {BOX}`"
    assert (blocked.returncode, advice in blocked.stderr) == (1, True)
    git(top, "checkout", "-q", "main")
    git(top, "branch", "-q", "-D", BRANCH)

    content = json.loads(succeed_here(here, "pull", "--all", "--json"))

    found = {each["directory"]: each["branch"] for each in content["pulled"]}
    assert found.keys() == {"/sandbox/project", "/sandbox/other"}
    for directory, branch in found.items():
        assert git(top, "show", f"{branch}:a.txt") == directory.removeprefix("/sandbox/")
    assert "not fetched: /sandbox/project" in succeed_here(here, "pull", BOX)


@pytest.mark.parametrize(
    ("words", "line", "deciding", "elsewhere"),
    [
        (("push", BOX), "push box", "push --leave-out /A box", "push --directory DIR box"),
        (
            ("push", "--repo", "{x y}", "--include", "{a b}", "--history", BOX),
            "push --repo '{x y}' --include '{a b}' --history box",
            "push --repo '{x y}' --include '{a b}' --history --leave-out /A box",
            "push --repo '{x y}' --include '{a b}' --history --directory DIR box",
        ),
        (
            ("pull", "--directory", "{x y}", BOX),
            "push --directory '{x y}' box",
            "push --directory '{x y}' --leave-out /A box",
            "push --directory DIR box",
        ),
        (
            ("agent", "-d", "--repo", ".", "--leave-out=-x", BOX, "Fix it"),
            "agent -d --repo . --leave-out=-x box PROMPT",
            "agent -d --repo . --leave-out=-x --leave-out /A box PROMPT",
            "agent -d --repo . --leave-out=-x --directory DIR box PROMPT",
        ),
    ],
)
def test_advice_names_the_command_and_its_repository(
    server: FakeProxyServer,
    top: Path,
    here: RunHere,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    line: str,
    deciding: str,
    elsewhere: str,
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        advice = "{push}; {push --leave-out /A}; {push --directory DIR}."
        raise RepositoryRefused("It did not arrive", advice=advice)

    monkeypatch.setattr(Repositories, "push", refuse)
    monkeypatch.setattr(Repositories, "pull", refuse)

    result = here(*words, REMOTE_SANDBOX_AGENT_COMMAND=AGENT)

    lines = "; ".join(f"`remote-sandbox {each}`" for each in (line, deciding, elsewhere))
    assert f"next:  {lines}." in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("agent", "--on", BOX, "--on", OTHER, "--wait", "5", "Fix it"), 125, "one agent"),
        (("agent", "--leave-out", ".env", BOX, "Fix it"), 125, "without --repo"),
        (("agent", "--repo", ".", "--on", BOX, "--on", OTHER, "--stdin", "x"), 125, "one agent"),
        (("agent", "--repo", ".", "--on", BOX, "--on", OTHER, "-e", "UNSET", "x"), 125, "not set"),
        (("agent", "--repo", ".", "--on", BOX, "--on", "no/name", "x"), 125, "cannot be a sandbox"),
        (("agent", "--repo", ".", "-e", "UNSET", BOX, "x"), 125, "'UNSET' is not set here"),
        (("agent", "--repo", ".", "-e", "a b=1", BOX, "x"), 125, "cannot be the name of an env"),
        (("agent", "--repo", ".", "--time-limit", "0", BOX, "x"), 125, "The time limit is 0 s"),
        (("agent", "--repo", ".", "-d", "--notify", "date", BOX, "x"), 125, "nothing waits"),
        (("agent", "--repo", ".", "-d", "--wait", "5", BOX, "x"), 125, "were both given"),
        (("pull",), 2, "NAME is missing"),
        (("pull", "--all", BOX), 2, "NAME and --all were both given"),
        (("pull", "--all", "--apply"), 2, "--all takes neither"),
        (("pull", BOX), 1, "Nothing of this repository was sent"),
        (("push", "--repo", "..", BOX), 1, "is not in a git repository"),
    ],
)
def test_wrong_usage_is_told(
    server: FakeProxyServer,
    top: Path,
    here: RunHere,
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    result = here(*words)
    assert result.returncode == code
    assert message in result.stderr
    assert not any(each["path"].startswith("/proxy") for each in server.requests())
