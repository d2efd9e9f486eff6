"""The clauses as data: well-formed, unique, and each with one check."""

import re

import pytest
import sandbox_contract
from sandbox_contract import CLAUSES, Clause, Level, Need
from sandbox_contract._checks.catalogue import checked
from sandbox_contract._checks.registry import checks
from sandbox_contract._checks.routes import admin_routes, user_routes
from sandbox_contract._clauses.catalogue import LAST
from sandbox_contract._clauses.clause import Source, Word, clauses_by_id
from sandbox_fakeproxy import ScriptedRuntime, create_app
from starlette.routing import Route

IDS = [clause.id for clause in CLAUSES]


def clause_of(clause_id: str, *, row: str = "GET /health", word: Word = Word.RULE) -> Clause:
    return Clause(clause_id, "It answers.", Source("Health", row, word))


def test_every_clause_is_tried_and_every_check_tries_a_clause() -> None:
    assert checked() == set(IDS)


def test_there_are_as_many_clauses_as_the_contract_has_promises() -> None:
    assert len(CLAUSES) >= 200
    assert sum(clause.level is Level.SHOULD for clause in CLAUSES) >= 30


def test_the_last_clause_checks_for_leftovers() -> None:
    assert IDS[-1] == LAST


@pytest.mark.parametrize(
    ("clause_id", "sentence", "row", "needs", "told"),
    [
        ("health.answer", "It answers.", "GET /health", (), "'health.answer' is not area.subject"),
        ("health.Answer.shape", "It answers.", "GET /health", (), "is not area.subject.rule"),
        ("a.b.c", "It answers", "GET /health", (), "'It answers' is not a sentence"),
        ("a.b.c", "", "GET /health", (), "'' is not a sentence"),
        ("a.b.c", "It answers.", "", (), "the source names no row"),
        ("a.b.c", "It answers.", "GET /health", (Need.USER, Need.USER), "a need is repeated"),
    ],
)
def test_a_malformed_clause_is_refused(
    clause_id: str, sentence: str, row: str, needs: tuple[Need, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Clause(clause_id, sentence, Source("Health", row, Word.RULE), needs)


@pytest.mark.parametrize(
    ("word", "level"),
    [(Word.RULE, Level.MUST), (Word.QUIRK, Level.MUST), (Word.BUG, Level.SHOULD)],
)
def test_a_known_bug_is_a_should_and_all_else_a_must(word: Word, level: Level) -> None:
    assert clause_of("a.b.c", word=word).level is level


@pytest.mark.parametrize(
    ("clauses", "told"),
    [
        ([clause_of("a.b.c"), clause_of("a.b.c", row="another")], "Two clauses have the id a.b.c"),
        ([clause_of("a.b.c"), clause_of("a.b.d")], "a.b.c and a.b.d make the same promise"),
    ],
)
def test_clauses_with_the_same_id_or_promise_are_refused(clauses: list[Clause], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        clauses_by_id(clauses)


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
        if isinstance(route, Route) and "/api/" in route.path_format
        for method in (route.methods or set[str]()) - {"HEAD"}  # which has clauses of its own
    }
    tried = [*user_routes("{name}"), *admin_routes("any")]
    ids = r"[0-9a-f]{8}-[0-9a-f-]{27}"
    shapes = {(route.method, re.sub(ids, "{}", route.path)) for route in tried}
    assert {(method, re.sub(r"\{(user|key)_id\}", "{}", path)) for method, path in known} == {
        (method, path) for method, path in shapes if path.startswith("/api/")
    }


def test_the_package_exports_exactly_the_listed_names() -> None:
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
