"""Leftovers of a run in the cluster of a deployed proxy, where no request removes them."""

from collections.abc import Sequence

from sandbox_contract.http.client import Caller, HttpClient
from sandbox_contract.http.exchange import Exchange
from sandbox_contract.target import Target

from .api import NO_HEADER, SANDBOXES
from .leftovers import PREFIX

REMOVAL = "docs/deploy.md#what-stays-in-the-cluster"  # how to remove them
_FAKES_OWN = "/_fake/state"  # needs a key on a fake, and is an unknown route elsewhere


class Cluster:
    """The leftovers of a run in the cluster of its target.

    `is_there` is False for a fake, and until the preflight has asked the target.
    """

    def __init__(self, target: Target, run_id: str) -> None:
        self.is_there = False
        self._target = target
        self._run_id = run_id
        self._has_sandboxes = False  # perhaps
        self._forgotten: list[str] = []

    @property
    def left(self) -> list[str]:
        """Possible leftovers of this run, as patterns of names."""
        if not self.is_there:
            return []
        return [*(self.will_be_left if self._has_sandboxes else []), *self._forgotten]

    @property
    def will_be_left(self) -> list[str]:
        """The leftovers if this run creates sandboxes."""
        has_key = bool(self._target.keys)
        return patterns_of(self._target, self._run_id) if self.is_there and has_key else []

    def may_keep_sandbox_of(self, username: str) -> None:
        """Record that the proxy may have left a user's sandbox there and forgotten it."""
        what = f"perhaps a sandbox in the namespace user-{username}, which the proxy forgot"
        if what not in self._forgotten:
            self._forgotten.append(what)

    def note_exchange(self, exchange: Exchange) -> None:
        """Note whether an answer leaves open that a sandbox was created."""
        if not 400 <= exchange.status < 500:
            self.note_unanswered(exchange.method, exchange.path)

    def note_unanswered(self, method: str, path: str, *_more: object) -> None:
        """Note whether a request without an answer may have created a sandbox."""
        self._has_sandboxes |= (method, path) == ("POST", SANDBOXES)


def notice(left: Sequence[str]) -> str:
    """Return the notice for a person before the run."""
    listed = "\n".join(f"  {each}" for each in left)
    return (
        "This target is no fake. If it is a deployed proxy, sandboxes leave in its cluster:\n"
        f"{listed}\nNo request removes these; see {REMOVAL}"
    )


async def has_cluster(client: HttpClient, target: Target) -> bool:
    """Return whether a target may have a cluster: it is no fake, which has a route of its own.

    Raises:
        Unreachable: nothing answers.
        Violation: the target does not answer, or not with JSON that it announces.
    """
    if target.app is not None:
        return False
    reply = await Caller(client)("GET", _FAKES_OWN)
    # A gateway in front may refuse every path, in words of its own.
    return reply.status != 401 or not reply.is_json or reply.fields().get("message") != NO_HEADER


def patterns_of(target: Target, run_id: str | None) -> list[str]:
    """Return the patterns of names of the leftovers in a cluster, of one run or of all."""
    names = f"{PREFIX}{run_id or '*'}-*"
    if not target.admin_key:
        return [f"bucket folders *{names}/ of the users whose keys these are"]
    return [
        f"namespaces user-{names}, each with a quota, a network policy and a service account",
        f"members of the project's IAM policy for the users {names}",
        f"bucket folders {names}/",
    ]
