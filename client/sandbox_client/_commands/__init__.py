"""The terminal commands: what each verb does, prints and ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .command import Command

_SANDBOXES: Final = ("create", "status", "delete", "pause", "resume", "list")
_PROMPTS: Final = ("prompt", "agent", "output", "cancel")
VERBS: Final = (*_SANDBOXES, *_PROMPTS, "cp", "doctor", "login")


def commands(verb: str) -> tuple[Command, ...]:
    """Return the commands of the module that has `verb`, or of all modules for another word.

    The other modules are not imported: they need packages that this command does not.
    """
    if verb in _SANDBOXES:
        from . import sandboxes

        return sandboxes.COMMANDS
    if verb in _PROMPTS:
        from . import prompts

        return prompts.COMMANDS
    from . import connection, copy, login, prompts, sandboxes

    return (
        *sandboxes.COMMANDS,
        *prompts.COMMANDS,
        *copy.COMMANDS,
        *connection.COMMANDS,
        *login.COMMANDS,
    )


def command_of(verb: str) -> Command:
    """Return the command of one of the VERBS."""
    return next(each for each in commands(verb) if each.verb == verb)
