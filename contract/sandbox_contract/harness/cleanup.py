"""Names of the resources that a run creates, and their removal."""

from collections.abc import Awaitable, Callable

from sandbox_contract.http.client import HttpClient
from sandbox_contract.target import Target

from .leftovers import PREFIX, leftovers

Undo = Callable[[], Awaitable[object]]


class Names:
    """Names for the resources of one run; all begin with its `prefix`."""

    def __init__(self, run_id: str) -> None:
        self.prefix = f"{PREFIX}{run_id}-"
        self._made = 0

    def new(self, tag: str) -> str:
        """Return an unused name."""
        self._made += 1
        return f"{self.prefix}{tag}{self._made}"


class CleanupStack:
    """Created resources, each with the call that removes it."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, Undo]] = []

    def register(self, what: str, undo: Undo) -> None:
        """Register a cleanup, before creation if the name is known."""
        self._entries.append((what, undo))

    async def clean_up(self) -> list[str]:
        """Remove everything, newest first; return the failures with their reasons."""
        left: list[str] = []
        while self._entries:
            what, undo = self._entries.pop()
            try:
                await undo()
            except Exception as exc:  # noqa: BLE001  # one that stays must not keep the others
                left.append(f"{what} ({exc})")
        return left


class Cleanup:
    """The cleanups of a run: those of the current clause, and those of the whole run.

    `left` lists the resources that could not be removed, `out_of_reach` those in the proxy's
    cluster that no request removes.
    """

    def __init__(self, client: HttpClient, target: Target, run_id: str) -> None:
        self.of_clause = CleanupStack()
        self.of_run = CleanupStack()
        self.left: list[str] = []
        self.out_of_reach: list[str] = []
        self._client = client
        self._target = target
        self._run_id = run_id

    def may_stay(self, username: str) -> None:
        """Record that the proxy may have left a sandbox of a user where no request removes it."""
        what = f"a sandbox in the cluster's namespace user-{username}, which the proxy forgot"
        if what not in self.out_of_reach:
            self.out_of_reach.append(what)

    async def end_clause(self) -> None:
        """Remove the clause's resources."""
        self._note_left(await self.of_clause.clean_up())

    async def end_run(self) -> None:
        """Remove the resources of the clause and of the run."""
        self._note_left(await self.of_clause.clean_up() + await self.of_run.clean_up())

    async def sweep(self) -> None:
        """Remove resources that were created although the answer was lost."""
        found = CleanupStack()
        try:
            for each in await leftovers(self._client, self._target):
                if each.run_id == self._run_id:
                    found.register(each.what, each.remove)
        except Exception as exc:  # noqa: BLE001  # whatever a target lists
            self._note_left([f"perhaps more, since the target does not list it ({exc})"])
            return
        self._note_left(await found.clean_up())

    def _note_left(self, left: list[str]) -> None:
        self.left += [self._client.redactor.text(each) for each in left]
