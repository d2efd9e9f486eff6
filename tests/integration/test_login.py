"""`remote-sandbox login` as a person types into it, and as a script starts it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import ADMIN_KEY, DEADLINE, clean_environment
from tests.integration.terminal import a_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.programs import FakeProcess


def config_of(home: Path) -> Path:
    return home / ".config" / "gemini-remote-sandbox" / "config.json"


def scripted(
    home: Path, *words: str, line: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Log in without a terminal, with a secret on standard input."""
    result = subprocess.run(
        [sys.executable, "-m", "sandbox_client", "login", *words],
        env=clean_environment(home, **variables),
        input=line,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert not line.strip() or line.strip() not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_a_person_logs_in_and_the_key_is_never_on_the_screen(
    tmp_path: Path, fake: FakeProcess
) -> None:
    key = fake.new_key()

    with a_terminal(tmp_path, "login") as terminal:
        terminal.answer("The proxy's URL (http://127.0.0.1:8080):", fake.url)
        terminal.answer("Your API key (hidden as you type):", key)
        terminal.wait_for("The key is user-")
        terminal.wait_for("remote-sandbox create my-sandbox")
        assert terminal.finish() == 0

    assert key not in terminal.screen
    assert json.loads(config_of(tmp_path).read_text()) == {"proxyUrl": fake.url, "apiKey": key}
    assert stat.S_IMODE(config_of(tmp_path).stat().st_mode) == 0o600


def test_a_person_with_an_admin_key_gets_a_user_and_a_key(
    tmp_path: Path, fake: FakeProcess
) -> None:
    with a_terminal(tmp_path, "login", "--url", fake.url) as terminal:
        terminal.answer("Your API key", ADMIN_KEY)
        terminal.answer("Is it the admin key? [y/n] (n):", "y")
        terminal.answer("The user to make a key for", "grace")
        terminal.wait_for("The key is grace's.")
        assert terminal.finish() == 0

    key = json.loads(config_of(tmp_path).read_text())["apiKey"]
    assert ADMIN_KEY not in terminal.screen
    assert key not in terminal.screen
    assert ADMIN_KEY not in config_of(tmp_path).read_text()


@pytest.mark.parametrize("question", ["The proxy's URL", "Your API key"])
def test_ctrl_c_at_a_question_ends_at_once_and_leaves_the_file_as_it_was(
    tmp_path: Path, fake: FakeProcess, question: str
) -> None:
    fake.write_config(tmp_path)
    before = config_of(tmp_path).read_bytes()

    with a_terminal(tmp_path, "login") as terminal:
        if question != "The proxy's URL":
            terminal.answer("The proxy's URL", "")
        terminal.wait_for(f"{question} (")
        terminal.wait_for(":")
        assert terminal.is_hiding is (question == "Your API key")
        terminal.type("\x03")
        terminal.wait_for("\ninterrupted: the configuration is as it was")
        assert not terminal.is_hiding
        assert terminal.finish() == 130

    assert "Traceback" not in terminal.screen
    assert config_of(tmp_path).read_bytes() == before


def test_the_end_of_the_input_at_a_question_is_no_traceback(
    tmp_path: Path, fake: FakeProcess
) -> None:
    with a_terminal(tmp_path, "login", "--url", fake.url) as terminal:
        terminal.wait_for("Your API key (hidden as you type):")
        terminal.type("\x04")
        terminal.wait_for("error: The input ended before the answer")
        assert terminal.finish() == 2

    assert "Traceback" not in terminal.screen
    assert not config_of(tmp_path).exists()


def test_a_script_gives_the_key_on_standard_input(tmp_path: Path, fake: FakeProcess) -> None:
    key = fake.new_key()

    result = scripted(tmp_path, "--url", fake.url, "--key-stdin", "--json", line=f"{key}\nmore")

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["config"] == str(config_of(tmp_path))
    assert json.loads(config_of(tmp_path).read_text())["apiKey"] == key


def test_a_script_with_an_admin_key_makes_a_user_and_then_another_key_of_the_same(
    tmp_path: Path, fake: FakeProcess
) -> None:
    words = ("--url", fake.url, "--key-stdin", "--admin", "--user", "linus", "--json")

    first = scripted(tmp_path, *words, line=ADMIN_KEY)
    key = json.loads(config_of(tmp_path).read_text())["apiKey"]
    second = scripted(tmp_path, *words, line=ADMIN_KEY)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert [json.loads(each.stdout)["user"] for each in (first, second)] == ["linus", "linus"]
    assert "User 'linus' was there already." in second.stderr
    assert json.loads(config_of(tmp_path).read_text())["apiKey"] != key


@pytest.mark.parametrize(
    ("words", "line", "code", "said"),
    [
        ([], "", 2, "error: There is no terminal to ask on"),
        (["--key-stdin"], "sk_live_" + "0" * 32, 1, "error: The proxy does not know the API key"),
        (["--key-stdin"], "sk_live_\udcff", 2, "error: The key holds a space or a character"),
        (["--key-stdin", "--admin"], "wrong", 1, "error: The proxy does not accept the admin key"),
    ],
    ids=["no terminal", "unknown key", "not text", "wrong admin key"],
)
def test_a_script_that_goes_wrong_is_told_why_and_nothing_is_written(
    tmp_path: Path, fake: FakeProcess, words: list[str], line: str, code: int, said: str
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
    assert said in result.stderr.decode()
    assert not config_of(tmp_path).exists()


def test_a_key_on_the_command_line_is_refused_and_not_shown(
    tmp_path: Path, fake: FakeProcess
) -> None:
    key = fake.new_key()

    result = scripted(tmp_path, "--url", fake.url, key)

    assert result.returncode == 2
    assert key not in result.stderr


def test_a_terminal_is_no_place_for_key_stdin(tmp_path: Path) -> None:
    with a_terminal(tmp_path, "login", "--key-stdin") as terminal:
        terminal.wait_for("standard input is a terminal")
        assert terminal.finish() == 2
