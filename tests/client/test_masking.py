"""Masked API keys, and output without control characters on a terminal."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import Output, OutputChunk
from sandbox_client.masking import (
    Masker,
    OutputFilter,
    masked,
    masked_at_gaps,
    secrets_in,
    visible,
)
from sandbox_client.output import Part

from tests.client.strategies import many_examples

if TYPE_CHECKING:
    from sandbox_client.output import Unit

KEY = "sk_live_aab"
MASK_OF_KEY = masked(KEY, KEY)
texts = st.lists(
    st.sampled_from(["s", "sk_live_", "a", "b", KEY, "\r", "\n", "\x1b[31m", "é", "😀", "\ufffd"]),
    max_size=6,
).map("".join)


def filtered(pieces: list[str], *, is_terminal: bool = False, is_raw: bool = False) -> str:
    output = OutputFilter(is_terminal=is_terminal, is_raw=is_raw)
    return "".join(map(output.feed, pieces))


@many_examples
@given(st.lists(texts, max_size=6))
def test_a_pipe_gets_every_character(pieces: list[str]) -> None:
    assert filtered(pieces) == "".join(pieces)


@many_examples
@given(st.lists(texts, max_size=6))
def test_a_terminal_gets_the_same_text_for_any_chunks(pieces: list[str]) -> None:
    shown = filtered(pieces, is_terminal=True)

    assert shown == filtered(["".join(pieces)], is_terminal=True)
    assert set(re.findall(r"[\x00-\x08\x0b-\x1f]", shown.replace("\r\x1b[K", ""))) == set()


def masks(
    pieces: list[str], position: int, *, unit: Unit = "bytes", gone: int = 0
) -> tuple[list[OutputChunk], list[OutputChunk]]:
    """Return the masked text of chunks, the last one after a gap, and the text of the flush."""
    mask = Masker(KEY, position)
    data, start = "".join(pieces).encode(), mask.end
    ends = list(itertools.accumulate(len(piece.encode()) for piece in pieces))
    fed: list[OutputChunk] = []
    for number, end in enumerate(ends):
        lost = gone if number == len(ends) - 1 else 0
        if end > start:
            text = data[start:end].decode(errors="replace")
            fed += mask.feed(OutputChunk(text, end + lost, lost, unit=unit))
            start = end
    return fed, list(mask.flush())


@many_examples
@given(pieces=st.lists(texts, max_size=6), position=st.integers(0, 60))
def test_a_key_is_masked_from_any_position_for_any_chunks(pieces: list[str], position: int) -> None:
    whole = "".join(pieces).replace(KEY, MASK_OF_KEY).encode()
    fed, rest = masks(pieces, position)
    text = "".join(chunk.text for chunk in [*fed, *rest])

    # A character that begins before the position is omitted.
    assert text == whole[position:].decode(errors="ignore")
    for one, two in itertools.pairwise([*fed, *rest]):
        assert two.end - one.end == len(two.text.encode())


def test_the_beginning_of_a_key_is_held_back_until_the_next_chunk_or_the_end() -> None:
    mask = Masker(KEY)
    assert list(mask.feed(OutputChunk("a sk_live_a", 11))) == [OutputChunk("a ", 2)]
    assert mask.end == 11, "up to there it need not be read again"
    assert list(mask.feed(OutputChunk("ab b sk", 18))) == [OutputChunk(f"{MASK_OF_KEY} b ", 16)]
    assert list(mask.flush()) == [OutputChunk("sk", 18)]
    assert list(mask.flush()) == []


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("sk_", "_aa", ("sk_", "_aa")),
        ("sk_live_", "aab", ("sk_live_", "aab")),
        ("sk_live_a", "_aab", ("[key]****", "****")),
        ("sk_live_aa", "k_live_aab", ("[key]*****", "**********")),
    ],
)
def test_parts_of_the_key_next_to_a_gap_are_masked(
    before: str, after: str, shown: tuple[str, str]
) -> None:
    mask = Masker(KEY)
    end = 1 + len(before)
    assert list(mask.feed(OutputChunk(f"x{before}", end, unit="bytes"))) == [
        OutputChunk("x", 1, unit="bytes")
    ]
    assert list(
        mask.feed(OutputChunk(f"{after}y", end + 50, 50 - len(after) - 1, unit="bytes"))
    ) == [
        OutputChunk(shown[0], end, unit="bytes"),
        OutputChunk(f"{shown[1]}y", end + 50, 50 - len(after) - 1, unit="bytes"),
    ]
    start = end + 49 - len(after)
    output = Output(0, (Part(0, f"x{before}", end), Part(start, f"{after}y", end + 50)))
    assert masked_at_gaps(output, KEY).text == f"x{shown[0]}{shown[1]}y"


# One is in another, one begins as another does, and one has characters of two to four bytes.
SECRETS = ("abcdefgh", "xxabcdefghyy", "abcdefghij", "pässwört€😀")
secret_texts = st.lists(
    st.sampled_from(["x", "y", "ab", "cdef", "gh", "ij", "pässw", "ört€😀", *SECRETS, KEY]),
    max_size=8,
)


@many_examples
@given(secret_texts)
@example(["abcdefgh", "ij"])
@example(["xxabcdefgh", "y"])
def test_several_secrets_are_masked_for_any_chunks(pieces: list[str]) -> None:
    mask, shown, end = Masker(KEY, others=SECRETS), list[OutputChunk](), 0
    for piece in pieces:
        end += len(piece.encode())
        shown += mask.feed(OutputChunk(piece, end, unit="bytes"))
    shown += mask.flush()
    whole = "".join(pieces)
    text = "".join(chunk.text for chunk in shown)

    assert text == masked(whole, KEY, *SECRETS)
    assert not any(secret in text for secret in (KEY, *SECRETS))
    assert (len(text), len(text.encode())) == (len(whole), len(whole.encode()))


def test_a_secret_next_to_a_gap_is_masked() -> None:
    output = Output(0, (Part(0, "x abcde", 7), Part(50, "efgh y", 56)))

    assert masked_at_gaps(output, KEY, *SECRETS).text == "x [key]**** y"


@pytest.mark.parametrize(
    ("value", "masks"),
    [
        ("a long value", ["a long value"]),
        ("true", []),
        ("-----BEGIN-----\nabcdefgh\nx\n", ["-----BEGIN-----", "abcdefgh"]),
        ("", []),
    ],
)
def test_the_lines_of_a_value_are_masked_unless_they_are_short(
    value: str, masks: list[str]
) -> None:
    assert secrets_in(value) == masks


def test_lost_output_before_the_position_is_not_counted() -> None:
    mask = Masker(KEY, 20)

    assert list(mask.feed(OutputChunk("bc", 26, 14, unit="bytes"))) == [
        OutputChunk("bc", 26, 4, unit="bytes")
    ]


def test_without_a_key_nothing_is_masked_or_held_back() -> None:
    mask = Masker("", 1)

    assert (mask.end, list(mask.feed(OutputChunk("sk", 3)))) == (1, [OutputChunk("sk", 3)])


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
def test_a_model_gets_the_last_frame_of_each_line(output: str, shown: str) -> None:
    assert visible(output) == shown


def test_replaced_bytes_are_counted() -> None:
    output = OutputFilter()
    for piece in ("a\ufffd", "\ufffdb"):
        output.feed(piece)
    assert output.replaced == 2
