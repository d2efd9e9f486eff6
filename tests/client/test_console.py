"""The output of a command and the notes of the client on the two standard streams."""

from __future__ import annotations

import sys

import pytest
from rich.console import Console as RichConsole
from rich.text import Text
from sandbox_client import OutputChunk
from sandbox_client.cli.advice import set_advice
from sandbox_client.cli.console import Console, wrapped
from sandbox_client.execution.follower import UNREACHABLE
from sandbox_client.repository.model import PullOptions


@pytest.fixture
def console() -> Console:
    console = Console(as_json=False, name="box")
    console.show_output()
    return console


def test_both_streams_of_a_command_are_kept_apart(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.on_output(OutputChunk("out\n", 4))
    console.on_output(OutputChunk("err\x1b[m\n", 7, is_error=True))
    console.end_output()

    assert capsys.readouterr() == ("out\n", "err\x1b[m\n")
    assert console.positions == (4, 7)


def test_a_note_starts_a_new_line_with_the_name_of_the_program(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.on_output(OutputChunk("no newline", 10, is_error=True))
    console.note("it ended")
    console.note("twice")

    assert capsys.readouterr().err == (
        "no newline\nremote-sandbox: it ended\nremote-sandbox: twice\n"
    )


def test_a_note_after_an_unfinished_line_starts_a_new_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    console = Console(as_json=False, name="box")

    console.on_output(OutputChunk("no newline", 10))
    console.note("it ended")

    assert capsys.readouterr() == ("no newline", "\nremote-sandbox: it ended\n")


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (OutputChunk("z", 8, gone=7), "7 characters of the output are gone"),
        (OutputChunk("z", 8, gone=7, unit="bytes"), "7 bytes of the output are gone"),
        (OutputChunk("", 8, gone=None), "some characters of the output are gone"),
    ],
    ids=["characters", "bytes", "unknown"],
)
def test_lost_output_is_noted_on_standard_error(
    chunk: OutputChunk, words: str, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.on_output(chunk)
    console.end_output()

    out, err = capsys.readouterr()
    assert out == chunk.text
    assert err == f"remote-sandbox: {words}: the runtime no longer has them\n"


def test_replaced_bytes_are_counted_over_both_streams(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.on_output(OutputChunk("\ufffd\n", 2))
    console.on_output(OutputChunk("\ufffd\ufffd\n", 3, is_error=True))
    console.end_output()
    console.end_output()

    assert capsys.readouterr().err.count("3 characters of the output may be bytes") == 1


async def test_the_seconds_of_a_wait_are_printed_every_ten(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    for elapsed in (0.0, 1.5, 9.0, 10.5, 12.0, 20.5):
        await console.report(elapsed, None, "starting")

    assert capsys.readouterr().err == ("  0.0 s  starting\n 10.5 s  starting\n 20.5 s  starting\n")


async def test_the_seconds_of_an_outage_are_printed_after_output(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    unreachable = f"{UNREACHABLE}: Connection refused; still trying"
    console.on_output(OutputChunk("a\n", 2))
    for elapsed, reason in ((1.0, "last line: a"), (2.0, unreachable), (13.0, unreachable)):
        await console.report(elapsed, None, reason)

    assert capsys.readouterr().err == f"  2.0 s  {unreachable}\n 13.0 s  {unreachable}\n"


async def test_an_outage_after_output_has_a_changing_line_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    console = Console(as_json=False, name="box")
    with console.waiting("starting the command"):
        console.on_output(OutputChunk("a\n", 2))
        await console.report(57.0, None, f"{UNREACHABLE}: refused; still trying")
        console.on_output(OutputChunk("b\n", 4))
        out, err = capsys.readouterr()

    assert out == "a\nb\n"
    assert "57 s  the command cannot be reached: refused; still trying" in err
    assert err.count("\x1b[?25h") == 2, "each output ends the line before it: the cursor is back"


def test_json_output_is_not_printed_in_chunks(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=True, name="box")
    console.on_output(OutputChunk("\ufffd", 1, gone=3))
    console.end_output()

    assert capsys.readouterr() == ("", "")


def test_the_output_command_line_has_the_positions_of_both_streams(console: Console) -> None:
    console.opened("s1", after=2)
    console.on_output(OutputChunk("err", 3, is_error=True))

    assert (
        console.format_verb("output")
        == "`remote-sandbox output -f --after 2 --stderr-after 3 box s1`"
    )


def test_a_command_line_quotes_what_was_typed() -> None:
    console = Console(as_json=False, name="x; echo hi")
    console.opened("$(id)")

    assert console.format_verb("create") == "`remote-sandbox create 'x; echo hi'`"
    assert console.format_verb("cancel") == "`remote-sandbox cancel 'x; echo hi' '$(id)'`"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--apply --allow-programs", "pull --branch own --apply --allow-programs box"),
        ("--branch BRANCH", "pull --branch BRANCH box"),
    ],
)
def test_advice_to_pull_again_has_the_branch_unless_it_names_one(options: str, line: str) -> None:
    console = Console(as_json=False, name="box")
    set_advice(console, ".", PullOptions(branch="own"))

    assert console.format_verb("pull", options) == f"`remote-sandbox {line}`"


@pytest.mark.parametrize(("as_json", "printed"), [(False, ""), (True, "{}\n")])
def test_an_empty_result_is_no_line(
    as_json: bool, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Console(as_json=as_json, name="box").result(Text(), {})

    assert capsys.readouterr().out == printed


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> RichConsole:
    """Return a console on a terminal with 20 columns."""
    monkeypatch.setenv("TERM", "xterm")
    return RichConsole(width=20, force_terminal=True)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four five", ["one two three four", "five"]),
        ("look with `a long line` then", ["look with", "`a long line` then"]),
        ("see https://proxy.example.com/a too", ["see", "https://proxy.example.com/a", "too"]),
        ("`remote-sandbox output -f box s1`, then", ["`remote-sandbox output -f box s1`,", "then"]),
        ("  indented words are here", ["  indented words are", "here"]),
        ("one\n\ntwo", ["one", "", "two"]),
        ("二二 二二 二二 二二 二二", ["二二 二二 二二 二二", "二二"]),
        ("", [""]),
    ],
)
def test_lines_break_at_spaces_and_not_in_a_command(
    text: str, lines: list[str], narrow: RichConsole
) -> None:
    assert wrapped(Text(text), narrow).plain.split("\n") == lines


def test_lines_keep_their_colours_and_leave_room_on_the_left(narrow: RichConsole) -> None:
    text = Text.assemble(("error: ", "bold"), "one two three four")

    broken = wrapped(text, narrow, indent=3)

    assert broken.plain == "error: one two\nthree four"
    assert [(span.start, span.end, span.style) for span in broken.spans] == [(0, 7, "bold")]


def test_a_pipe_gets_a_line_whole() -> None:
    pipe = RichConsole(width=20, force_terminal=False)

    assert wrapped(Text("one two three four five"), pipe).plain == "one two three four five"
