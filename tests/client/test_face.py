"""A command's output and the client's own words on the two standard streams."""

from __future__ import annotations

import sys

import pytest
from sandbox_client.cli.console import Face
from sandbox_client.output import News


@pytest.fixture
def face() -> Face:
    face = Face(as_json=False, name="box")
    face.show_output()
    return face


def test_each_stream_of_a_command_goes_to_its_own(
    face: Face, capsys: pytest.CaptureFixture[str]
) -> None:
    face.on_output(News("out\n", 4))
    face.on_output(News("err\x1b[m\n", 7, is_error=True))
    face.end_output()

    assert capsys.readouterr() == ("out\n", "err\x1b[m\n")
    assert face.known == (4, 7)


def test_a_note_begins_on_a_new_line_with_the_programs_name(
    face: Face, capsys: pytest.CaptureFixture[str]
) -> None:
    face.on_output(News("no newline", 10, is_error=True))
    face.note("it ended")
    face.note("twice")

    assert capsys.readouterr().err == (
        "no newline\nremote-sandbox: it ended\nremote-sandbox: twice\n"
    )


def test_a_note_beside_output_on_the_same_terminal_begins_on_a_new_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    face = Face(as_json=False, name="box")

    face.on_output(News("no newline", 10))
    face.note("it ended")

    assert capsys.readouterr() == ("no newline", "\nremote-sandbox: it ended\n")


@pytest.mark.parametrize(
    ("news", "words"),
    [
        (News("z", 8, gone=7), "7 characters of the output are gone"),
        (News("z", 8, gone=7, unit="bytes"), "7 bytes of the output are gone"),
        (News("", 8, gone=None), "some characters of the output are gone"),
    ],
    ids=["characters", "bytes", "unknown"],
)
def test_output_that_is_gone_is_told_on_standard_error(
    news: News, words: str, face: Face, capsys: pytest.CaptureFixture[str]
) -> None:
    face.on_output(news)
    face.end_output()

    out, err = capsys.readouterr()
    assert out == news.text
    assert err == f"remote-sandbox: {words}: the runtime no longer has them\n"


def test_bytes_that_are_no_text_are_counted_over_both_streams(
    face: Face, capsys: pytest.CaptureFixture[str]
) -> None:
    face.on_output(News("\ufffd\n", 2))
    face.on_output(News("\ufffd\ufffd\n", 3, is_error=True))
    face.end_output()
    face.end_output()

    assert capsys.readouterr().err.count("3 characters of the output may be bytes") == 1


def test_as_json_no_output_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    face = Face(as_json=True, name="box")
    face.on_output(News("\ufffd", 1, gone=3))
    face.end_output()

    assert capsys.readouterr() == ("", "")


def test_the_command_that_follows_names_the_positions_of_both_streams(face: Face) -> None:
    face.opened("s1", after=2)
    face.on_output(News("err", 3, is_error=True))

    assert face.spell("output") == "`remote-sandbox output -f --after 2 --stderr-after 3 box s1`"
