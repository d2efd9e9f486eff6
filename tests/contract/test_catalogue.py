"""The clauses as data: each is tried and says where it was promised; none is written twice."""

import re
from collections import Counter

import pytest
import sandbox_contract
from sandbox_contract import CLAUSES, Clause, Level, Need
from sandbox_contract._checks.catalogue import checked
from sandbox_contract._checks.registry import checks
from sandbox_contract._checks.routes import admin_routes, user_routes
from sandbox_contract._clauses.catalogue import LAST, SECTIONS
from sandbox_contract._clauses.clause import Word
from sandbox_fakeproxy import ScriptedRuntime, create_app
from sandbox_fakeproxy._proxy.route import ExactRoute

IDS = [clause.id for clause in CLAUSES]
each_clause = pytest.mark.parametrize("clause", CLAUSES, ids=IDS)


def test_every_clause_is_tried_and_every_check_tries_a_clause() -> None:
    assert checked() == set(IDS)


def test_no_id_is_given_twice() -> None:
    assert [clause_id for clause_id, count in Counter(IDS).items() if count > 1] == []


def test_no_promise_is_written_twice() -> None:
    written = Counter((clause.sentence, clause.source) for clause in CLAUSES)
    assert [promise for promise, count in written.items() if count > 1] == []


def test_there_are_as_many_clauses_as_the_contract_has_promises() -> None:
    assert len(CLAUSES) >= 200
    assert sum(clause.level is Level.SHOULD for clause in CLAUSES) >= 30


def test_the_last_clause_is_that_nothing_is_left() -> None:
    assert IDS[-1] == LAST


@each_clause
def test_a_clause_is_whole(clause: Clause) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*){2}", clause.id)
    assert re.fullmatch(r"[A-Z0-9a-z/].*\.", clause.sentence)
    assert clause.source.row
    assert clause.source.section in {section.title for section in SECTIONS}
    assert len(set(clause.needs)) == len(clause.needs)


@each_clause
def test_a_known_bug_is_a_should_and_all_else_a_must(clause: Clause) -> None:
    is_bug = clause.source.word is Word.BUG
    assert (clause.level is Level.SHOULD) == is_bug


def test_every_need_is_some_clauses_need() -> None:
    assert {need for clause in CLAUSES for need in clause.needs} == set(Need)


def test_a_check_for_no_clause_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no clause 'health\.answer\.nothing'"):
        checks("health.answer.nothing")(_nothing)


def test_a_second_check_for_a_clause_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Two checks try the clause 'health\.answer\.shape'"):
        checks("health.answer.shape")(_nothing)


async def _nothing(_run: object) -> None:
    pass


def test_the_routes_that_are_tried_are_all_that_there_are() -> None:
    app = create_app(admin_key="x", runtime=ScriptedRuntime())
    known = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, ExactRoute) and "/api/" in route.path_format
        for method in (route.accepted or set[str]()) - {"HEAD"}  # which has clauses of its own
    }
    tried = [*user_routes("{name}"), *admin_routes("any")]
    ids = r"[0-9a-f]{8}-[0-9a-f-]{27}"
    shapes = {(route.method, re.sub(ids, "{}", route.path)) for route in tried}
    assert {(method, re.sub(r"\{(user|key)_id\}", "{}", path)) for method, path in known} == {
        (method, path) for method, path in shapes if path.startswith("/api/")
    }


def test_the_package_has_what_it_says_and_no_more() -> None:
    assert sorted(sandbox_contract.__all__, key=str.lower) == sorted(
        [
            "Advanced",
            "CLAUSES",
            "CannotRun",
            "Clause",
            "Judge",
            "Level",
            "Need",
            "Outcome",
            "Polled",
            "ProxyContract",
            "Result",
            "Target",
            "Verdict",
            "judge",
        ],
        key=str.lower,
    )
    for name in sandbox_contract.__all__:
        assert getattr(sandbox_contract, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sandbox_contract.nothing
