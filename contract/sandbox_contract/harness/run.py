"""A run: all that checks act with, from its beginning on one target to its end."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sandbox_contract.http.client import HttpClient
from sandbox_contract.http.exchange import Exchange, Redactor
from sandbox_contract.target import Target

from .actors import Actors
from .cleanup import Cleanup, Names
from .clock import Clock, OnWait
from .cluster import Cluster
from .observations import Observations
from .sandboxes import Sandboxes

_KEPT = 6  # exchanges of a clause

_T = TypeVar("_T")


class Run:
    """The actors, their sandboxes and the time of one run.

    The resources of a check are removed at the end of its clause, except for the *shared* users and
    sandboxes, which every clause may use and which are removed at the end of the run.
    """

    def __init__(
        self, target: Target, run_id: str, *, seed: int = 0, on_wait: OnWait | None = None
    ) -> None:
        self.target = target
        self.id = run_id
        self.seed = seed
        self.redactor = Redactor(target.keys)
        self.client = HttpClient(target.base_url, target.app, self.redactor)
        self.client.observers.append(self._keep)
        self.exchanges: list[Exchange] = []
        self.notes: list[str] = []
        self.target_version: str | None = None
        self.names = Names(run_id)
        self.cleanup = Cleanup(self.client, target, run_id)
        self.cluster = Cluster(target, run_id)
        self.client.observers.append(self.cluster.note_exchange)
        self.client.unanswered_observers.append(self.cluster.note_unanswered)
        self.actors = Actors(self.client, target, self.names, self.cleanup)
        self.clock = Clock(target.time, self.actors, on_wait)
        self.sandboxes = Sandboxes(self.actors, self.clock, target, self.names, self.cleanup)
        self._observations = Observations()

    def name(self, tag: str) -> str:
        """Return an unused name."""
        return self.names.new(tag)

    def note(self, text: str) -> None:
        """Record which of two permitted answers was given."""
        if text not in self.notes:
            self.notes.append(text)

    async def once(self, observe: Callable[["Run"], Awaitable[_T]]) -> _T:
        """Return the result of `observe`, or raise its error; a run calls it only once.

        So several clauses can judge one observation, which may take sandboxes and minutes.
        """
        return await self._observations.once(observe, lambda: observe(self))

    def begin_clause(self) -> None:
        """Forget the exchanges and notes of the clause before."""
        self.exchanges.clear()
        self.notes.clear()

    async def end_clause(self) -> None:
        """Remove the clause's resources."""
        await self.cleanup.end_clause()

    async def remove_everything(self) -> None:
        """Remove all resources of this run; leftovers are in `cleanup.left`."""
        await self.cleanup.end_run()
        self.actors.forget()
        self.sandboxes.forget()
        self._observations.clear()

    def _keep(self, exchange: Exchange) -> None:
        self.sandboxes.note(exchange)
        self.exchanges.append(exchange)
        del self.exchanges[:-_KEPT]
