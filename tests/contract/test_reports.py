"""A run's reports: their content, and that no malformed answer of a target breaks them."""

from __future__ import annotations

import base64
import hashlib
import html as markup
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from sandbox_contract.clause import Clause, Level
from sandbox_contract.harness.cluster import REMOVAL
from sandbox_contract.http.exchange import Exchange, Redactor, Shown
from sandbox_contract.report import diff, html, json_report, junit, terminal
from sandbox_contract.report.files import write_reports
from sandbox_contract.report.json_report import InvalidReport
from sandbox_contract.report.summary import leftover_sections
from sandbox_contract.result import Outcome, Result, Verdict
from sandbox_contract.target import Need

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "sk_live_0123456789abcdef"
MARKUP_AND_CONTROLS = (
    "<script>alert(1)</script>]]>&\x00\x1b[31m\x9b\u202e\u2066\ud800[red]{{ 7 * 7 }} żółć 日本 🦊"
)
SPELT = r"\x00\x1b[31m\x9b\u202e\u2066\ud800[red]{{ 7 * 7 }} żółć 日本 🦊"
LONG = "word " * 2000


async def check(_run: object) -> None:
    raise AssertionError("a report does not check")


def clause(clause_id: str, *needs: Need, level: Level = Level.MUST) -> Clause:
    return Clause(clause_id, f"What {clause_id} promises.", "quota", check, level, needs)


def exchange(body: str, path: str = "/api/sandboxes") -> Shown:
    return replace(
        Exchange(
            "POST",
            path,
            {"authorization": f"Bearer {SECRET}"},
            f'{{"name":"a","key":"{SECRET}"}}'.encode(),
            500,
            {"x-markup": "<b>bold</b>"},
            b"",
            0.25,
            Redactor([SECRET]),
        ).redacted(),
        body=body,
    )


EARLIER = exchange('{"earlier":[1]}', "/api/earlier")
DECISIVE = exchange(MARKUP_AND_CONTROLS)
FAIL = Verdict(
    clause("boxes.create.fails"),
    Outcome.FAIL,
    seconds=1.5,
    expected="201",
    received=f"500 {MARKUP_AND_CONTROLS}",
    exchanges=(EARLIER, DECISIVE),
    decisive=DECISIVE,
)
FINDING = Verdict(
    clause("boxes.create.finds", level=Level.SHOULD),
    Outcome.FINDING,
    expected="400",
    received=f"500 {LONG}",
    exchanges=(DECISIVE,),
    decisive=DECISIVE,
)
ERROR = Verdict(clause("files.read.breaks"), Outcome.ERROR, detail="KeyError: 'x' (files.py:8)")
PASS = Verdict(clause("files.read.holds"), Outcome.PASS, notes=("worded as <v1alpha1>",))
UNSUPPORTED = Verdict(
    clause("files.write.lacks", Need.ADMIN),
    Outcome.UNSUPPORTED,
    detail=f"needs {Need.ADMIN.value}",
    missing_needs=(Need.ADMIN,),
)
RESULT = Result(
    target="https://sandboxes.test/<base>",
    run_id="0a1b2c",
    started="2030-01-02T03:04:05+00:00",
    seconds=63.2,
    verdicts=(PASS, FAIL, FINDING, ERROR, UNSUPPORTED),
    total=5,
    selected=5,
    left=("sandbox act-0a1b2c-box1 [bold]",),
    out_of_reach=("a sandbox in the namespace user-act-0a1b2c-<b>",),
    suite_version="1.2.3",
    target_version=f"proxy <4.5> {MARKUP_AND_CONTROLS}",
    settings={"--ready-timeout": "180"},
)


def printed(result: Result, *, is_terminal: bool = False, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream,
        force_terminal=is_terminal,
        soft_wrap=not is_terminal,
        width=width,
        color_system=None,
    )
    terminal.render(result, console)
    return stream.getvalue()


def only(*verdicts: Verdict, **changes: Any) -> Result:
    """Return a run that tried all of a contract that has only these clauses."""
    numbers = {"total": len(verdicts), "selected": len(verdicts)}
    return replace(RESULT, verdicts=verdicts, left=(), out_of_reach=(), **numbers | changes)


class Page(HTMLParser):
    """The elements of a page, and the text that is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


# The page -----------------------------------------------------------------------------------------


def test_the_page_escapes_a_body() -> None:
    text = html.write(RESULT)
    assert [tag for tag, _ in Page(text).tags].count("script") == 1
    assert markup.escape("<script>alert(1)</script>]]>&", quote=False) in text
    assert SPELT in text
    assert "49 żółć" not in text
    assert "<b>bold</b>" not in text


def test_the_page_runs_only_its_own_script_and_loads_no_resources() -> None:
    text = html.write(RESULT)
    script = re.search(r"<script>(.*)</script>\n</body>", text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    page = Page(text)
    assert not page.values("src")
    assert all(link.startswith("#") for link in page.values("href"))
    assert not re.search(r"@import|url\(", text)


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = Page(html.write(RESULT))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.values("href")} <= set(ids)


def test_the_page_tells_each_outcome_by_its_word_and_counts_it() -> None:
    page = Page(html.write(RESULT))
    text = " ".join(page.text.split())
    for outcome in Outcome:
        assert f"1 {outcome}" in text
    assert "1 MUST clause fails" in text
    assert "1 SHOULD clause is not met." in text
    assert page.values("data-outcome").count("fail") == 2  # its filter and its row


def test_the_page_shows_the_expectation_and_its_exchanges() -> None:
    text = Page(html.write(RESULT)).text
    for said in ("POST /api/sandboxes", "authorization: Bearer ***", "1 other exchange of this"):
        assert said in text
    assert '{\n  "name": "a",\n  "key": "***"\n}' in text
    assert '{\n  "earlier": [\n    1\n  ]\n}' in text
    assert "KeyError: 'x' (files.py:8)" in text


def test_of_two_equal_exchanges_the_page_takes_the_last_for_the_decisive_one() -> None:
    repeated = replace(FAIL, exchanges=(DECISIVE, EARLIER, DECISIVE))
    others = Page(html.write(only(repeated))).text.partition("2 other exchanges")[2]
    assert others.index("POST /api/sandboxes") < others.index("POST /api/earlier")


def test_the_page_shows_notes_needs_settings_and_leftovers() -> None:
    text = Page(html.write(RESULT)).text
    for said in (
        "worded as <v1alpha1>",
        Need.ADMIN.value,
        "--ready-timeout",
        *RESULT.left,
        *RESULT.out_of_reach,
        f"sandbox-contract sweep --run {RESULT.run_id}",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("left", "listing_error", "out_of_reach", "headings"),
    [
        ([], "", [], ""),
        (["a"], "", [], "Left on the target"),
        (["a"], "500", [], "Perhaps left on the target, which did not list it: 500"),
        (
            [],
            "",
            ["a"],
            f"Left in the target's cluster, where no request removes it (see {REMOVAL})",
        ),
    ],
)
def test_the_heading_of_leftovers_says_where_they_are_and_whether_that_is_certain(
    left: list[str], listing_error: str, out_of_reach: list[str], headings: str
) -> None:
    sections = leftover_sections(left, listing_error, out_of_reach)
    assert "".join(heading for heading, _ in sections) == headings


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":', "1" * 5000, "", "plain"])
def test_the_page_shows_a_body_that_is_no_json_as_it_is(body: str) -> None:
    shown = exchange(body)
    assert body in Page(html.write(only(replace(FAIL, decisive=shown, exchanges=(shown,))))).text


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (only(PASS), "Every MUST holds: all 1 clause were judged"),
        (only(PASS, FINDING), "Every MUST holds: all 2 clauses were judged"),
        (
            only(PASS, FINDING, total=271),
            (
                "Every MUST that was judged holds:"
                " 2 of 271 clauses were selected, 2 judged, 0 not judged"
            ),
        ),
        (
            only(PASS, UNSUPPORTED),
            (
                "Every MUST that was judged holds:"
                " 2 of 2 clauses were selected, 1 judged, 1 not judged (1 unsupported)"
            ),
        ),
        (
            only(PASS, UNSUPPORTED, total=9, selected=5, interrupted=True),
            (
                "Every MUST that was judged holds: 5 of 9 clauses were selected, 1 judged,"
                " 4 not judged (1 unsupported, 3 not tried); the run was not finished"
            ),
        ),
        (
            only(PASS, ERROR),
            (
                "No MUST fails, but the suite broke:"
                " 2 of 2 clauses were selected, 1 judged, 1 not judged (1 error)"
            ),
        ),
        (
            only(PASS, total=2, selected=2, stopped="no answer"),
            (
                "No MUST fails, but the target stopped answering: 2 of 2 clauses were selected,"
                " 1 judged, 1 not judged (1 not tried); the run was not finished"
            ),
        ),
        (
            only(FAIL, FAIL, total=3),
            "2 MUST clauses fail: 2 of 3 clauses were selected, 2 judged, 0 not judged",
        ),
        (
            only(FINDING, total=3),
            "No MUST was judged: 1 of 3 clauses was selected, 1 judged, 0 not judged",
        ),
        (
            only(selected=3, total=3, interrupted=True),
            (
                "Nothing was judged: 3 of 3 clauses were selected, 0 judged,"
                " 3 not judged (3 not tried); the run was not finished"
            ),
        ),
    ],
)
def test_every_readable_report_gives_the_result_of_the_run(result: Result, said: str) -> None:
    page = html.write(result)
    assert f"<title>{said}: https" in page
    assert re.sub(r"<.*?>", "", page.split("<h1>")[1].split("</h1>")[0])[1:] == said
    assert printed(result).endswith(f"\n{said}.\n")


def test_the_reason_why_a_run_stopped_is_shown() -> None:
    result = only(PASS, total=2, stopped="no answer to GET /health")
    said = "The target stopped answering: no answer to GET /health"
    assert said in Page(html.write(result)).text
    assert f"{said}\n" in printed(result)
    assert json.loads(json_report.write(result))["stopped"] == result.stopped


def test_every_report_tells_the_versions_of_suite_and_target() -> None:
    told = f"proxy <4.5> <script>alert(1)</script>]]>&{SPELT}"
    text = Page(html.write(RESULT)).text
    assert "sandbox-contract 1.2.3" in text
    assert told in text
    assert f"sandbox-contract 1.2.3; version of the target: {told}\n" in printed(RESULT)
    report = json.loads(json_report.write(RESULT))
    assert report["suite_version"] == "1.2.3"
    assert report["target_version"] == RESULT.target_version


def test_every_report_tells_that_a_target_tells_no_version() -> None:
    result = replace(RESULT, target_version=None)
    assert "<code>unknown</code>" in html.write(result)
    assert "; version of the target: unknown\n" in printed(result)
    assert parsed(result).find(".//property[@name='target_version'][@value='unknown']") is not None
    assert json.loads(json_report.write(result))["target_version"] is None


# JUnit --------------------------------------------------------------------------------------------


def parsed(result: Result) -> ET.Element:
    return ET.fromstring(junit.write(result))  # noqa: S314  # this project wrote it


def test_junit_has_a_suite_for_each_area_and_a_case_for_each_clause() -> None:
    cases = {
        suite.get("name"): [case.get("name") for case in suite.iter("testcase")]
        for suite in parsed(RESULT)
    }
    assert cases == {
        "files": ["files.read.holds", "files.read.breaks", "files.write.lacks"],
        "boxes": ["boxes.create.fails", "boxes.create.finds"],
    }


def test_junit_totals_match_its_cases() -> None:
    root = parsed(RESULT)
    for element in (root, *root):
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert element.get(name) == str(len(list(element.iter(tag))))
        assert element.get("tests") == str(len(list(element.iter("testcase"))))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }


def test_junit_tells_a_finding_of_a_case_that_passes() -> None:
    case = parsed(only(FINDING)).find(".//testcase")
    assert case is not None
    assert [child.tag for child in case] == ["properties", "system-out"]
    assert case.find(".//property[@name='outcome'][@value='finding']") is not None
    assert (case.findtext("system-out") or "").startswith("finding\nclause: What boxes.create")


def test_junit_spells_out_only_characters_that_xml_cannot_hold() -> None:
    failure = parsed(RESULT).find(".//failure")
    assert failure is not None
    for text in (failure.get("message") or "", failure.text or ""):
        assert f"<script>alert(1)</script>]]>&{SPELT}" in text


def test_junit_tells_how_much_of_the_contract_was_judged() -> None:
    root = parsed(only(PASS, UNSUPPORTED, total=9, selected=5, interrupted=True))
    said = (
        "5 of 9 clauses were selected, 1 judged, 4 not judged (1 unsupported, 3 not tried);"
        " the run was not finished"
    )
    assert root.get("name") == f"sandbox-contract, partial: {said}"
    told = {each.get("name"): each.get("value") for each in root.iterfind("*/properties/property")}
    assert told == {
        "suite_version": "1.2.3",
        "target": RESULT.target,
        "target_version": f"proxy <4.5> <script>alert(1)</script>]]>&{SPELT}",
        "run_id": RESULT.run_id,
        "is_complete": "false",
        "interrupted": "true",
        "stopped": "",
        "coverage": said,
        "clauses_total": "9",
        "clauses_selected": "5",
        "clauses_judged": "1",
        "clauses_not_judged": "4",
    }


def test_junit_names_a_complete_run_without_more_words() -> None:
    assert parsed(only(PASS)).get("name") == "sandbox-contract"


# JSON, written and read again -------------------------------------------------------------------


def test_json_holds_the_whole_run() -> None:
    text = json_report.write(RESULT)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    report = json.loads(text)
    assert report["format"] == 3
    assert report["exit_code"] == RESULT.exit_code == 1
    assert report["counts"] == dict.fromkeys(Outcome, 1)
    assert (report["left"], report["listing_error"]) == (list(RESULT.left), "")
    assert report["out_of_reach"] == list(RESULT.out_of_reach)
    verdict = report["verdicts"][1]
    assert verdict["id"] == "boxes.create.fails"
    assert (verdict["area"], verdict["level"]) == ("boxes", "MUST")
    assert verdict["source"] == "docs/wire-contract.md#quota"
    assert verdict["received"] == f"500 {MARKUP_AND_CONTROLS}"
    assert verdict["decisive"] == verdict["exchanges"][1]
    assert report["verdicts"][4]["needs"] == ["ADMIN"]


def test_json_tells_how_much_of_the_contract_was_judged() -> None:
    report = json.loads(json_report.write(only(PASS, UNSUPPORTED, total=9, selected=5)))
    assert (report["is_complete"], report["interrupted"]) == (False, False)
    assert report["clauses"] == {
        "total": 9,
        "selected": 5,
        "judged": 1,
        "not_judged": 4,
        "reasons": {"unsupported": 1, "error": 0, "not_tried": 3},
    }


@pytest.mark.parametrize(
    ("result", "is_complete", "interrupted"),
    [
        (only(PASS, FINDING), True, False),
        (only(PASS, total=2), False, False),
        (only(PASS, UNSUPPORTED), False, False),
        (only(PASS, interrupted=True), False, True),
    ],
)
def test_a_run_is_complete_when_it_ended_and_judged_every_clause(
    result: Result, is_complete: bool, interrupted: bool
) -> None:
    report = json.loads(json_report.write(result))
    assert (report["is_complete"], report["interrupted"]) == (is_complete, interrupted)


def test_a_written_report_is_read_back() -> None:
    summary = json_report.read(json_report.write(RESULT))
    assert (summary.target, summary.run_id) == (RESULT.target, RESULT.run_id)
    assert (summary.total, summary.selected) == (RESULT.total, RESULT.selected)
    assert [each.outcome for each in summary.verdicts.values()] == [
        each.outcome for each in RESULT.verdicts
    ]
    assert summary.verdicts["files.read.holds"].notes == PASS.notes


def test_a_report_of_the_format_before_is_read_without_the_numbers() -> None:
    report = json.loads(json_report.write(RESULT)) | {"format": 1}
    del report["clauses"]
    summary = json_report.read(json.dumps(report))
    assert (summary.total, summary.selected, len(summary.verdicts)) == (None, None, 5)


def changed(**changes: object) -> str:
    return json.dumps(json.loads(json_report.write(RESULT)) | changes)


def with_verdict(**changes: object) -> str:
    verdict = {"id": "a.b.c", "sentence": "", "notes": [""], "outcome": "pass"}
    return changed(verdicts=[verdict | changes])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html>", "The report is not JSON: Expecting value: line 1 column 1 (char 0). Expected"),
        ("[" * 100_000, "The report is not JSON"),
        ("[1]", "The report is [1]. Expected an object."),
        ("{}", "'format' is missing. Expected it in every report."),
        (changed(format=4), "'format' is 4. Expected one of (1, 2, 3)."),
        (changed(clauses={"total": "5"}), "'clauses.total' is '5'. Expected a whole number."),
        (changed(target=3), "'target' is 3. Expected text."),
        (changed(verdicts={}), "'verdicts' is {}. Expected a list."),
        (changed(verdicts=["x"]), "'verdicts[0]' is 'x'. Expected an object."),
        (changed(verdicts=[{"id": "a.b"}]), "'verdicts[0].sentence' is missing."),
        (
            with_verdict(outcome="passed"),
            "'verdicts[0].outcome' is 'passed'. Expected one of pass, fail, finding, unsupported,",
        ),
        (with_verdict(notes=[0]), "'verdicts[0].notes[0]' is 0. Expected text."),
    ],
)
def test_a_malformed_report_is_refused_with_the_fault_in_it(text: str, said: str) -> None:
    with pytest.raises(InvalidReport, match=re.escape(said)):
        json_report.read(text)


# Comparison ---------------------------------------------------------------------------------------


def compared(a: Result, b: Result) -> diff.Difference:
    return diff.compare(*(json_report.read(json_report.write(each)) for each in (a, b)))


def told(difference: diff.Difference) -> str:
    stream = io.StringIO()
    diff.render(difference, ("staging.json", "live[red].json"), Console(file=stream, width=80))
    return stream.getvalue()


def test_equal_runs_have_no_difference_and_that_is_said() -> None:
    difference = compared(RESULT, replace(RESULT, run_id="ffffff"))
    assert difference.is_empty
    assert told(difference) == "No difference between staging.json and live[red].json.\n"


def test_diff_separates_contradictions_from_clauses_of_one_run_only() -> None:
    failed = replace(PASS, outcome=Outcome.FAIL)
    judged = replace(UNSUPPORTED, outcome=Outcome.PASS)
    mended = replace(ERROR, outcome=Outcome.PASS)
    difference = compared(only(PASS, UNSUPPORTED, ERROR), only(failed, judged, mended))
    assert [pair.a.id for pair in difference.contradictions] == ["files.read.holds"]
    unjudged = [pair.a.id for pair in difference.unjudged]
    assert unjudged == ["files.write.lacks", "files.read.breaks"]
    text = told(difference)
    assert "A  staging.json  (3 of 3 clauses selected, 3 tried)\nB  live[red].json  (" in text
    assert "1 clause judged differently\n" in text
    assert "  pass         fail         files.read.holds\n" in text
    assert "2 clauses judged in at most one run, which is no contradiction\n" in text
    assert "  unsupported  pass         files.write.lacks\n" in text
    assert "  error        pass         files.read.breaks\n" in text


def test_another_right_answer_is_a_difference_of_notes() -> None:
    other = replace(PASS, notes=())
    difference = compared(only(PASS), only(other))
    assert not difference.contradictions
    assert len(difference.notes) == 1
    assert "    A  worded as <v1alpha1>\n    B  no note\n" in told(difference)


def test_clauses_that_one_run_did_not_select_are_no_difference() -> None:
    difference = compared(only(PASS, FAIL), only(PASS, total=2))
    assert difference.is_empty
    assert told(difference) == (
        "A  staging.json  (2 of 2 clauses selected, 2 tried)\n"
        "B  live[red].json  (1 of 2 clauses selected, 1 tried)\n"
        "\n"
        "No difference in the 1 clause that both runs tried\n"
        "\n"
        "1 clause tried in A only, not compared\n"
    )


def test_clauses_that_the_other_suite_lacks_are_named() -> None:
    difference = compared(only(PASS, FAIL), only(FAIL, ERROR))
    assert [each.id for each in difference.only_a] == ["files.read.holds"]
    assert [each.id for each in difference.only_b] == ["files.read.breaks"]
    said = told(difference)
    assert "1 clause tried in B only, not compared\n  error        files.read.breaks\n" in said


# The terminal -------------------------------------------------------------------------------------


def test_the_terminal_tells_the_worst_first_and_the_verdict_last() -> None:
    text = printed(RESULT)
    told_of = [
        "fail  boxes",
        "error  files",
        "finding  boxes",
        "unsupported  ",
        "Left on the target",
    ]
    places = [text.index(each) for each in told_of]
    assert places == sorted(places)
    assert text.endswith(
        "\n5 clauses: 1 fail, 1 error, 1 finding, 1 unsupported, 1 pass\n1 MUST clause fails:"
        " 5 of 5 clauses were selected, 3 judged, 2 not judged (1 unsupported, 1 error).\n"
    )


def test_the_terminal_shows_the_request_the_expectation_and_the_answer() -> None:
    text = printed(only(FAIL))
    assert text.startswith(
        "fail  boxes.create.fails\n"
        "  What boxes.create.fails promises.\n"
        '  request   POST /api/sandboxes {"name":"a","key":"***"}\n'
        "  expected  201\n"
        f"  received  500 <script>alert(1)</script>]]>&{SPELT}\n"
    )


@pytest.mark.parametrize("is_terminal", [True, False])
def test_control_characters_from_a_target_do_not_reach_the_terminal(is_terminal: bool) -> None:
    text = re.sub(r"\s+", "", printed(RESULT, is_terminal=is_terminal))
    assert "".join(SPELT.split()) in text
    assert "\x1b[31m" not in text
    assert "\x00" not in text
    assert "[bold]" in text


def test_at_eighty_columns_every_line_fits_and_no_word_is_lost() -> None:
    text = printed(only(replace(FAIL, received="some words " * 40)), is_terminal=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= 80
    assert plain.split().count("some") == plain.split().count("words") == 40
    assert "\n            words some" in plain or "\n            some words" in plain


def test_a_piped_line_stays_a_line_and_has_no_colour() -> None:
    text = printed(only(replace(FAIL, received="some words " * 40)), width=40)
    assert "received  " + "some words " * 39 + "some words" in text
    assert "\x1b" not in text


def test_a_very_long_answer_is_cut_with_how_much_is_missing() -> None:
    text = printed(only(FINDING))
    assert re.search(r"received  500 word .*… \(\d+ characters more\)\n", text)
    assert len(text) < 600


def test_unsupported_clauses_are_grouped_by_all_that_they_need() -> None:
    both = replace(UNSUPPORTED, missing_needs=(Need.USER, Need.FAILURE_IMAGES))
    late = "expected ready within 3 s, received pending; no Service"
    text = printed(
        only(
            UNSUPPORTED,
            both,
            both,
            replace(UNSUPPORTED, missing_needs=(Need.WAITING,), reason=late),
            replace(UNSUPPORTED, missing_needs=(), reason="the moon"),
        )
    )
    assert f"      2  {Need.USER.value}\n         and {Need.FAILURE_IMAGES.value}\n" in text
    assert f"      1  {Need.ADMIN.value}\n" in text
    assert (
        f"      1  {Need.WAITING.value}\n"
        "         expected ready within 3 s, received pending; no Service\n" in text
    )
    assert "      1  the moon\n" in text


# The files ----------------------------------------------------------------------------------------


def test_reports_are_written_into_a_directory_that_need_not_exist(tmp_path: Path) -> None:
    written = write_reports(RESULT, tmp_path / "a" / "b")
    assert [path.name for path in written] == ["report.html", "junit.xml", "report.json"]
    assert sorted(written) == sorted((tmp_path / "a" / "b").iterdir())
    ET.parse(tmp_path / "a" / "b" / "junit.xml")  # noqa: S314  # this project wrote it
    text = (tmp_path / "a" / "b" / "report.json").read_text(encoding="utf-8")
    assert json.loads(text)["verdicts"][1]["received"] == f"500 {MARKUP_AND_CONTROLS}"


def test_no_report_holds_a_secret(tmp_path: Path) -> None:
    for path in write_reports(RESULT, tmp_path):
        text = path.read_text(encoding="utf-8")
        assert SECRET not in text
        assert "***" in text


def test_a_report_that_cannot_be_written_leaves_the_old_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page, *_) = write_reports(only(PASS), tmp_path)
    before = page.read_text(encoding="utf-8")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_reports(RESULT, tmp_path)
    assert page.read_text(encoding="utf-8") == before
    assert len(list(tmp_path.iterdir())) == 3
