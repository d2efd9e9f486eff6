"""What of a long output is shown, and that the rest can be reached."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client._excerpt import MAX_OUTPUT, head_and_tail, last_line, page, tail

from tests.client.strategies import many_examples

outputs = st.text(st.characters(codec="utf-8"), max_size=60)


def test_what_fits_is_shown_as_it_is() -> None:
    for shown in (head_and_tail("a\nb"), tail("a\nb"), page("a\nb", 0)):
        assert (shown.text, shown.after, shown.left_out) == ("a\nb", 3, 0)


@pytest.mark.parametrize("length", [11, 12, 13, 1000])
def test_the_middle_that_is_left_out_is_counted_and_its_place_is_told(length: int) -> None:
    output = "".join(chr(0x4E00 + number) for number in range(length))

    shown = head_and_tail(output, limit=10)

    left_out, place = map(int, re.findall(r"(\d+)", shown.text))
    assert shown.left_out == left_out == length - 10
    assert output[place : place + 3] == output[5:8], "where the head ends"
    assert shown.text.startswith(output[:5])
    assert shown.text.endswith(output[-5:])
    assert shown.after == length


def test_a_tail_says_how_to_get_what_stands_before_it() -> None:
    shown = tail("abcdefgh", limit=3)

    assert shown.text == "[… 5 characters left out; after=0 shows them …]\nfgh"
    assert (shown.after, shown.left_out) == (8, 5)


@many_examples
@given(output=outputs, after=st.integers(0, 70), limit=st.integers(1, 20))
def test_pages_put_together_are_all_that_follows(output: str, after: int, limit: int) -> None:
    collected, place = "", after
    for _ in range(100):
        shown = page(output, place, limit)
        collected += output[min(place, len(output)) : shown.after]
        assert shown.text.startswith(output[place : shown.after])
        assert shown.left_out == len(output) - shown.after
        place = shown.after
        if not shown.left_out:
            break
    assert collected == output[after:]


@many_examples
@given(output=outputs, limit=st.integers(2, 20))
def test_nothing_is_shown_beyond_the_limit_but_the_words_for_it(output: str, limit: int) -> None:
    for shown in (head_and_tail(output, limit), tail(output, limit), page(output, 0, limit)):
        assert len(shown.text) <= limit + 60 + 2 * len(str(len(output)))


def test_a_reply_holds_thirty_thousand_characters() -> None:
    assert MAX_OUTPUT == 30_000
    assert len(head_and_tail("x" * 10**6).text) < 30_100


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
def test_the_last_line_that_says_something_is_fit_for_progress(output: str, line: str) -> None:
    assert last_line(output) == line


@many_examples
@given(output=st.text(max_size=300))
def test_the_last_line_is_short_and_printable_whatever_was_printed(output: str) -> None:
    line = last_line(output)

    assert line.isprintable()
    assert len(line) <= 120
