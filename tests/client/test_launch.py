"""The launcher in a temporary clone, with stubs for uv and Python: nothing is installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "client" / "launch"
# The programs that the launcher itself needs: no uv and no Python among them.
_TOOLS = (
    *("sh", "dirname", "cksum", "tr", "sort", "sed", "paste", "env", "readlink"),
    *("mkdir", "rm", "cat", "touch", "chmod", "mv"),
)

# Stubs: each logs its command line, prints, and does the least.
# The output shows that nothing of it reaches the launcher's own.
_UV = """\
echo "uv $*" >>"$LOG"
echo "words of uv"
case $1 in
venv) for last; do :; done; "$STANDINS/environment" "$last" ;;
pip)
    [ ! -e "$STANDINS/offline" ] || exit 1
    [ ! -e "$STANDINS/barrier" ] || read -r _ <"$STANDINS/barrier"
    ;;
esac
"""
_PYTHON = """\
[ "$1" != -I ] || shift
case $1 in
-c) case $2 in *version_info*) exit ${OLD:-0} ;; esac ;;
--version) echo "Python 3.9.1" ;;
-m) echo "python $*" >>"$LOG"; echo "words of python"
    [ "$2" != venv ] || "$STANDINS/environment" "$4" ;;
esac
"""
# Makes a folder that looks like an environment; its command prints its arguments.
_ENVIRONMENT = """\
rm -rf "$1"
mkdir -p "$1/bin"
cat >"$1/bin/python" <<'END'
#!/bin/sh
[ "$2" != -c ] || exit 0
echo "environment's python $*" >>"$LOG"
[ -z "${PYTHONEXECUTABLE-}${__PYVENV_LAUNCHER__-}" ] || echo "led astray" >>"$LOG"
[ ! -e "$STANDINS/offline" ] || exit 1
END
cat >"$1/bin/tool" <<'END'
#!/bin/sh
for each; do echo "<$each>"; done
echo "SSL_CERT_FILE=${SSL_CERT_FILE-unset}"
exit 7
END
chmod +x "$1/bin/python" "$1/bin/tool"
"""


class Clone:
    """A temporary clone, and a PATH that holds only the programs of the test."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / 'it\'s "a" clone with $HOME, `x` and [y]'
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.variables: dict[str, str] = {}
        (self.root / "client").mkdir(parents=True)
        shutil.copy(LAUNCH, self.root / "client" / "launch")
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.bin.mkdir()
        for tool in _TOOLS:
            path = shutil.which(tool, path="/usr/bin:/bin")
            assert path, f"{tool} is not on this machine"
            (self.bin / tool).symlink_to(path)
        self.put("environment", _ENVIRONMENT)

    @property
    def environment(self) -> Path:
        return self.root / ".venv"

    @property
    def asked(self) -> list[str]:
        """Return the command lines of uv and Python, with ROOT for the clone."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.replace(str(self.root), "ROOT") for line in lines]

    def put(self, name: str, script: str) -> None:
        """Put a program onto the machine."""
        path = self.bin / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def environ(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "LOG": str(self.log),
            "STANDINS": str(self.bin),
            **self.variables,
        }

    def command(self, *words: str) -> list[str]:
        return ["/bin/sh", str(self.root / "client" / "launch"), *words]

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Start the launcher with `words` and wait for its end."""
        return subprocess.run(
            self.command(*words),
            env=self.environ(),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.fixture
def with_uv(clone: Clone) -> Clone:
    clone.put("uv", _UV)
    return clone


@pytest.fixture
def with_python(clone: Clone) -> Clone:
    clone.put("python3", _PYTHON)
    return clone


@pytest.fixture
def installed(with_uv: Clone) -> Clone:
    """A clone with an environment that is up to date."""
    assert with_uv.start("--extras", "dev").returncode == 0
    with_uv.log.unlink()
    return with_uv


def test_uv_is_used_if_present(with_uv: Clone) -> None:
    ended = with_uv.start("tool", "a", "b c", "")

    assert with_uv.asked == [
        "uv venv -q --clear --no-project --python >=3.11 ROOT/.venv",
        (
            "uv pip install -q --no-progress --compile-bytecode"
            " --python ROOT/.venv/bin/python --editable ."
        ),
    ]
    assert f"making the environment in {with_uv.environment} with uv" in ended.stderr
    assert ended.stdout == "<a>\n<b c>\n<>\nSSL_CERT_FILE=unset\n"
    assert ended.returncode == 7


def test_venv_and_pip_are_used_without_uv(with_python: Clone) -> None:
    ended = with_python.start("tool")

    assert with_python.asked == [
        "python -m venv --clear ROOT/.venv",
        "environment's python -m pip install -qq --disable-pip-version-check --editable .",
    ]
    assert "with venv" in ended.stderr
    assert ended.stdout == "SSL_CERT_FILE=unset\n"
    assert ended.returncode == 7


def test_the_output_of_the_installers_goes_to_standard_error(with_uv: Clone) -> None:
    ended = with_uv.start()

    assert ended.stdout == ""
    assert "words of uv" in ended.stderr
    assert ended.returncode == 0


def test_a_newer_python_is_found_beside_one_that_is_too_old(clone: Clone) -> None:
    clone.put("python3", "exit 1")
    clone.put("python3.12", _PYTHON)

    ended = clone.start()

    assert ended.returncode == 0
    assert clone.asked[0] == "python -m venv --clear ROOT/.venv"


@pytest.mark.parametrize("old", [True, False], ids=["too old", "none"])
def test_a_missing_python_is_reported(clone: Clone, old: bool) -> None:
    if old:
        clone.put("python3", _PYTHON)
        clone.variables = {"OLD": "1"}

    ended = clone.start("tool")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Python 3.11 or newer is needed" in ended.stderr
    assert ("(Python 3.9.1)" if old else "(there is no python3)") in ended.stderr
    assert "not found" not in ended.stderr
    assert "or install uv" in ended.stderr
    assert not (clone.root / ".venv.lock").exists()


def test_an_up_to_date_environment_is_used_at_once(installed: Clone) -> None:
    (installed.bin / "uv").unlink()
    shutil.rmtree(installed.root / ".venv.lock", ignore_errors=True)

    ended = installed.start("tool", "--flag", "*")

    assert (ended.returncode, ended.stderr) == (7, "")
    assert ended.stdout == "<--flag>\n<*>\nSSL_CERT_FILE=unset\n"


def test_a_set_up_without_a_command_says_that_it_is_up_to_date(installed: Clone) -> None:
    ended = installed.start("--extras", "dev")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "is up to date" in ended.stderr
    assert installed.asked == []


@pytest.mark.parametrize(
    ("value", "seen"),
    [("", "unset"), ("${SSL_CERT_FILE}", "unset"), ("/ca.pem", "/ca.pem"), ("/$a{b}", "/$a{b}")],
)
def test_a_blank_certificate_file_or_an_unexpanded_reference_is_dropped(
    installed: Clone, value: str, seen: str
) -> None:
    installed.variables = {"SSL_CERT_FILE": value}

    assert installed.start("tool").stdout == f"SSL_CERT_FILE={seen}\n"


def test_changed_packages_update_the_environment_in_place(
    installed: Clone,
) -> None:
    (installed.root / "pyproject.toml").write_text("[project]\nname = 'new'\n")

    ended = installed.start("tool")

    (line,) = installed.asked
    assert line.endswith("--editable .[dev]"), "extras that were there are kept"
    assert "up to date with uv" in ended.stderr
    assert installed.start("tool").stderr == ""


def test_another_extra_is_added_to_the_installed_ones(installed: Clone) -> None:
    installed.start("--extras", "fakeproxy")
    installed.start("--extras", "dev,fakeproxy")

    (line,) = installed.asked
    assert line.endswith("--editable .[dev,fakeproxy]")


def test_a_moved_clone_gets_an_environment_of_its_own(installed: Clone) -> None:
    installed.root = installed.root.rename(installed.root.with_name("moved"))

    ended = installed.start("tool")

    assert ended.returncode == 7
    assert installed.asked[0].startswith("uv venv -q --clear")
    assert f"making the environment in {installed.environment}" in ended.stderr


def test_an_environment_without_its_python_is_made_again(installed: Clone) -> None:
    python = installed.environment / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")

    assert installed.start("tool").returncode == 7
    assert installed.asked[0].startswith("uv venv -q --clear")


def test_a_failed_set_up_is_reported_and_repeated(with_uv: Clone) -> None:
    (with_uv.bin / "offline").touch()
    failed = with_uv.start("tool")
    (with_uv.bin / "offline").unlink()
    ended = with_uv.start("tool")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Check the network" in failed.stderr
    assert ended.returncode == 7
    assert len(with_uv.asked) == 4
    assert not (with_uv.root / ".venv.lock").exists()


def test_a_failed_update_is_repeated(installed: Clone) -> None:
    packages = installed.root / "pyproject.toml"
    before = packages.read_text()
    packages.write_text("[project]\nname = 'new'\n")
    (installed.bin / "offline").touch()
    assert installed.start("tool").returncode == 1
    (installed.bin / "offline").unlink()
    packages.write_text(before)  # the environment may be half of each

    installed.start("tool")

    assert [line.split()[1] for line in installed.asked][-1] == "pip"
    assert len(installed.asked) > 1


def test_a_failed_pip_is_reported(with_python: Clone) -> None:
    (with_python.bin / "offline").touch()

    failed = with_python.start("tool")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert "pip could not install the packages" in failed.stderr


def test_a_killed_set_up_is_repeated(with_uv: Clone) -> None:
    os.mkfifo(with_uv.bin / "barrier")
    with subprocess.Popen(
        with_uv.command("tool"),
        env=with_uv.environ(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as first:
        with (with_uv.bin / "barrier").open("w"):  # opens once the installer reads it
            os.killpg(first.pid, signal.SIGKILL)  # the installer too: it would finish the set-up
        first.wait(timeout=10)
    (with_uv.bin / "barrier").unlink()

    ended = with_uv.start("tool")

    assert ended.returncode == 7
    assert [line.split()[1] for line in with_uv.asked] == ["venv", "pip", "venv", "pip"]


def test_two_concurrent_starts_install_once(with_uv: Clone) -> None:
    barrier = with_uv.bin / "barrier"
    os.mkfifo(barrier)
    # The second start comes to its first sleep while the first is installing: that lets it go on.
    once = f'[ -e "$STANDINS/once" ] || {{ touch "$STANDINS/once"; echo go >"{barrier}"; }}'
    with_uv.put("sleep", once)
    pair = [
        subprocess.Popen(
            with_uv.command("tool"),
            env=with_uv.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        said = [each.communicate(timeout=30) for each in pair]
    finally:
        for each in pair:
            each.kill()
            each.wait()

    assert [each.returncode for each in pair] == [7, 7]
    assert [line.split()[1] for line in with_uv.asked] == ["venv", "pip"]
    assert sum("waiting for it" in err for _, err in said) == 1


def test_the_lock_of_a_killed_start_is_taken_over(with_uv: Clone) -> None:
    lock = with_uv.root / ".venv.lock"
    lock.mkdir()
    with subprocess.Popen(["/bin/sh", "-c", "exit 0"]) as gone:
        gone.wait(timeout=10)
    (lock / "pid").write_text(f"{gone.pid}\n")

    assert with_uv.start("tool").returncode == 7
    assert not lock.exists()


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write all")
def test_a_read_only_clone_is_reported(with_uv: Clone) -> None:
    as_owner = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    with_uv.root.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        ended = subprocess.run(
            [*as_owner, *with_uv.command("tool")],
            env=with_uv.environ(),
            executable=shutil.which("setpriv") if as_owner else None,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        with_uv.root.chmod(stat.S_IRWXU)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "cannot be written" in ended.stderr


def test_extras_without_a_list_are_refused(with_uv: Clone) -> None:
    ended = with_uv.start("--extras")

    assert ended.returncode != 0
    assert ended.stdout == ""
    assert "--extras needs a list" in ended.stderr
    assert with_uv.asked == []


def test_the_launcher_starts_from_any_folder_by_a_relative_path(installed: Clone) -> None:
    ended = subprocess.run(
        ["/bin/sh", "launch", "tool"],
        env=installed.environ() | {"CDPATH": "/"},
        cwd=installed.root / "client",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (7, "")


def test_another_python_gets_an_environment_of_its_own(with_python: Clone) -> None:
    with_python.put("python3.13", _PYTHON)
    with_python.start()

    ended = with_python.start("--python", "3.13", "--extras", "dev", "tool")

    assert ended.returncode == 7
    assert with_python.asked[-2:] == [
        "python -m venv --clear ROOT/.venv-3.13",
        "environment's python -m pip install -qq --disable-pip-version-check --editable .[dev]",
    ]
    assert with_python.environment.exists()


def test_a_python_that_is_not_installed_is_named(with_python: Clone) -> None:
    ended = with_python.start("--python", "3.99", "tool")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Python 3.99 is needed and is not on the PATH" in ended.stderr


@pytest.mark.parametrize("is_relative", [True, False], ids=["relative", "absolute"])
def test_the_launcher_starts_through_a_chain_of_symbolic_links(
    installed: Clone, tmp_path: Path, is_relative: bool
) -> None:
    launcher = installed.root / "client" / "launch"
    link = tmp_path / "links" / "sandbox"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(launcher, link.parent) if is_relative else launcher)
    (tmp_path / "link").symlink_to("links/sandbox")

    ended = subprocess.run(
        ["/bin/sh", "link", "tool"],
        env=installed.environ(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (7, "")


def test_a_first_start_leaves_the_callers_directory_and_variables_to_the_command(
    with_uv: Clone, tmp_path: Path
) -> None:
    with_uv.put(
        "environment", _ENVIRONMENT.replace("for each;", 'pwd; echo "$PYTHONPATH"; for each;')
    )
    with_uv.variables = {"PYTHONPATH": "/mine"}

    assert with_uv.start("tool").stdout.splitlines()[:2] == ["/", "/mine"]


def test_the_installers_see_no_variable_that_changes_python(with_uv: Clone) -> None:
    with_uv.put("uv", 'echo "[$PYTHONPATH$PYTHONHOME$PIP_USER]" >>"$LOG"\n' + _UV)
    with_uv.variables = {"PYTHONPATH": "/mine", "PYTHONHOME": "/mine", "PIP_USER": "1"}

    with_uv.start()

    assert [line for line in with_uv.asked if line.startswith("[")] == ["[]", "[]"]


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("remote-sandbox", "sandbox_client"),
        ("sandbox-fakeproxy", "sandbox_fakeproxy"),
        ("sandbox-contract", "sandbox_contract"),
    ],
)
def test_a_command_starts_python_without_the_callers_variables(
    installed: Clone, command: str, module: str
) -> None:
    installed.variables = {"PYTHONEXECUTABLE": "/mine", "__PYVENV_LAUNCHER__": "/mine"}
    directly = [str(installed.environment / "bin" / command), "a b", "$c"]
    subprocess.run(directly, env=installed.environ(), timeout=30, check=True)
    installed.start(command, "a b", "$c")

    started = f"environment's python -I -S ROOT/client/start.py {module} a b $c"
    assert installed.asked == [started, started]


def test_git_checks_files_out_with_line_feeds_in_any_configuration() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--eol"],
        cwd=LAUNCH.parents[1],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.splitlines()

    assert listed
    assert [line for line in listed if "attr/text=auto eol=lf" not in line] == []


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_the_commands_and_makes_nothing(with_uv: Clone, option: str) -> None:
    ended = with_uv.start(option)

    assert (ended.returncode, ended.stderr) == (0, "")
    for word in ("remote-sandbox", "sandbox-fakeproxy", "sandbox-contract", "--extras"):
        assert f"\n  {word}" in ended.stdout
    assert with_uv.asked == []


def test_the_help_names_the_commands_of_the_project(with_uv: Clone) -> None:
    packages = tomllib.loads((LAUNCH.parents[1] / "pyproject.toml").read_text())

    said = with_uv.start("--help").stdout

    assert set(re.findall(r"^  (\w+-\w+) ", said, re.MULTILINE)) == set(
        packages["project"]["scripts"]
    )


def test_an_unknown_command_is_reported_with_the_known_ones(installed: Clone) -> None:
    ended = installed.start("remote-sandbx", "list")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert "there is no command 'remote-sandbx'" in ended.stderr
    assert "There are: remote-sandbox (the client), sandbox-fakeproxy" in ended.stderr


def test_removed_packages_are_installed_again(with_uv: Clone) -> None:
    packages = with_uv.environment / "lib" / "python3.11" / "site-packages"
    folders = " ".join(shlex.quote(str(packages / each)) for each in ("one", "two"))
    with_uv.put("environment", _ENVIRONMENT + f"mkdir -p {folders}\n")
    with_uv.start()
    (packages / "__pycache__").mkdir()
    assert with_uv.start("tool").stderr == "", "more than there were is no reason"
    with_uv.log.unlink()
    for each in packages.iterdir():
        each.rmdir()

    ended = with_uv.start("tool")

    assert ended.returncode == 7
    assert [line.split()[1] for line in with_uv.asked] == ["pip"]
    assert "up to date with uv" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_set_up_is_reported(with_uv: Clone, number: signal.Signals) -> None:
    os.mkfifo(with_uv.bin / "barrier")
    with subprocess.Popen(
        with_uv.command("tool"),
        env=with_uv.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        with (with_uv.bin / "barrier").open("w"):  # opens once pip reads it
            os.killpg(process.pid, number)  # as a terminal does, to the installer too
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (128 + number, "")
    assert "interrupted: the environment is not ready; the next start makes it so" in err
    assert "Check the network" not in err
    assert not (with_uv.root / ".venv.lock").exists()
