"""The terminal commands: what each verb does, prints and ends with.

Knows `_access`, `_account_wire`, `_agent`, `_client`, `_config`, `_config_file`, `_content`,
`_doctor`, `_errors`, `_excerpt`, `_face`, `_files`, `_lifecycle`, `_login`, `_message`, `_prompts`,
`_watch`, `_wire`.
"""

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
