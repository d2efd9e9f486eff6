"""Names and requests: checked and percent-encoded before anything is sent."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import InvalidInput
from sandbox_client.api import files, message, pipes, sandboxes, shell
from sandbox_client.api.runtime import Task

from tests.client.secrecy import assert_presentable, is_one_printable_line, shown_text
from tests.client.strategies import many_examples, odd_texts
from tests.client.stubs import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_client.api.message import Request

_REQUESTS: dict[str, Callable[[str], Request]] = {
    "create": lambda name: sandboxes.create(name, image=None, port=8888),
    "status": sandboxes.status,
    "delete": sandboxes.delete,
    "pause": sandboxes.pause,
    "resume": sandboxes.resume,
    "open session": lambda name: shell.open_session(name, "s1"),
    "execute": lambda name: shell.execute(name, "s1", Task("ls")),
    "view": lambda name: shell.view(name, "s1"),
    "kill": lambda name: shell.kill(name, "s1"),
    "end session": lambda name: shell.end_session(name, "s1"),
    "interrupt": lambda name: shell.interrupt(name, "s1"),
    "list sessions": shell.list_sessions,
    "pipe open session": lambda name: pipes.open_session(name, "s1"),
    "pipe execute": lambda name: pipes.execute(name, "s1", Task("ls")),
    "pipe output": lambda name: pipes.output(name, "s1", 0, 0),
    "pipe kill": lambda name: pipes.send_signal(name, "s1", "SIGINT"),
    "pipe close": lambda name: pipes.close_session(name, "s1"),
    "pipe list sessions": pipes.list_sessions,
    "read file": lambda name: files.read(name, "/f"),
    "write file": lambda name: files.write(name, "/f", b"", append=False),
    "list files": lambda name: files.listing(name, "/"),
}
_BAD_NAMES = [
    "",
    " ",
    "../me",
    "../me/apikeys/1",
    "..",
    ".",
    "a/b",
    "a%2fb",
    "a?b",
    "a#b",
    "a.b",
    "a_b",
    "a b",
    "Box",
    "BOX",
    "-box",
    "box-",
    "box\n",
    "\nbox",
    "box\x00",
    "böx",
    "b\N{CYRILLIC SMALL LETTER O}x",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "a" * 64,
    "a" * 100_000,
    "\ud800",
    KEY,
]


@pytest.mark.parametrize("name", _BAD_NAMES, ids=lambda name: ascii(name)[:20])
def test_an_invalid_name_is_refused_in_one_line_without_a_key(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        sandboxes.check_name(name)

    assert is_one_printable_line(caught.value.message)
    assert len(caught.value.message) < 300
    assert KEY not in shown_text(caught.value)
    assert "lower-case letters, digits and hyphens" in caught.value.advice


@pytest.mark.parametrize("operation", _REQUESTS)
def test_every_request_checks_the_name(operation: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a sandbox's name"):
        _REQUESTS[operation]("../me")


@pytest.mark.parametrize("name", ["a", "my-sandbox", "a1", "a--b", "a" * 63], ids=str)
def test_a_valid_name_is_accepted(name: str) -> None:
    assert sandboxes.check_name(name, new=True) == name


def test_a_leading_digit_is_refused_for_a_new_sandbox_only() -> None:
    with pytest.raises(InvalidInput, match="1box"):
        sandboxes.create("1box", image=None, port=8888)

    assert sandboxes.delete("1box").path == "/api/sandboxes/1box"


_LETTERS = string.ascii_lowercase
_MIDDLE = _LETTERS + string.digits + "-"


@many_examples
@given(
    name=st.one_of(
        odd_texts,
        st.text(_MIDDLE, max_size=70),
        st.text(_MIDDLE + "A._/\n%é", max_size=8),
        st.from_regex(r"\A[a-z]([-a-z0-9]{0,61}[a-z0-9])?\n?\Z"),
    )
)
@example(name="a" * 63)
@example(name="a" * 64)
@example(name="a\n")
def test_a_new_name_is_accepted_if_and_only_if_it_follows_the_rule(name: str) -> None:
    # The rule of the wire contract, written in another way than in the client.
    by_rule = (
        1 <= len(name) <= 63
        and set(name) <= set(_MIDDLE)
        and name[0] in _LETTERS
        and name[-1] != "-"
    )
    try:
        accepted = sandboxes.check_name(name, new=True) == name
    except InvalidInput as error:
        accepted = False
        assert_presentable(error, secret=KEY)

    assert accepted == by_rule


@many_examples
@given(segments=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
@example(segments=["..", "me"])
@example(segments=["a/b?c#d%2e"])
def test_every_path_segment_is_percent_encoded(segments: list[str]) -> None:
    path = message.path_of(*segments)

    assert re.fullmatch(r"(/[A-Za-z0-9_.~%-]*)+", path)
    assert [unquote(each) for each in path.split("/")[1:]] == segments


@pytest.mark.parametrize(
    ("operation", "method", "path", "body"),
    [
        ("create", "POST", "/api/sandboxes", {"name": "box", "port": 8888}),
        ("status", "GET", "/api/sandboxes/box", None),
        ("view", "POST", "/proxy/box/v1/shell/view", {"id": "s1"}),
        ("delete", "DELETE", "/api/sandboxes/box", None),
        ("pause", "POST", "/api/sandboxes/box/pause", None),
        ("resume", "POST", "/api/sandboxes/box/resume", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_request_has_the_method_path_and_body_of_the_contract(
    operation: str, method: str, path: str, body: object
) -> None:
    request = _REQUESTS[operation]("box")

    assert (request.operation, request.method, request.path) == (operation, method, path)
    assert request.body == body
    assert request.repeatable is (operation in {"status", "view"})


def test_the_list_request_has_no_name() -> None:
    request = sandboxes.listing()

    assert (request.method, request.path, request.body) == ("GET", "/api/sandboxes", None)
    assert request.repeatable


def test_a_create_request_holds_the_image() -> None:
    assert sandboxes.create("box", image="aio:2", port=80).body == {
        "name": "box",
        "image": "aio:2",
        "port": 80,
    }


@pytest.mark.parametrize("port", [-1, 0, 65536, 10**30])
def test_an_invalid_port_is_refused(port: int) -> None:
    with pytest.raises(InvalidInput, match=str(port)):
        sandboxes.create("box", image=None, port=port)
