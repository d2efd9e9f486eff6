"""Linearizability: the responses to concurrent requests must be those of a sequential order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Generic, TypeVar

from sandbox_contract.harness.api import DELETED
from sandbox_contract.http.expect import Reply, require

_S = TypeVar("_S")
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Step(Generic[_S]):
    """A request in the model: `apply` maps a state to the response's status and the next state.

    `name` is the request's name in reports.
    """

    name: str
    apply: Callable[[_S], tuple[int, _S]]


def final_states(start: _S, steps: Sequence[Step[_S]], statuses: Sequence[int]) -> set[_S]:
    """Return the final states of all sequential orders that fit these statuses.

    A request that got a 5xx may have had its effect or not.
    """
    states: set[_S] = set()
    for order in permutations(range(len(steps))):
        states.update(_states_after(start, [steps[i] for i in order], [statuses[i] for i in order]))
    return states


def _states_after(state: _S, steps: Sequence[Step[_S]], statuses: Sequence[int]) -> Iterator[_S]:
    if not steps:
        yield state
        return
    status, after = steps[0].apply(state)
    if statuses[0] == status or statuses[0] >= _SERVER_ERROR:
        yield from _states_after(after, steps[1:], statuses[1:])
    if statuses[0] >= _SERVER_ERROR:
        yield from _states_after(state, steps[1:], statuses[1:])


def was_deleted_meanwhile(reply: Reply) -> bool:
    """Return whether a reply is the deployed proxy's 404 for a sandbox deleted during the request.

    It should be 403. Only the clause about the losers of a delete reports that.
    """
    if reply.status != 404 or not reply.is_json:
        return False
    body = reply.fields()
    return DELETED in (body.get("error"), body.get("message"))


def _status_of(reply: Reply) -> int:
    return 403 if was_deleted_meanwhile(reply) else reply.status


def require_linearizable(
    start: _S, steps: Sequence[Step[_S]], replies: Sequence[Reply], seed: int
) -> set[_S]:
    """Require that some sequential order fits the replies, and return its possible final states."""
    states = final_states(start, steps, [_status_of(reply) for reply in replies])
    responses = ", ".join(
        f"{step.name} {reply.status}" for step, reply in zip(steps, replies, strict=True)
    )
    require(states, "answers of some order of the requests", f"{responses} (interleaving {seed})")
    return states
