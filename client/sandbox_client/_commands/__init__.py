"""The terminal commands: what each verb does, prints and ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import connection, copy, login, prompts, sandboxes

if TYPE_CHECKING:
    from .command import Command

COMMANDS: Final[tuple[Command, ...]] = (
    *sandboxes.COMMANDS,
    *prompts.COMMANDS,
    *copy.COMMANDS,
    *connection.COMMANDS,
    *login.COMMANDS,
)
