"""Names of the resources that a run creates, and their removal."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sandbox_contract.http.client import Caller, HttpClient, Unreachable
from sandbox_contract.http.exchange import Exchange, Redactor
from sandbox_contract.http.expect import Violation
from sandbox_contract.target import CannotRun, Target

from .api import MY_KEYS, SANDBOXES, USERS
from .cluster import has_cluster, patterns_of
from .leftovers import PREFIX, Leftover, leftovers

Undo = Callable[[], Awaitable[object]]
Created = tuple[str, str]  # the kind and the name, and the `Authorization` header of the creation
# The kind of resource that a POST to a path creates, and the field with its name.
_CREATIONS = {
    SANDBOXES: ("sandbox", "name"),
    USERS: ("user", "username"),
    MY_KEYS: ("key", "name"),
}


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
    """Resources, each with the call that removes it."""

    def __init__(self) -> None:
        self._entries: list[tuple[Created, Undo]] = []

    def register(self, what: str, creator: Caller, undo: Undo) -> None:
        """Register a removal, before the creation if the name is known.

        `what` is the kind and the name, as in `sandbox contract-0a1b2c-box`.
        """
        self._entries.append(((what, creator.authorization or ""), undo))

    async def clean_up(self, on_removed: Callable[[Created, bool], None]) -> None:
        """Remove everything, newest first.

        `on_removed` is called with each removed resource, and whether it is certain that it was
        there. Failures are not reported here, since the end of a run lists the leftovers.
        """
        while self._entries:
            created, undo = self._entries.pop()
            try:
                was_there = await undo()
            except Exception:  # noqa: BLE001, S112  # one that stays must not keep the others
                continue
            on_removed(created, was_there is not False)


class Cleanup:
    """The removal of a run's resources, at the end of each clause and of the run.

    After the end of the run, `left` lists the leftovers on the target: those in `listed`, and
    resources that may still appear, since their creation was not answered. If the target could not
    list its resources, `listing_error` is the reason, and `left` lists possible leftovers: those
    that were created, or may have been, and that were not seen removed. `has_created` says whether
    there was anything to remove.
    """

    def __init__(self, client: HttpClient, target: Target, run_id: str) -> None:
        self.of_clause = CleanupStack()
        self.of_run = CleanupStack()
        self.left: list[str] = []
        self.listed: list[str] = []
        self.listing_error = ""
        self._client = client
        self._target = target
        self._run_id = run_id
        self.has_created = False
        self._created: set[Created] = set()  # perhaps
        self._unanswered: set[Created] = set()  # those of them that may still come to be
        client.observers.append(self._note_exchange)
        client.unanswered_observers.append(self._note_unanswered)

    async def end_clause(self) -> None:
        """Remove the clause's resources."""
        await self._clean_up(self.of_clause)

    async def end_run(self) -> None:
        """Remove the resources of the clause and of the run, and find leftovers."""
        await self._clean_up(self.of_clause)
        await self._clean_up(self.of_run)
        self.left, self.listed, self.listing_error = [], [], ""
        faults: dict[str, str] = {}
        if not self.has_created:
            return
        try:
            if found := await self._find():
                faults = {each.what: await _fault_of_removal(each) for each in found}
                found = await self._find()  # a removal may be answered and not done
        except Exception as exc:  # noqa: BLE001  # whatever a target lists
            self.suppose(str(exc))
            return
        for each in found:
            fault = faults.get(each.what) or "it is listed after it was deleted"
            self.listed.append(self._client.redactor.text(f"{each.what} ({fault})"))
        seen = {*faults, *(each.what for each in found)}
        unseen = sorted({what for what, _ in self._unanswered} - seen)
        perhaps = [f"perhaps {what}, whose creation was not answered" for what in unseen]
        self.left = [*self.listed, *perhaps]

    def suppose(self, listing_error: str) -> None:
        """Report possible leftovers, since the target was not asked or did not answer."""
        possible = {what for what, _ in self._created}
        if self._target.admin_key:  # every key belongs to a user of the run
            possible = {what for what in possible if not what.startswith("key ")}
        self.left = sorted(possible)
        self.listing_error = self._client.redactor.text(listing_error) if self.left else ""

    async def _find(self) -> list[Leftover]:
        found = await leftovers(self._client, self._target)
        return [each for each in found if each.run_id == self._run_id]

    async def _clean_up(self, stack: CleanupStack) -> None:
        await stack.clean_up(self._note_removed)

    def _note_removed(self, created: Created, was_there: bool) -> None:
        if was_there or created not in self._unanswered:
            self._created.discard(created)
            self._unanswered.discard(created)

    def _note_exchange(self, exchange: Exchange) -> None:
        if not 400 <= exchange.status < 500:  # after a 5xx, it may be there
            headers, body = exchange.request_headers, exchange.request_body
            self._note_creation(exchange.method, exchange.path, headers, body)

    def _note_unanswered(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        if (created := self._note_creation(method, path, headers, body)) is not None:
            self._unanswered.add(created)

    def _note_creation(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Created | None:
        if (what := _creation(method, path, body)) is None:
            return None
        created = (what, headers.get("authorization", ""))
        self.has_created = True
        self._created.add(created)
        return created


def _creation(method: str, path: str, body: bytes) -> str | None:
    """Return the resource that a request creates, in the words of `CleanupStack.register`."""
    if method != "POST" or path not in _CREATIONS:
        return None
    kind, field = _CREATIONS[path]
    try:
        fields: Any = json.loads(body)
        name = fields[field]
    except (ValueError, KeyError, TypeError):
        return None
    return f"{kind} {name}" if isinstance(name, (str, int)) else None


Tell = Callable[[Leftover, str | None], None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of a sweep: whether no removal failed, and the leftovers in a cluster."""

    is_complete: bool
    in_cluster: list[str]


async def _fault_of_removal(leftover: Leftover) -> str:
    try:
        await leftover.remove()
    except Exception as exc:  # noqa: BLE001  # whatever a target answers
        return str(exc)
    return ""


def sweep(target: Target, run_id: str | None, tell: Tell, *, removes: bool = True) -> Sweep:
    """Remove the leftovers of one run, or of all; or only find them.

    `tell` is called with each leftover and the reason why it could not be removed, or None.

    Raises:
        CannotRun: nothing answers, or a key does not work.
    """
    return asyncio.run(_sweep(target, run_id, tell, removes=removes))


async def _sweep(target: Target, run_id: str | None, tell: Tell, *, removes: bool) -> Sweep:
    client = HttpClient(target.base_url, target.app, Redactor(target.keys))

    async def find() -> list[Leftover]:
        found = await leftovers(client, target)
        return [each for each in found if run_id in {None, each.run_id}]

    try:
        found = await find()
        faults = {each.what: await _fault_of_removal(each) for each in found if removes}
        stays: set[str] = set()
        if faults:
            with suppress(Unreachable, Violation):  # the removals are reported all the same
                stays = {each.what for each in await find()}
        is_deployed = await _may_have_cluster(client, target)
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    except Violation as exc:
        told = client.redactor.text(str(exc))
        raise CannotRun(f"The target shows nothing to these keys: {told}.") from exc
    finally:
        await client.close()
    for each in found:
        fault = faults.get(each.what, "")
        if each.what in stays:
            fault = fault or "it is listed after it was deleted"
        faults[each.what] = fault
        tell(each, client.redactor.text(fault) if fault else None)
    return Sweep(not any(faults.values()), patterns_of(target, run_id) if is_deployed else [])


async def _may_have_cluster(client: HttpClient, target: Target) -> bool:
    try:
        return await has_cluster(client, target)
    except (Unreachable, Violation):
        return True  # the removals are reported all the same
