"""The questions of a login, in a terminal or answered from a pipe."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from typing import TYPE_CHECKING

import pytest
from sandbox_client import InvalidInput
from sandbox_client.cli.prompting import PipePrompter, TerminalPrompter, prompter

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@pytest.fixture
def standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Make a file standard input, and return its path."""
    file = tmp_path / "stdin"
    file.touch()
    with file.open(encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield file


@pytest.fixture
def in_terminal(standard_input: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make standard input and standard error terminals."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def press_ctrl_c(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_questions_are_asked_in_a_terminal(in_terminal: None) -> None:
    assert isinstance(prompter(key_stdin=False), TerminalPrompter)


def test_a_key_is_read_from_a_pipe_and_questions_get_their_defaults(standard_input: Path) -> None:
    standard_input.write_text(" sk_live_1 \nmore\n")

    asked = prompter(key_stdin=True)

    assert isinstance(asked, PipePrompter)
    assert asked.attempts == 1
    assert asked.secret("Your API key") == "sk_live_1"
    assert asked.text("The proxy's URL", "http://proxy.test") == "http://proxy.test"
    assert asked.confirm("Make another key?", default=True)
    assert not asked.confirm("Is it the admin key?", default=False)


def test_key_stdin_is_rejected_in_a_terminal(in_terminal: None) -> None:
    with pytest.raises(InvalidInput, match="standard input is a terminal") as caught:
        prompter(key_stdin=True)

    assert "Leave --key-stdin out" in caught.value.advice


@pytest.mark.parametrize("key_stdin", [True, False])
def test_a_closed_standard_input_is_refused(
    key_stdin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(InvalidInput, match="There is no terminal to ask on") as caught:
        prompter(key_stdin=key_stdin)

    assert "--key-stdin < FILE" in caught.value.advice


def test_a_pipe_without_key_stdin_is_refused(standard_input: Path) -> None:
    standard_input.write_text("sk_live_1\n")

    with pytest.raises(InvalidInput, match="There is no terminal to ask on"):
        prompter(key_stdin=False)


def test_a_redirected_standard_error_is_refused(
    in_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)  # the questions would go into a file

    with pytest.raises(InvalidInput, match="There is no terminal to ask on"):
        prompter(key_stdin=False)


@pytest.mark.parametrize(("typed", "text"), [(" x ", "x"), ("", "http://default.test")])
def test_a_text_is_asked_for_on_standard_error(
    typed: str, text: str, standard_input: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input.write_text(f"{typed}\n")

    assert TerminalPrompter().text("The [URL]", "http://default.test") == text
    out, err = capsys.readouterr()
    assert (out, err) == ("", "The [URL] (http://default.test): ")


def test_a_yes_or_no_is_asked_for(standard_input: Path) -> None:
    standard_input.write_text("n\n")

    assert not TerminalPrompter().confirm("Make another key?", default=True)


def test_a_secret_is_read_without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = os.openpty()

    def has_echo() -> bool:
        return bool(termios.tcgetattr(far)[3] & termios.ECHO)

    def type_key(*_: object) -> None:
        assert not has_echo()
        os.write(near, b" sk_live_1 \n")

    with open(far, encoding="utf-8") as terminal:  # noqa: PTH123  (a descriptor)
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(select, "select", type_key)
        assert TerminalPrompter().secret("Your API key") == "sk_live_1"
        assert has_echo()
    os.close(near)


@pytest.mark.usefixtures("standard_input")
def test_a_secret_is_rejected_if_echo_cannot_be_turned_off() -> None:
    with pytest.raises(InvalidInput, match="cannot hide what is typed"):
        TerminalPrompter().secret("Your API key")


def test_the_end_of_the_input_is_an_error(standard_input: Path) -> None:
    assert standard_input.stat().st_size == 0

    with pytest.raises(InvalidInput, match="The input ended before the answer"):
        TerminalPrompter().text("The URL", "")


def test_ctrl_c_during_a_question_ends_the_line(
    standard_input: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input.write_text("no line that is read\n")
    monkeypatch.setattr(select, "select", press_ctrl_c)

    with pytest.raises(KeyboardInterrupt):
        TerminalPrompter().text("The URL", "")
    assert capsys.readouterr().err.endswith("\n")
