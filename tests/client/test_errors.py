"""The tree of errors: each has a message, a fault and advice."""

from __future__ import annotations

import re

import pytest
from sandbox_client import Paused, ProxyUnreachable, SandboxError, errors
from sandbox_client.presentation.errors import explain, format_verbs, next_step
from sandbox_client.text import format_size, pluralize

from tests.client.secrecy import format_verb


def _tree(root: type[SandboxError]) -> list[type[SandboxError]]:
    return [root, *(each for child in root.__subclasses__() for each in _tree(child))]


_PUBLIC = [each for each in _tree(SandboxError) if each.__module__ == errors.__name__]


def test_the_tree_at_the_head_of_the_module_has_every_error() -> None:
    drawn = re.findall(r"^[ │├└─]*([A-Z]\w+)(?:  .*)?$", errors.__doc__ or "", re.MULTILINE)

    assert sorted(drawn) == sorted(each.__name__ for each in _PUBLIC)


def test_every_error_has_a_fault() -> None:
    without = [
        each.__name__
        for each in _PUBLIC
        if each is not SandboxError
        and (each.cause == SandboxError.cause or not each.cause.endswith("."))
    ]

    assert without == []


def test_an_error_is_explained_in_three_labelled_lines() -> None:
    story = explain(Paused("Sandbox 'box' is paused"), format_verb).splitlines()

    assert story == [
        "Sandbox 'box' is paused",
        "Cause: the sandbox is paused. Its files in /sandbox are kept.",
        "Next: Resume it first with <resume>, then try again.",
    ]


def test_an_errors_own_advice_replaces_the_one_of_its_class() -> None:
    error = ProxyUnreachable("no", advice="Ask {status}.", retryable=False, status=502)

    assert next_step(error, format_verb) == "Ask <status>."
    assert (error.retryable, error.status) == (False, 502)
    assert ProxyUnreachable.retryable


def test_an_error_is_frozen_and_has_changed_copies() -> None:
    error = ProxyUnreachable("no", advice="Ask {status}.", status=502, retry_after=1.0)

    with pytest.raises(AttributeError, match="ProxyUnreachable is frozen"):
        error.advice = "Ask nobody."
    copy = error.but(not_done="The command was not run.", session="s1", printed="hi")

    assert type(copy) is ProxyUnreachable
    assert (copy.message, copy.status, copy.retry_after) == ("no", 502, 1.0)
    assert next_step(copy, format_verb) == (
        "The command was not run. Ask <status>. The command's session is 's1'."
    )
    assert (error.session, error.printed) == ("", "")


@pytest.mark.parametrize(
    "text", ["{nonsense}", "{}", "{", "{Delete}", "{delete", "{{x}}", "{push x}"]
)
def test_text_in_braces_that_is_no_verb_is_kept(text: str) -> None:
    assert format_verbs(text, format_verb) == text


def test_every_verb_in_braces_is_formatted() -> None:
    text = "{create}{status} {run} {list} {delete} {pause} {push --include /A}"

    assert (
        format_verbs(text, format_verb)
        == "<create><status> <run> <list> <delete> <pause> <push --include /A>"
    )


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (1, "day", "1 day"),
        (3, "day", "3 days"),
        (0, "entry", "0 entries"),
        (2, "entry", "2 entries"),
        (2, "byte", "2 bytes"),
    ],
)
def test_a_noun_agrees_with_its_number(number: int, noun: str, expected: str) -> None:
    assert pluralize(number, noun) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (256_001, "256 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (6_000_000, "6.0 MB"),
        (5 * 10**9, "5.0 GB"),
        (7 * 10**15, "7000 TB"),
    ],
)
def test_a_size_is_short(size: int, expected: str) -> None:
    assert format_size(size) == expected


@pytest.mark.parametrize("key", ["sk_live_" + "aB3-_" * 6, ("sk_live_" + "aB3" * 10).lower()])
def test_a_key_in_a_message_is_hidden(key: str) -> None:
    error = SandboxError(f"Unknown host: http://{key} has no address")

    assert str(error) == error.message == "Unknown host: http://sk_live_… has no address"
