"""`remote-sandbox login`, in a terminal and from a script."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox_fakeproxy import FakeProxyServer

from tests.fakeproxy.processes import wait_until
from tests.integration.programs import (
    ADMIN_KEY,
    DEADLINE,
    clean_environment,
    config_path,
    run_remote_sandbox,
)
from tests.integration.terminal import open_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.programs import FakeProcess


def login_from_script(home: Path, *words: str, line: str = "") -> subprocess.CompletedProcess[str]:
    """Log in with a key on standard input; check that the key is not printed."""
    result = run_remote_sandbox(home, "login", *words, stdin=line)
    assert not line.strip() or line.strip() not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_a_login_in_a_terminal_writes_the_key_and_never_shows_it(
    tmp_path: Path, fake: FakeProcess
) -> None:
    key = fake.new_key()

    with open_terminal(tmp_path, "login") as terminal:
        terminal.answer("The proxy's URL (http://127.0.0.1:8080):", fake.url)
        terminal.answer("Your API key (hidden as you type):", key)
        terminal.wait_for("The key belongs to user-")
        terminal.wait_for("remote-sandbox create my-sandbox")
        assert terminal.finish() == 0

    assert key not in terminal.output
    assert json.loads(config_path(tmp_path).read_text()) == {"proxyUrl": fake.url, "apiKey": key}
    assert stat.S_IMODE(config_path(tmp_path).stat().st_mode) == 0o600


def test_a_login_with_the_admin_key_creates_a_user_and_a_key(
    tmp_path: Path, fake: FakeProcess
) -> None:
    with open_terminal(tmp_path, "login", "--url", fake.url) as terminal:
        terminal.answer("Your API key", ADMIN_KEY)
        terminal.answer("Is it the admin key? [y/n] (n):", "y")
        terminal.answer("The user to create a key for", "grace")
        terminal.wait_for("The key belongs to grace.")
        assert terminal.finish() == 0

    key = json.loads(config_path(tmp_path).read_text())["apiKey"]
    assert ADMIN_KEY not in terminal.output
    assert key not in terminal.output
    assert ADMIN_KEY not in config_path(tmp_path).read_text()


@pytest.mark.parametrize("question", ["The proxy's URL", "Your API key"])
def test_ctrl_c_at_a_question_keeps_the_configuration(
    tmp_path: Path, fake: FakeProcess, question: str
) -> None:
    fake.write_config(tmp_path)
    before = config_path(tmp_path).read_bytes()

    with open_terminal(tmp_path, "login") as terminal:
        if question != "The proxy's URL":
            terminal.answer("The proxy's URL", "")
        terminal.wait_for(f"{question} (")
        terminal.wait_for(":")
        assert terminal.hides_input is (question == "Your API key")
        terminal.type("\x03")
        terminal.wait_for("remote-sandbox: interrupted: the configuration is unchanged")
        assert not terminal.hides_input
        assert terminal.finish() == 130

    assert "Traceback" not in terminal.output
    assert config_path(tmp_path).read_bytes() == before


def test_ctrl_d_at_a_question_is_an_error_without_a_traceback(
    tmp_path: Path, fake: FakeProcess
) -> None:
    with open_terminal(tmp_path, "login", "--url", fake.url) as terminal:
        terminal.wait_for("Your API key (hidden as you type):")
        terminal.type("\x04")
        terminal.wait_for("error: The input ended before the answer")
        assert terminal.finish() == 2

    assert "Traceback" not in terminal.output
    assert not config_path(tmp_path).exists()


@pytest.mark.parametrize(
    ("operation", "created", "requested"),
    [
        ("createUser", "", "The proxy may have created user 'linus':"),
        ("createUserKey", "The proxy keeps user 'linus'.", "may have created the key 'remote-sand"),
    ],
)
def test_ctrl_c_during_a_creation_says_what_may_have_been_created(
    tmp_path: Path, operation: str, created: str, requested: str
) -> None:
    words = ("login", "--admin", "--user", "linus")
    with FakeProxyServer(tmp_path / "fake") as server:
        server.faults.add(operation=operation, do="hang")
        with open_terminal(tmp_path, *words, "--url", server.url, columns=400) as terminal:
            terminal.answer("admin key", server.admin_key)
            asyncio.run(wait_until(lambda: server.faults.armed()[0]["hits"] == 1))
            terminal.type("\x03")
            assert terminal.finish() == 130

    assert created in terminal.screen
    assert requested in terminal.screen
    assert "how to list users" in terminal.screen
    assert terminal.screen.endswith("interrupted: the configuration is unchanged")


def test_a_script_passes_the_key_on_standard_input(tmp_path: Path, fake: FakeProcess) -> None:
    key = fake.new_key()

    result = login_from_script(
        tmp_path, "--url", fake.url, "--key-stdin", "--json", line=f"{key}\nmore"
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["config"] == str(config_path(tmp_path))
    assert json.loads(config_path(tmp_path).read_text())["apiKey"] == key


def test_a_second_login_with_the_admin_key_creates_another_key_of_the_user(
    tmp_path: Path, fake: FakeProcess
) -> None:
    words = ("--url", fake.url, "--key-stdin", "--admin", "--user", "linus", "--json")

    first = login_from_script(tmp_path, *words, line=ADMIN_KEY)
    key = json.loads(config_path(tmp_path).read_text())["apiKey"]
    second = login_from_script(tmp_path, *words, line=ADMIN_KEY)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert [json.loads(each.stdout)["user"] for each in (first, second)] == ["linus", "linus"]
    assert "User 'linus' existed already." in second.stderr
    assert json.loads(config_path(tmp_path).read_text())["apiKey"] != key


@pytest.mark.parametrize(
    ("words", "line", "code", "message"),
    [
        ([], "", 2, "error: There is no terminal to ask on"),
        (["--key-stdin"], "sk_live_" + "0" * 32, 1, "error: The proxy does not know the API key"),
        (["--key-stdin"], "sk_live_\udcff", 2, "error: The key holds a space or a character"),
        (["--key-stdin", "--admin"], "wrong", 1, "error: The proxy does not accept the admin key"),
    ],
    ids=["no terminal", "unknown key", "not text", "wrong admin key"],
)
def test_a_failed_login_from_a_script_gives_the_reason_and_writes_nothing(
    tmp_path: Path, fake: FakeProcess, words: list[str], line: str, code: int, message: str
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sandbox_client", "login", "--url", fake.url, *words],
        env=clean_environment(tmp_path),
        input=line.encode(errors="surrogateescape"),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (result.returncode, result.stdout) == (code, b"")
    assert message in result.stderr.decode()
    assert not config_path(tmp_path).exists()


def test_a_key_on_the_command_line_is_refused_and_not_shown(
    tmp_path: Path, fake: FakeProcess
) -> None:
    key = fake.new_key()

    result = login_from_script(tmp_path, "--url", fake.url, key)

    assert result.returncode == 2
    assert key not in result.stderr


def test_key_stdin_is_refused_in_a_terminal(tmp_path: Path) -> None:
    with open_terminal(tmp_path, "login", "--key-stdin") as terminal:
        terminal.wait_for("standard input is a terminal")
        assert terminal.finish() == 2
