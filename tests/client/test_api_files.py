"""Requests to the file API and its replies, without a transport."""

from __future__ import annotations

import base64
import json
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import FileRefused, InvalidInput, SandboxError
from sandbox_client.api import files
from sandbox_client.api.message import Reply
from sandbox_client.errors import InvalidResponse, NoSuchFile, NotText, WrongKind

from tests.client.strategies import some_examples
from tests.client.stubs import KEY


def reply(data: object, *, success: object = True, message: str = "done") -> Reply:
    body = {"success": success, "message": message, "data": data, "hint": None}
    return Reply(200, json.dumps(body).encode(), secret=KEY)


def fault(kind: str, said: str = "no", *, retryable: bool = False) -> Reply:
    data = {
        "path": "/sandbox/f",
        "operation": "write",
        "message": said,
        "error_type": kind,
        "retryable": retryable,
    }
    return reply(data, success=False, message=said)


def test_a_read_request_holds_line_numbers_only_if_given() -> None:
    assert files.read("box", "/f").body == {"file": "/f"}
    some = files.read("box", "/f", start=0, end=3)
    assert some.body == {"file": "/f", "start_line": 0, "end_line": 3}
    assert (some.method, some.path, some.operation) == (
        "POST",
        "/proxy/box/v1/file/read",
        "read file",
    )


def test_only_an_append_is_not_repeatable() -> None:
    assert files.read("box", "/f").repeatable
    assert files.listing("box", "/").repeatable
    assert files.write("box", "/f", b"", append=False).repeatable
    assert not files.write("box", "/f", b"", append=True).repeatable


_paths = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4_000).filter(
    lambda path: len(path.encode()) <= 4_000 and not path.isspace()
)


@some_examples
@given(_paths, st.integers(1, 255))
def test_a_full_piece_is_under_100_kb_for_any_path(path: str, byte: int) -> None:
    whole = files.absolute(path)
    piece = bytes([byte]) * files.piece_size(whole)
    request = files.write("box", whole, piece, append=True)
    sent = httpx.Request("POST", "http://proxy.test", json=request.body).content
    assert 50_000 < len(sent) < 100_000
    assert base64.b64decode(json.loads(sent)["content"]) == piece


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("", "/sandbox"),
        (".", "/sandbox/."),
        ("a/b/", "/sandbox/a/b"),
        ("/etc//hosts", "/etc//hosts"),
        ("/", "/"),
        ("-x", "/sandbox/-x"),
        ("~", "/home/gem"),
        ("~/x", "/home/gem/x"),
        ("~x", "/sandbox/~x"),
        ("./~", "/sandbox/./~"),
    ],
)
def test_a_relative_path_starts_in_the_working_directory(path: str, whole: str) -> None:
    assert files.absolute(path) == whole


@pytest.mark.parametrize(
    "path", ["a\0b", " ", "\t\n", "\ud800", "x" * 5_000, "é" * 2_500, "a/" + "é" * 128]
)
def test_an_invalid_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        files.absolute(path)


@pytest.mark.parametrize("path", ["", " ", ".", "..", "a/..", "/", "a/", "a/ ", "~", "~/"])
def test_a_path_that_names_no_file_is_refused_by_its_name(path: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(repr(path))):
        files.absolute_file(path)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("not_found", NoSuchFile),
        ("invalid_target", WrongKind),
        ("decode_error", NotText),
        ("permission_denied", FileRefused),
        ("already_exists", FileRefused),
        ("invalid_path", FileRefused),
        ("read_only_filesystem", FileRefused),
        ("no_space_left", FileRefused),
        ("io_error", FileRefused),
        ("one that is new", FileRefused),
    ],
)
def test_each_error_type_has_its_class_and_advice(kind: str, error: type[SandboxError]) -> None:
    with pytest.raises(
        error, match="The sandbox could not write /sandbox/f: disk on fire"
    ) as caught:
        files.read_content(fault(kind, "disk on fire"))
    assert type(caught.value) is error
    assert caught.value.advice
    assert not caught.value.retryable


def test_a_retryable_error_is_marked() -> None:
    with pytest.raises(FileRefused) as caught:
        files.read_listing(fault("io_error", retryable=True))
    assert caught.value.retryable


def test_an_error_is_one_line_without_the_key() -> None:
    with pytest.raises(FileRefused) as caught:
        files.read_content(fault("io_error", f"a\n\x1b[2J{KEY}"))
    assert KEY not in caught.value.message
    assert caught.value.message.isprintable()


def test_an_error_without_details_has_its_message() -> None:
    with pytest.raises(FileRefused, match="could not do it to the file: it broke"):
        files.read_content(reply(None, success=False, message="it broke"))


def test_a_short_write_is_an_error() -> None:
    files.read_written(reply({"file": "/f", "bytes_written": 3}), 3)
    with pytest.raises(InvalidResponse, match="wrote 2 bytes of 3"):
        files.read_written(reply({"file": "/f", "bytes_written": 2}), 3)


def test_a_listing_has_names_and_sizes_and_shows_truncation() -> None:
    rows = [
        {"name": "a", "is_directory": True, "size": None},
        {"name": "b\ud800", "is_directory": False, "size": 7},
    ]
    listing = files.read_listing(reply({"path": "/", "files": rows}))
    assert listing.entries == (files.Entry("a", True), files.Entry("b?", False, 7))
    assert listing.is_whole
    assert not files.read_listing(reply({"files": [], "truncated": True})).is_whole


@some_examples
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_other_reply_is_a_sandbox_error(data: object) -> None:
    for read in (files.read_content, files.read_listing):
        with pytest.raises(SandboxError):
            read(reply({"content": data, "files": [data]} if not isinstance(data, str) else data))
