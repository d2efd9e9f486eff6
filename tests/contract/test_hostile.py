"""A run against a target that hangs, trickles, sends without end or sends garbage."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sandbox_contract import CannotRun, Outcome, RealTime, Target, judge
from sandbox_contract.clauses.catalogue import BY_ID

from tests.contract.hostile import MODES, hostile_server
from tests.contract.serving import ADMIN_KEY, serve_fake

if TYPE_CHECKING:
    from pathlib import Path

REASONS = {
    "hang": "no complete one within 0.",
    "trickle": "no complete one within 0.",
    "endless": "an answer to GET /health of at most 16 MB, received more",
    "garbage": "RemoteProtocolError",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox_contract.http.client._TIMEOUT", 0.8)
    monkeypatch.setattr("sandbox_contract.http.client._INTERRUPTED_TIMEOUT", 0.3)
    monkeypatch.setattr("sandbox_contract.http.client._LAST_WORDS", 0.3)


@pytest.mark.parametrize("mode", MODES)
def test_a_hostile_target_is_refused_with_the_reason_and_nothing_perhaps_left(mode: str) -> None:
    with hostile_server(mode) as url, pytest.raises(CannotRun) as refused:
        judge(Target(base_url=url, admin_key=ADMIN_KEY))
    assert str(refused.value).startswith("The target does not answer as a proxy: ")
    # The endless body may also be slower than the deadline on a loaded machine.
    assert REASONS[mode] in str(refused.value) or (
        mode == "endless" and REASONS["hang"] in str(refused.value)
    )
    assert "eft on the target" not in str(refused.value)


def test_a_target_that_no_longer_answers_ends_the_run(tmp_path: Path) -> None:
    clauses = [BY_ID[each] for each in ("sandboxes.delete.reply", "sandboxes.list.reply")]
    with (
        serve_fake(tmp_path) as (upstream, _),
        hostile_server("hang", urlsplit(upstream).port, trigger=b"POST /api/sandboxes ") as url,
    ):
        result = judge(Target(base_url=url, admin_key=ADMIN_KEY), clauses, run_id="00aa11")
    (verdict,) = result.verdicts
    assert verdict.outcome is Outcome.ERROR, "the clause was not judged"
    assert "no complete one within 0." in verdict.detail
    assert result.exit_code == 2
    assert result.stopped.startswith("expected an answer to GET /health, received no complete one")
    assert (result.is_complete, result.interrupted, result.coverage.not_judged["not tried"]) == (
        False,
        False,
        1,
    )
    assert result.left == ["sandbox contract-00aa11-life2", "user contract-00aa11-alice"]


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_ends_a_clause_whose_target_turned_hostile_and_tells_what_may_be_left(
    mode: str, tmp_path: Path
) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    clause, unanswered = BY_ID["sandboxes.delete.reply"], list[bytes]()
    with (
        serve_fake(tmp_path) as (upstream, _),
        hostile_server(
            mode,
            urlsplit(upstream).port,
            trigger=b"POST /api/sandboxes ",
            on_turn=interrupt,
            unanswered=unanswered,
        ) as url,
    ):
        target = Target(base_url=url, admin_key=ADMIN_KEY, time=RealTime(5))
        result = judge(target, [clause], run_id="00aa11")
    assert (result.interrupted, result.exit_code) == (True, 130)
    assert result.left == ["sandbox contract-00aa11-life2", "user contract-00aa11-alice"]
    assert "GET /api/admin/users" in result.listing_error
    if mode in {"hang", "trickle"}:
        asked = [each.partition(b" HTTP")[0].partition(b"/contract")[0] for each in unanswered]
        assert asked == [b"POST /api/sandboxes", b"DELETE /api/sandboxes"], "and then no more"
