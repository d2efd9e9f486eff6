"""The command line, run in this process: refusals, help and the text at the start."""

import contextlib
import json
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox_fakeproxy.ids import IdGenerator
from sandbox_fakeproxy.serving.banner import StartupInfo, banner
from sandbox_fakeproxy.serving.cli import main
from sandbox_fakeproxy.serving.data_directory import open_data_directory
from sandbox_fakeproxy.serving.listener import listen

KEY = "sk_live_" + "k" * 32
Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that starts a fake which cannot start, and returns its complaint."""
    monkeypatch.delenv("ADMIN_API_KEY", raising=False)

    def start(*arguments: str | Path) -> str:
        try:
            code: object = main([str(each) for each in arguments])
        except SystemExit as exc:  # argparse
            code = exc.code
        said = capsys.readouterr()
        assert (code, said.out) == (2, "")
        return said.err

    return start


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "COMMAND"),
        (["serve", "--port", "65536"], "not a port"),
        (["serve", "--port", "http"], "not a port"),
        (["serve", "--ready-after", "-1"], "not a time"),
        (["serve", "--ready-after", "nan"], "not a time"),
        (["serve", "--reconcile-delay", "soon"], "not a time"),
        (["serve", "--command-timeout", "0"], "more than 0"),
        (["serve", "--isolation", "jail"], "invalid choice"),
        (["serve", "--profile", "v2"], "v1alpha1"),
        (["serve", "--runtime-api", "2.0"], "1.9"),
        (["serve", "--ephemeral", "--data", "x"], "not allowed with"),
        (["serve", "--seed", "x"], "not a seed"),
        (["serve", "--seed", "-1"], "not a seed"),
        (["serve", "--seed-file", "no-such-file"], "no-such-file cannot be read: No such file"),
        (["serve", "--ephemeral", "--host", "no.such.host.invalid"], "no address"),
    ],
)
def test_a_bad_value_is_named(refused: Refused, arguments: list[str], word: str) -> None:
    assert word in refused(*arguments).splitlines()[-1]


def test_a_port_in_use_is_one_clear_line(refused: Refused) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        line = refused("serve", "--ephemeral", "--port", str(port))
    assert line.count("\n") == 1
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use" in line
    assert "--port" in line


def test_a_data_directory_in_use_is_one_clear_line(refused: Refused, tmp_path: Path) -> None:
    with open_data_directory(tmp_path / "data"):
        line = refused("serve", "--port", "0", "--data", tmp_path / "data")
    assert line.count("\n") == 1
    assert f"{tmp_path / 'data'} is in use by another sandbox-fakeproxy" in line


def test_a_data_directory_that_cannot_be_made_is_one_clear_line(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    line = refused("serve", "--port", "0", "--data", tmp_path / "file" / "data")
    assert line.count("\n") == 1
    assert "cannot be used: Not a directory" in line


def test_a_user_without_a_home_directory_is_told_what_to_choose(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_user(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_user)
    assert "There is no home directory to keep state in. Set HOME, or choose" in refused("serve")
    with contextlib.suppress(SystemExit):
        main(["serve", "--help"])
    assert "(none, as HOME is not set)" in capsys.readouterr().out


def test_state_of_another_program_is_one_clear_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "state.sqlite3").write_text("nothing that SQLite knows " * 100)
    line = refused("serve", "--port", "0", "--data", tmp_path)
    assert line.count("\n") == 1
    assert "state.sqlite3 cannot be used as the fake proxy's state" in line


def test_an_admin_key_file_that_is_a_directory_is_one_clear_line(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "admin.key").mkdir()
    line = refused("serve", "--port", "0", "--data", tmp_path)
    assert line.count("\n") == 1
    assert f"{tmp_path / 'admin.key'} cannot be used: Is a directory" in line


def test_an_admin_key_that_no_header_can_carry_is_refused_without_being_shown(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", "two words")
    line = refused("serve", "--ephemeral", "--port", "0")
    assert line.count("\n") == 1
    assert "ADMIN_API_KEY" in line
    assert "two words" not in line


def test_a_bad_seed_file_is_one_clear_line_with_the_place_and_no_key(
    refused: Refused, tmp_path: Path
) -> None:
    file = tmp_path / "seed.json"
    file.write_text(json.dumps({"users": [{"username": "a", "keys": [{"key": f"{KEY}!"}]}]}))
    line = refused("serve", "--ephemeral", "--port", "0", "--seed-file", file)
    assert line.count("\n") == 1
    assert f"--seed-file {file}: users[0].keys[0].key: expected sk_live_" in line
    assert KEY not in line


def test_an_isolation_that_does_not_work_is_one_clear_line(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refused("serve", "--ephemeral", "--port", "0", "--isolation", "required")
    assert line.count("\n") == 1
    assert "the program bwrap is not on the PATH; install bubblewrap" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104  (the refusal is the subject)
def test_an_address_that_others_reach_is_refused_with_its_danger(
    refused: Refused, host: str
) -> None:
    line = refused("serve", "--ephemeral", "--port", "0", "--host", host)
    assert line.count("\n") == 1
    assert "run commands as you, on this machine" in line
    assert "--allow-remote" in line


def test_with_allow_remote_any_host_is_served() -> None:
    listener = listen("0.0.0.0", 0, allow_remote=True)  # noqa: S104  (ditto)
    with listener.socket:
        assert listener.allowed_hosts is None


def test_a_blank_host_is_an_address_of_this_machine() -> None:
    listener = listen("", 0, allow_remote=False)
    with listener.socket:
        host, _, port = listener.url.removeprefix("http://").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port))).close()
        assert host in (listener.allowed_hosts or ())


def test_no_small_reply_is_held_back_for_more() -> None:
    with listen("127.0.0.1", 0, allow_remote=False).socket as listening:
        # asyncio sets TCP_NODELAY where the socket says that it is TCP's.
        assert listening.proto == socket.IPPROTO_TCP


def test_an_empty_admin_key_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.touch(mode=0o644)
    with open_data_directory(tmp_path) as data:
        key, is_new = data.admin_key(IdGenerator(None))
    assert is_new
    assert file.read_text() == f"{key}\n"
    assert key.startswith("admin_")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_kept_admin_key_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("admin_kept\n")
    file.chmod(0o644)
    with open_data_directory(tmp_path) as data:
        assert data.admin_key(IdGenerator(None)) == ("admin_kept", False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_no_printed_line_is_broken_by_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = banner(
        StartupInfo(
            url="http://127.0.0.1:8080",
            isolation="run as you, on this machine, with a /sandbox and /home/gem of their own",
            state=None,
            admin_key_file=None,
            new_admin_key="admin_" + "k" * 32,
            username="dev1",
            deviations="statuses as in the controller v1beta1",
        )
    )
    # A key is one long word, which stays whole.
    widths = [len(line) for line in text.splitlines() if "admin_" not in line]
    assert max(widths) <= min(int(columns), 100)


def test_help_names_every_option_with_its_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with contextlib.suppress(SystemExit):
        main(["serve", "--help"])
    text = capsys.readouterr().out
    for line in (
        "(127.0.0.1)",
        "(8080)",
        "(2)",
        "(0.1)",
        "(300)",
        "times, in seconds",
        "(v1alpha1)",
        "tests",
        "(auto)",
    ):
        assert line in text
    with contextlib.suppress(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("sandbox-fakeproxy 0.")
