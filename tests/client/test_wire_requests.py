"""Names and requests: checked and percent-encoded before anything is sent."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import _message, _shell_wire, _wire
from sandbox_client._errors import InvalidInput

from tests.client.doubles import KEY
from tests.client.hostile import many, texts
from tests.client.leaks import all_words, check_told, is_one_printable_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_client._message import Request

_ASKS: dict[str, Callable[[str], Request]] = {
    "create": lambda name: _wire.create(name, image=None, port=8888),
    "status": _wire.status,
    "view": lambda name: _shell_wire.view(name, "s1"),
    "execute": lambda name: _shell_wire.execute(name, "s1", "ls"),
    "delete": _wire.delete,
    "pause": _wire.pause,
    "resume": _wire.resume,
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


@pytest.mark.parametrize("verb", _ASKS)
@pytest.mark.parametrize("name", _BAD_NAMES, ids=lambda name: ascii(name)[:20])
def test_a_name_that_cannot_be_is_refused_by_every_verb(verb: str, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _ASKS[verb](name)

    assert is_one_printable_line(caught.value.message)
    assert len(caught.value.message) < 300
    assert KEY not in all_words(caught.value)
    assert "lower-case letters, digits and hyphens" in caught.value.advice


@pytest.mark.parametrize("verb", _ASKS)
@pytest.mark.parametrize("name", ["a", "my-sandbox", "a1", "a--b", "a" * 63], ids=str)
def test_a_name_by_the_rule_is_accepted_by_every_verb(verb: str, name: str) -> None:
    assert _ASKS[verb](name).sandbox == name


def test_a_name_with_a_leading_digit_is_not_made_but_can_be_deleted() -> None:
    with pytest.raises(InvalidInput, match="1box"):
        _wire.create("1box", image=None, port=8888)

    assert _wire.delete("1box").path == "/api/sandboxes/1box"


_LETTERS = string.ascii_lowercase
_MIDDLE = _LETTERS + string.digits + "-"


@many
@given(
    name=st.one_of(
        texts,
        st.text(_MIDDLE, max_size=70),
        st.text(_MIDDLE + "A._/\n%é", max_size=8),
        st.from_regex(r"\A[a-z]([-a-z0-9]{0,61}[a-z0-9])?\n?\Z"),
    )
)
@example(name="a" * 63)
@example(name="a" * 64)
@example(name="a\n")
def test_a_new_name_is_accepted_exactly_when_the_rule_says_so(name: str) -> None:
    # The rule of the wire contract in other words than the client's.
    by_rule = (
        1 <= len(name) <= 63
        and set(name) <= set(_MIDDLE)
        and name[0] in _LETTERS
        and name[-1] != "-"
    )
    try:
        accepted = _wire.check_name(name, new=True) == name
    except InvalidInput as error:
        accepted = False
        check_told(error, secret=KEY)

    assert accepted == by_rule


@many
@given(segments=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
@example(segments=["..", "me"])
@example(segments=["a/b?c#d%2e"])
def test_every_path_segment_is_percent_encoded(segments: list[str]) -> None:
    path = _message.path_of(*segments)

    assert re.fullmatch(r"(/[A-Za-z0-9_.~%-]*)+", path)
    assert [unquote(each) for each in path.split("/")[1:]] == segments


@pytest.mark.parametrize(
    ("verb", "method", "path", "body"),
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
def test_each_verb_asks_what_the_contract_says(
    verb: str, method: str, path: str, body: object
) -> None:
    request = _ASKS[verb]("box")

    assert (request.operation, request.method, request.path) == (verb, method, path)
    assert request.body == body
    assert request.repeatable is (verb in {"status", "view"})


def test_the_list_is_asked_for_without_a_name() -> None:
    request = _wire.listing()

    assert (request.method, request.path, request.body) == ("GET", "/api/sandboxes", None)
    assert request.repeatable


def test_an_image_is_sent_where_there_is_one() -> None:
    assert _wire.create("box", image="aio:2", port=80).body == {
        "name": "box",
        "image": "aio:2",
        "port": 80,
    }


@pytest.mark.parametrize("port", [-1, 0, 65536, 10**30])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    with pytest.raises(InvalidInput, match=str(port)):
        _wire.create("box", image=None, port=port)


@pytest.mark.parametrize("command", [" ls ", "a\nb", "echo '$HOME' \"%s\"", "é 😀"])
def test_a_command_is_sent_as_it_was_written(command: str) -> None:
    body = _shell_wire.execute("box", "s1", command).body

    assert body is not None
    assert body["command"] == command
