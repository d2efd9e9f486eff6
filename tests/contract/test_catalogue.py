"""The clauses as data: well-formed, unique, and each with one check."""

import re

import pytest
import sandbox_contract
from sandbox_contract import CLAUSES, Level, Need
from sandbox_contract.clause import DOCUMENT, Clauses
from sandbox_contract.clauses.catalogue import LAST
from sandbox_contract.clauses.routes import admin_routes, user_routes
from sandbox_fakeproxy import ScriptedRuntime, create_app
from starlette.routing import Route

from tools.manifest import ROOT

IDS = [clause.id for clause in CLAUSES]


async def check(_run: object) -> None:
    pass


def test_there_are_as_many_clauses_as_the_contract_has_promises() -> None:
    assert len(CLAUSES) >= 200
    assert sum(clause.level is Level.SHOULD for clause in CLAUSES) >= 30


def test_the_last_clause_checks_for_leftovers() -> None:
    assert IDS[-1] == LAST


@pytest.mark.parametrize(
    ("clause_id", "sentence", "source", "needs", "told"),
    [
        ("health.answer", "It answers.", "health", (), "'health.answer' is not area.subject"),
        ("health.Answer.shape", "It answers.", "health", (), "is not area.subject.rule"),
        ("a.b.c", "It answers", "health", (), "'It answers' is not a sentence"),
        ("a.b.c", "", "health", (), "'' is not a sentence"),
        ("a.b.c", "It answers.", "", (), "'' is not an anchor"),
        ("a.b.c", "It answers.", "Health check", (), "'Health check' is not an anchor"),
        ("a.b.c", "It answers.", "health", (Need.USER, Need.USER), "a need is repeated"),
    ],
)
def test_a_malformed_clause_is_refused(
    clause_id: str, sentence: str, source: str, needs: tuple[Need, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Clauses().clause(clause_id, sentence, source=source, needs=needs)(check)


@pytest.mark.parametrize(
    ("clause_id", "told"),
    [
        ("a.b.c", "Two clauses have the id a.b.c"),
        ("a.b.d", "a.b.c and a.b.d make the same promise"),
    ],
)
def test_clauses_with_the_same_id_or_promise_are_refused(clause_id: str, told: str) -> None:
    clauses = Clauses()
    clauses.clause("a.b.c", "It answers.", source="health")(check)
    with pytest.raises(ValueError, match=told):
        clauses.clause(clause_id, "It answers.", source="health")(check)


def headings() -> dict[str, str]:
    """Return the text below each heading of the wire contract, by its anchor."""
    page = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    sections = (section.partition("\n") for section in page.split("\n### ")[1:])
    return {anchor_of(heading): " ".join(text.split()) for heading, _, text in sections}


def test_each_source_is_a_heading_of_the_wire_contract_and_each_heading_has_a_clause() -> None:
    judged = {
        anchor for anchor, text in headings().items() if "No clause judges this, since" not in text
    }
    assert {clause.source for clause in CLAUSES} == judged


def test_the_fakes_deviations_are_those_that_the_wire_contract_names() -> None:
    table = ROOT / "fakeproxy/sandbox_fakeproxy/deployed/behavior.py"
    comments = re.findall(r"^ *# .*", table.read_text(encoding="utf-8"), re.MULTILINE)
    sources = {anchor for line in comments for anchor in re.findall(r"#([a-z][a-z-]+)", line)}
    deviations = {anchor for anchor, text in headings().items() if "**As deployed:**" in text}
    either = {"unknown-routes", "runtimes-without-pipes"}
    # The runtime's file system, which `LocalRuntime` shows; and what no request can reach.
    elsewhere = {"files-of-one-sandbox"}
    assert sources == (deviations | either) - elsewhere


def anchor_of(heading: str) -> str:
    """Return the anchor that Markdown renderers give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_need_is_some_clauses_need() -> None:
    assert {need for clause in CLAUSES for need in clause.needs} == set(Need)


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
            "ManualTime",
            "CLAUSES",
            "CannotRun",
            "Clause",
            "Judge",
            "Level",
            "Need",
            "Outcome",
            "RealTime",
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
