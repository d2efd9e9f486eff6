"""Truncated output, and the markers that say how to read the rest."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import Output
from sandbox_client.output import Part
from sandbox_client.text import last_line
from sandbox_client.truncation import MAX_OUTPUT, head_and_tail, lines, page, tail

from tests.client.strategies import many_examples

outputs = st.text(st.characters(codec="utf-8", exclude_characters="[\ufffd"), max_size=60)


def test_short_output_is_not_truncated() -> None:
    output = Output.of("a\nb")

    for shown in (head_and_tail(output), tail(output), page(output)):
        assert (shown.text, shown.after, shown.left_out) == ("a\nb", 3, 0)


@pytest.mark.parametrize("length", [11, 12, 13, 1000])
def test_the_marker_has_the_size_and_the_position_of_the_omitted_middle(length: int) -> None:
    output = "".join(chr(0x4E00 + number) for number in range(length))

    shown = head_and_tail(Output.of(output), limit=10)

    left_out, place = map(int, re.findall(r"(\d+)", shown.text))
    assert shown.left_out == left_out == length - 10
    assert output[place : place + 3] == output[5:8], "where the head ends"
    assert shown.text.startswith(output[:5])
    assert shown.text.endswith(output[-5:])
    assert shown.after == length


def test_the_marker_of_a_tail_says_how_to_read_the_beginning() -> None:
    shown = tail(Output.of("abcdefgh"), limit=3)

    assert shown.text == "[… 5 characters left out; after=0 shows them …]\nfgh"
    assert (shown.after, shown.left_out) == (8, 5)


@many_examples
@given(output=outputs, after=st.integers(0, 70), limit=st.integers(1, 20))
def test_consecutive_pages_are_the_whole_output(output: str, after: int, limit: int) -> None:
    collected, place = "", after
    for _ in range(100):
        shown = page(Output.of(output).since(place), limit)
        collected += output[min(place, len(output)) : shown.after]
        assert shown.text.startswith(output[place : shown.after])
        assert 0 <= shown.left_out == len(output) - shown.after
        place = shown.after
        if not shown.left_out:
            break
    assert collected == output[after:]


def in_bytes(text: str) -> Output:
    """Return output with byte positions, from position 100 on."""
    return Output(100, (Part(100, text, 100 + len(text.encode())),), unit="bytes")


@many_examples
@given(text=outputs, limit=st.integers(1, 20))
def test_consecutive_pages_by_bytes_are_the_whole_output(text: str, limit: int) -> None:
    output, collected = in_bytes(text), ""
    place = output.start
    while place < output.end:
        shown = page(output.since(place), limit)
        collected += shown.text.partition("\n[…")[0] if shown.left_out else shown.text
        place = shown.after

    assert collected == text


def test_positions_of_the_pipe_api_are_bytes() -> None:
    output = in_bytes("é" * 10)

    assert head_and_tail(output, 4, name="stderr_after").text == (
        "éé\n[… 12 bytes left out; stderr_after=104 shows them …]\néé"
    )
    assert tail(output, 3).text == "[… 14 bytes left out; after=100 shows them …]\nééé"


def test_a_lost_gap_is_reported_at_its_place() -> None:
    output = Output(0, (Part(0, "abc", 3), Part(10, "xyz", 13)), gone=7)
    gone = "7 are gone: the runtime keeps only the start and the end of so long an output"

    assert head_and_tail(output).text == (
        f"abc\n[… 7 characters left out; after=3 shows them, but {gone} …]\nxyz"
    )
    rest = page(output.since(3))
    assert (rest.text, rest.gone, rest.left_out) == (f"[… {gone} …]\nxyz", 7, 0)


@many_examples
@given(output=outputs, limit=st.integers(2, 20))
def test_truncated_text_without_the_marker_is_within_the_limit(output: str, limit: int) -> None:
    whole = Output.of(output)
    for shown in (head_and_tail(whole, limit), tail(whole, limit), page(whole, limit)):
        assert len(shown.text) <= limit + 60 + 2 * len(str(len(output)))


def test_a_reply_has_at_most_30000_characters() -> None:
    assert MAX_OUTPUT == 30_000
    assert len(head_and_tail(Output.of("x" * 10**6)).text) < 30_100


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("", ""),
        ("a\nb\n", "b"),
        ("a\n\n  \n", "a"),
        ("10%\r20%\r30%", "30%"),
        ("\x1b[32mgreen\x1b[0m \x1b]0;title\x07text\n", "green text"),
        ("a\tb\x07\x00c\n", "a b c"),
        ("\x1b[2K\r\n", ""),
        ("x" * 500, "x" * 119 + "…"),
    ],
)
def test_the_last_line_with_text_is_returned_without_escape_sequences(
    output: str, line: str
) -> None:
    assert last_line(output) == line


@many_examples
@given(output=st.text(max_size=300))
def test_the_last_line_is_always_short_and_printable(output: str) -> None:
    line = last_line(output)

    assert line.isprintable()
    assert len(line) <= 120


def test_a_page_past_the_end_is_empty_and_ends_at_the_end() -> None:
    shown = page(Output.of("abc").since(7))

    assert (shown.text, shown.after, shown.left_out) == ("", 3, 0)


def test_lines_end_at_a_newline_and_name_the_next_line() -> None:
    shown = lines("one\ntwo\nthree\n", 5, "/f", limit=9)

    assert shown.text == "one\ntwo\n[… 6 characters left out; start_line=7 continues …]\n"
    assert (shown.after, shown.left_out) == (7, 6)


def test_lines_that_fit_are_not_truncated() -> None:
    shown = lines("one\ntwo\n", 5, "/f")

    assert (shown.text, shown.left_out) == ("one\ntwo\n", 0)


def test_the_marker_of_a_long_line_has_a_command_for_the_rest() -> None:
    shown = lines("ééé\nnext\n", 2, "'/a b'", limit=2)

    assert shown.text == (
        "éé\n[… 7 characters left out, the rest of line 2 among them:"
        " sed -n 2p '/a b' | cut -b 5- prints it; start_line=3 continues …]\n"
    )
    assert shown.after == 3


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_long_last_line_has_no_next_line(end: str) -> None:
    shown = lines("x" * 9 + end, 1, "/f", limit=4)

    assert "continues" not in shown.text
    assert shown.after == 0
