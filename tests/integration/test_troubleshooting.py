"""docs/troubleshooting.md has a row for each message, and no row for a message that is gone."""

from __future__ import annotations

import re

import pytest

from tests.integration import messages
from tests.integration.messages import GAP, Message
from tools.manifest import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
EARLIER = "If you come from the earlier extension"
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

# Messages that need no row of their own, each with the reason.
WITHOUT_A_ROW = {
    "… cannot be …: …": "its verb is put in: `cannot be read` and the others have rows",
    "… in sandbox …": "other messages begin with this place",
    "Sandbox … already exists": "the proxy's words, which the client recognizes",
    "the proxy takes the key: it is …s": "the first half of a finding that is no fault",
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
        code(row[0]) for section in SECTIONS if section != EARLIER for row in cells(section)
    ]
    return [said for each in explained for said in each]


def plain(text: str) -> str:
    """Return a message with each gap as one sign, whether or not it stands in quotation marks."""
    return re.sub(f"'?{GAP}'?", GAP, " ".join(text.split()))


def pattern(row: str) -> re.Pattern[str]:
    """Return the pattern that finds the pieces of a row in a message, in their order."""
    pieces = [re.escape(piece) for piece in plain(row).split(GAP) if piece.strip()]
    assert pieces, f"{row} has no words"
    return re.compile(".*".join(pieces))


def is_recognizable(message: Message) -> bool:
    """Tell whether a message has words of its own: two in a row, outside its gaps."""
    return any(re.search(r"[\w'-]+ [\w'-]+", piece) for piece in plain(message.text).split(GAP))


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
        and plain(message.text) not in WITHOUT_A_ROW
        and not any(each.search(plain(message.text)) for each in patterns)
    ]
    assert not missing, "\n".join(["docs/troubleshooting.md has no row for:", *missing])


def test_every_row_is_a_message() -> None:
    texts = "\n".join({plain(text) for text in messages.all_texts()})
    now = [said for _, client, _ in cells(EARLIER) for said in code(client)]
    gone = [row for row in {*rows(), *now} if not pattern(row).search(texts)]
    assert not gone, f"no program says: {gone}"


def test_an_exempt_message_is_still_one() -> None:
    said = {plain(message.text) for each in SOURCES.values() for message in each}
    assert WITHOUT_A_ROW.keys() <= said


@pytest.mark.parametrize(
    ("package", "calls"),
    [
        ("fakeproxy", messages.FAKE_PROXY_CALLS),
        ("contract", messages.CONTRACT_CALLS),
        ("client", messages.CLIENT_CALLS),
    ],
)
def test_every_call_that_is_searched_is_made(package: str, calls: set[str]) -> None:
    assert all(messages.program_messages(package, {call}) for call in calls)


def test_the_words_that_users_of_the_earlier_extension_know_are_there() -> None:
    known = re.findall(r'"([^"]+)"', " ".join(row[0] for row in cells(EARLIER)))
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
