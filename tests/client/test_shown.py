"""Output as it may be shown: masked, and on a terminal without control sequences."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client._excerpt import head_and_tail
from sandbox_client._output import Output
from sandbox_client._shown import MASK, OutputFilter, cut_masked, visible

from tests.client.strategies import many_examples

KEY = "sk_live_aab"
texts = st.lists(
    st.sampled_from(["s", "sk_live_", "a", "b", KEY, "\r", "\n", "\x1b[31m", "é"]), max_size=6
).map("".join)


def filtered(pieces: list[str], *, is_terminal: bool = False, is_raw: bool = False) -> str:
    output = OutputFilter(KEY, is_terminal=is_terminal, is_raw=is_raw)
    return "".join(map(output.feed, pieces)) + output.end()


@many_examples
@given(st.lists(texts, max_size=6))
def test_a_pipe_gets_every_character_but_the_key(pieces: list[str]) -> None:
    assert filtered(pieces) == "".join(pieces).replace(KEY, MASK)


@many_examples
@given(st.lists(texts, max_size=6))
def test_a_terminal_gets_the_same_however_the_output_is_cut(pieces: list[str]) -> None:
    shown = filtered(pieces, is_terminal=True)

    assert shown == filtered(["".join(pieces)], is_terminal=True)
    assert KEY not in shown
    assert set(re.findall(r"[\x00-\x08\x0b-\x1f]", shown.replace("\r\x1b[K", ""))) == set()


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("a\r\nb\n", "a\nb\n"),
        ("10%\r20%\r\n", "10%\r\x1b[K20%\n"),
        ("\x1b[31mred\x07\x9b\u202e", r"^[[31mred^G\x9b\u202e"),
        ("end\r", "end"),
        ("\tkept\x7f", "\tkept^?"),
    ],
)
def test_a_terminal_shows_control_characters_as_text(output: str, shown: str) -> None:
    assert filtered([output], is_terminal=True) == shown
    assert filtered([output], is_terminal=True, is_raw=True) == output


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("10%\r20%\r100%\ndone\n", "100%\ndone\n"),
        ("a\r\nb", "a\nb"),
        ("10%\r20%\r", "20%"),
        ("\x1b[1mbold\x1b[0m", "^[[1mbold^[[0m"),
    ],
)
def test_a_model_sees_the_last_frame_of_each_line(output: str, shown: str) -> None:
    assert visible(output) == shown


def test_bytes_that_are_no_text_are_counted() -> None:
    output = OutputFilter()
    for piece in ("a\ufffd", "\ufffdb"):
        output.feed(piece)
    assert output.replaced == 2


@pytest.mark.parametrize("before", range(5, 16))
def test_no_part_of_the_key_is_shown_where_a_cut_goes_through_it(before: int) -> None:
    output = Output.of("x" * before + KEY + "y" * 30)

    shown = cut_masked(output, KEY, lambda it: head_and_tail(it, 32))

    assert "sk_live" not in shown.text
    assert "aab" not in shown.text
    assert shown.after == before + len(KEY) + 30


def test_a_key_that_is_not_cut_is_masked_in_its_usual_way() -> None:
    assert cut_masked(Output.of(f"a{KEY}b"), KEY, head_and_tail).text == f"a{MASK}b"
