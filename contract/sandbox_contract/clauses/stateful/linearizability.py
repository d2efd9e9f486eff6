"""Whether the answers to concurrent requests are those of some order of them, one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Generic, TypeVar

from sandbox_contract.clauses.messages import DELETED
from sandbox_contract.http.expect import Reply, require

_S = TypeVar("_S")
_FAULT = 500


@dataclass(frozen=True, slots=True)
class Step(Generic[_S]):
    """What a request does to a state: the status that it gets there, and the state after it.

    `name` is how a report calls it.
    """

    name: str
    taken: Callable[[_S], tuple[int, _S]]


def ends(start: _S, steps: Sequence[Step[_S]], statuses: Sequence[int]) -> set[_S]:
    """Return every state that some order ends in whose answers have these statuses.

    A 5xx says nothing: such a request may have been done, or not.
    """
    found: set[_S] = set()
    for order in permutations(range(len(steps))):
        found.update(_walked(start, [steps[i] for i in order], [statuses[i] for i in order]))
    return found


def _walked(state: _S, steps: Sequence[Step[_S]], statuses: Sequence[int]) -> Iterator[_S]:
    if not steps:
        yield state
        return
    status, after = steps[0].taken(state)
    if statuses[0] == status or statuses[0] >= _FAULT:
        yield from _walked(after, steps[1:], statuses[1:])
    if statuses[0] >= _FAULT:
        yield from _walked(state, steps[1:], statuses[1:])


def found_deleted(reply: Reply) -> bool:
    """Tell whether a request found its sandbox deleted meanwhile, as the deployed proxy says it.

    That is 404 where it should be 403: a finding of the clause about losers, and of no other.
    """
    if reply.status != 404 or not reply.is_json:
        return False
    said = reply.fields()
    return DELETED in (said.get("error"), said.get("message"))


def _status_of(reply: Reply) -> int:
    return 403 if found_deleted(reply) else reply.status


def require_legal(
    start: _S, steps: Sequence[Step[_S]], replies: Sequence[Reply], seed: int
) -> set[_S]:
    """Expect that some order explains the answers; return the states that it may end in."""
    found = ends(start, steps, [_status_of(reply) for reply in replies])
    said = ", ".join(
        f"{step.name} {reply.status}" for step, reply in zip(steps, replies, strict=True)
    )
    require(found, "answers of some order of the requests", f"{said} (interleaving {seed})")
    return found
