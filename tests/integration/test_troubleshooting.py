"""docs/troubleshooting.md has a row for each message, and each row quotes an existing message."""

from __future__ import annotations

import re

import pytest

from tests.integration import messages
from tests.integration.messages import GAP, Message
from tools.manifest import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
EARLIER_EXTENSION = "If you come from the earlier extension"
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

# Messages that need no row, each with the reason.
WITHOUT_A_ROW = {
    "… cannot be …: …": "has a row for each verb, such as `cannot be read`",
    "… in sandbox …": "the beginning of other messages",
    "the proxy accepts the key; it belongs to …": "the first half of a finding that passed",
}


def cells(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its heading."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def rows() -> list[str]:
    """Return the messages that the page explains."""
    explained = [
        code(row[0])
        for section in SECTIONS
        if section != EARLIER_EXTENSION
        for row in cells(section)
    ]
    return [message for each in explained for message in each]


def normalized(text: str) -> str:
    """Return a message with plain gaps instead of quoted ones, and single spaces."""
    return re.sub(f"'?{GAP}'?", GAP, " ".join(text.split()))


def pattern(row: str) -> re.Pattern[str]:
    """Return a pattern that matches a message with the literal parts of a row in this order."""
    pieces = [re.escape(piece) for piece in normalized(row).split(GAP) if piece.strip()]
    assert pieces, f"{row} has no literal part"
    return re.compile(".*".join(pieces))


def is_recognizable(message: Message) -> bool:
    """Return whether a message has two literal words in a row."""
    return any(
        re.search(r"[\w'-]+ [\w'-]+", piece) for piece in normalized(message.text).split(GAP)
    )


SOURCES = {
    "client": messages.client_messages(),
    "fakeproxy": messages.program_messages("fakeproxy", messages.FAKE_PROXY_CALLS),
    "contract": messages.program_messages("contract", messages.CONTRACT_CALLS),
}


@pytest.mark.parametrize("program", SOURCES)
def test_every_message_has_a_row(program: str) -> None:
    patterns = [pattern(row) for row in rows()]
    missing = [
        f"{message.place}: {message.text}"
        for message in SOURCES[program]
        if is_recognizable(message)
        and normalized(message.text) not in WITHOUT_A_ROW
        and not any(each.search(normalized(message.text)) for each in patterns)
    ]
    assert not missing, "\n".join(["docs/troubleshooting.md has no row for:", *missing])


def test_every_row_quotes_an_existing_message() -> None:
    texts = "\n".join({normalized(text) for text in messages.all_texts()})
    current = [text for _, client, _ in cells(EARLIER_EXTENSION) for text in code(client)]
    unknown = [row for row in {*rows(), *current} if not pattern(row).search(texts)]
    assert not unknown, f"no program prints: {unknown}"


def test_every_message_exempt_from_a_row_exists() -> None:
    found = {normalized(message.text) for each in SOURCES.values() for message in each}
    assert WITHOUT_A_ROW.keys() <= found


@pytest.mark.parametrize(
    ("package", "calls"),
    [
        ("fakeproxy", messages.FAKE_PROXY_CALLS),
        ("contract", messages.CONTRACT_CALLS),
        ("client", messages.CLIENT_CALLS),
    ],
)
def test_every_function_searched_for_messages_is_called(package: str, calls: set[str]) -> None:
    assert all(messages.program_messages(package, {call}) for call in calls)


def test_the_messages_of_the_earlier_extension_are_explained() -> None:
    known = re.findall(r'"([^"]+)"', " ".join(row[0] for row in cells(EARLIER_EXTENSION)))
    assert {
        "proxyUrl is required",
        "apiKey is required",
        "Unauthorized",
        "Invalid API key",
        "Failed to create sandbox",
        "Sandbox not ready",
        "Sandbox not found",
        "Forbidden",
        "Failed to execute command",
    } <= set(known)
