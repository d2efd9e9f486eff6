"""What a configuration leads to: everything that can be asked of one proxy with one key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._files.errand import Errands
from ._files.files import Files
from ._prompts import Prompts
from ._proxy import Proxy
from ._sandboxes import Sandboxes
from ._waiting import Timing

if TYPE_CHECKING:
    from ._config import Config


@dataclass(frozen=True)
class Client:
    """Sandboxes, and what runs in them, through one `proxy`."""

    proxy: Proxy
    sandboxes: Sandboxes
    prompts: Prompts
    files: Files


def connect(config: Config) -> Client:
    """Return a client of the proxy that `config` names; nothing is sent yet."""
    return over(Proxy(config))


def over(proxy: Proxy, timing: Timing | None = None) -> Client:
    """Return a client through `proxy`, whose waits take their time from `timing`."""
    time = timing or Timing()
    sandboxes = Sandboxes(proxy, time)
    prompts = Prompts(sandboxes, time)
    return Client(proxy, sandboxes, prompts, Files(sandboxes, Errands(prompts)))
