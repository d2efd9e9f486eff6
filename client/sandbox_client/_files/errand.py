"""Short commands of the client's own in a sandbox, which leave no session behind."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from sandbox_client._errors import FileRefused, SandboxError
from sandbox_client._excerpt import last_line
from sandbox_client._watch import Audience

if TYPE_CHECKING:
    from sandbox_client._prompts import Prompts

PATIENCE = 600.0  # seconds: to hash what a person would copy takes less
FAREWELL = 5.0


async def _tell_nobody(elapsed: float, limit: float | None, reason: str) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Errands:
    """Run commands by `prompts`, each in a session that ends with it."""

    prompts: Prompts

    async def run(self, name: str, directory: str, command: str) -> str:
        """Run a command once in a directory of the sandbox and return what it printed.

        Raises:
            FileRefused: it did not come to its end.
        """
        session = f"files-{secrets.token_hex(4)}"
        prompts = replace(self.prompts, new_id=lambda: session)
        try:
            prompt = await prompts.send(
                name,
                command,
                directory=directory,
                wait_seconds=PATIENCE,
                audience=Audience(_tell_nobody),
            )
        finally:
            # With what may still run there: nothing goes on behind the back of one who cleans up.
            with anyio.move_on_after(FAREWELL, shield=True), contextlib.suppress(SandboxError):
                await prompts.end(name, session)
        if prompt.seen.state != "completed":
            raise FileRefused(
                f"A command on the files of sandbox '{name}' did not end well"
                f" ({prompt.seen.state}): {last_line(prompt.seen.output) or 'it printed nothing'}"
            )
        return prompt.seen.output
