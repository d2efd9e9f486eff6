"""The tree of errors: each says what happened, whose fault it is and what to do next."""

from __future__ import annotations

import pytest
from sandbox_client import _errors
from sandbox_client._errors import (
    Paused,
    ProxyUnreachable,
    SandboxError,
    pluralize,
    spell_verbs,
)

from tests.client.leaks import spelled


def _tree(root: type[SandboxError]) -> list[type[SandboxError]]:
    return [root, *(each for child in root.__subclasses__() for each in _tree(child))]


_PUBLIC = [each for each in _tree(SandboxError) if each.__module__ == _errors.__name__]


@pytest.mark.parametrize("kind", _PUBLIC, ids=lambda kind: str(kind.__name__))
def test_every_error_of_the_tree_is_drawn_at_the_top_of_its_module(
    kind: type[SandboxError],
) -> None:
    assert kind.__name__ in (_errors.__doc__ or "")


@pytest.mark.parametrize(
    "kind",
    [each for each in _PUBLIC if each is not SandboxError],
    ids=lambda kind: str(kind.__name__),
)
def test_every_error_says_whose_fault_it_is(kind: type[SandboxError]) -> None:
    assert kind.fault != SandboxError.fault
    assert kind.fault.endswith(".")


def test_an_error_is_explained_in_three_labelled_lines() -> None:
    story = Paused("Sandbox 'box' is paused").explain(spelled).splitlines()

    assert story == [
        "Sandbox 'box' is paused",
        "Fault: nobody's: the sandbox's state. Its files are kept.",
        "Next: Resume it first with <resume>, then try again.",
    ]


def test_an_errors_own_advice_replaces_its_kinds() -> None:
    error = ProxyUnreachable("no", advice="Ask {status}.", retryable=False, status=502)

    assert error.next_step(spelled) == "Ask <status>."
    assert (error.retryable, error.status) == (False, 502)
    assert ProxyUnreachable.retryable


@pytest.mark.parametrize("text", ["{nonsense}", "{}", "{", "{Delete}", "{delete", "{{x}}"])
def test_only_verbs_in_braces_are_spelled(text: str) -> None:
    assert spell_verbs(text, spelled) == text


def test_every_verb_is_spelled_wherever_it_stands() -> None:
    text = "{create}{status} {run} {list} {delete} {pause} {resume}"

    assert spell_verbs(text, spelled) == "<create><status> <run> <list> <delete> <pause> <resume>"


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


@pytest.mark.parametrize("key", ["sk_live_" + "aB3-_" * 6, ("sk_live_" + "aB3" * 10).lower()])
def test_a_key_that_strays_into_a_message_is_hidden(key: str) -> None:
    error = SandboxError(f"Unknown host: http://{key} has no address")

    assert str(error) == error.message == "Unknown host: http://sk_live_… has no address"
