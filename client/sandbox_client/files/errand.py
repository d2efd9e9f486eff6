"""Short commands of the client's own in a sandbox, which leave no session behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.errors import FileRefused
from sandbox_client.text import last_line

if TYPE_CHECKING:
    from sandbox_client.prompts import Prompts


@dataclass(frozen=True)
class OneShotCommands:
    """Run commands by `prompts`, each in a session that ends with it."""

    prompts: Prompts

    async def run(self, name: str, directory: str, command: str) -> str:
        """Run a command once in a directory of the sandbox and return what it printed.

        Raises:
            FileRefused: it did not come to its end.
        """
        prompt = await self.prompts.run_own(name, command, directory=directory)
        if prompt.status.state != "completed":
            raise FileRefused(
                f"A command on the files of sandbox '{name}' did not end well"
                f" ({prompt.status.state}): {last_line(prompt.printed) or 'it printed nothing'}"
            )
        return prompt.printed
