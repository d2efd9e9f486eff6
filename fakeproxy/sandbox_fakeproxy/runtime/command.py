"""A command line that a client wants to run in a sandbox, with either API."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Command:
    """A command line to run in a session.

    The command is ended after `hard_timeout` seconds. The session changes to `directory`, a path of
    the API, first; None keeps the current directory. Equality ignores the `session` and `pipes`,
    which is whether the pipe API runs the command.
    """

    text: str
    hard_timeout: float | None = None
    truncate: bool = True
    directory: str | None = None
    keep_links: bool = False  # `pwd` keeps the links in `directory`, as after `cd -L`
    snapshot: str | None = None  # a script, by its path of the API, that is sourced first
    env: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    session: str = field(default="", compare=False)
    pipes: bool = field(default=False, compare=False)
