"""Everything that can be asked of one proxy with one key."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .http import Proxy
from .polling import Timing
from .sandboxes import Sandboxes

if TYPE_CHECKING:
    from .config import Config
    from .files.remote import Files
    from .prompts import Prompts


class Client:
    """Sandboxes, and what runs in them, through one `proxy`; waits take their time from `timing`.

    The modules for commands and files are imported when they are used.
    """

    def __init__(self, proxy: Proxy, timing: Timing | None = None) -> None:
        self.proxy = proxy
        self._timing = timing or Timing()
        self.sandboxes = Sandboxes(proxy, self._timing)

    @cached_property
    def prompts(self) -> Prompts:
        """The commands in sandboxes."""
        from .prompts import Prompts

        return Prompts(self.sandboxes, self._timing)

    @cached_property
    def files(self) -> Files:
        """The files of sandboxes."""
        from .files.errand import OneShotCommands
        from .files.remote import Files

        return Files(self.sandboxes, OneShotCommands(self.prompts))


def connect(config: Config) -> Client:
    """Return a client of the proxy that `config` names; nothing is sent yet."""
    return Client(Proxy(config))
