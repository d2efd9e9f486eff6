"""What a run leaves in the cluster of a deployed proxy, told before the run and after it.

The proxy here is the fake without the route by which the suite knows a fake.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox_contract.clauses.catalogue import BY_ID
from sandbox_contract.cli import main
from sandbox_contract.harness.cluster import REMOVAL
from sandbox_fakeproxy import SystemClock

from tests.contract.serving import ADMIN_KEY, replace_answer, serve_fake
from tests.contract.test_cli import call, usernames
from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sandbox_fakeproxy import FakeProxy

pytest_plugins = ["pytester"]

BEFORE = "namespaces user-contract-"
AFTER = f"Left in the target's cluster, where no request removes it (see {REMOVAL})"
NO_FAKE = replace_answer(
    "GET", "/_fake/", 404, {"error": "Not Found", "message": "Route GET /_fake/state not found"}
)


class Terminal(io.StringIO):
    """A terminal with what a person has typed."""

    def isatty(self) -> bool:
        return True


GATEWAY = replace_answer("GET", "/_fake/", 401, {"error": "Sign in", "message": "Sign in"})


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[str, FakeProxy]]:
    options = {"clock": SystemClock, "ready_after": 0.2, "reconcile_delay": 0.0}
    with serve_fake(tmp_path / "fake", NO_FAKE, **options) as (url, fake):
        monkeypatch.setenv("PROXY_URL", url)
        for name in ("API_KEY", "SECOND_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("ADMIN_API_KEY", ADMIN_KEY)
        yield url, fake


def test_without_a_terminal_it_is_told_and_nothing_is_created_unless_yes_is_passed(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    url, fake = proxy
    arguments = ["run", "--only", "sandboxes.delete.reply"]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert BEFORE in said.err
    assert said.err.endswith("sandbox-contract: Pass --yes to go on. Nothing was created.\n")
    assert {each["method"] for each in fake.requests()} == {"GET"}
    assert main([*arguments, "--yes"]) == 0
    said = capsys.readouterr()
    run_id = said.err.partition(" clauses, run ")[2][:6]
    assert f"{BEFORE}{run_id}-*, each with" in said.err
    assert AFTER in said.out
    assert f"  bucket folders contract-{run_id}-*/\n" in said.out
    assert usernames(url) == ["admin"]


def test_a_gateway_that_refuses_every_path_is_no_fake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "--only", "sandboxes.delete.reply", "--admin-key", ADMIN_KEY]
    with serve_fake(tmp_path, GATEWAY) as (url, _):
        assert main([*arguments, "--proxy-url", url]) == 2
    assert "Pass --yes to go on" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_in_a_terminal_it_is_a_question(
    proxy: tuple[str, FakeProxy], monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["run", "--only", "sandboxes.delete.reply"]) == code
    assert terminal.getvalue().count("Go on? [y/N] ") == 1
    assert ("Nothing was created." in terminal.getvalue()) is bool(code)


def test_nothing_is_told_where_no_sandbox_is_created(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--only", "health"]) == 0
    assert main(["run", "--only", "me.key-create.reply", "--yes"]) == 0
    said = capsys.readouterr()
    assert AFTER not in said.out


def test_with_a_users_key_only_the_folders_are_the_runs(
    proxy: tuple[str, FakeProxy],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, fake = proxy
    monkeypatch.delenv("ADMIN_API_KEY")
    monkeypatch.setenv("API_KEY", fake.user("zoe"))
    assert main(["run", "--only", "sandboxes.delete.reply", "--yes"]) == 0
    said = capsys.readouterr()
    assert "namespaces" not in said.err + said.out
    assert "of the users whose keys these are\n" in said.out


def test_a_sweep_tells_the_patterns_too(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    url, fake = proxy
    key = fake.user("contract-00aa11-alice")
    call(url, key, "POST", "/api/sandboxes", {"name": "contract-00aa11-box"})
    assert main(["sweep", "--run", "00aa11"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("removed: user contract-00aa11-alice\nA deployed proxy's cluster keeps")
    assert f"{BEFORE}00aa11-*" in said
    assert main(["sweep", "--all"]) == 0
    assert f"{BEFORE}*-*" in capsys.readouterr().out


def test_in_pytest_it_is_an_option_and_in_the_summary(
    proxy: tuple[str, FakeProxy], pytester: pytest.Pytester
) -> None:
    url, fake = proxy
    quietly = ("-p", "no:cacheprovider", "-W", "error")
    arguments = (*quietly, "--pyargs", "sandbox_contract", "--contract-proxy-url", url)
    result = pytester.runpytest(*arguments, "-k", "sandboxes.delete.reply")
    result.assert_outcomes(errors=1, deselected=len(BY_ID) - 1)
    result.stdout.fnmatch_lines(["*Pass --contract-yes to go on. Nothing was created.*"])
    assert {each["method"] for each in fake.requests()} == {"GET"}
    result = pytester.runpytest(*arguments, "--contract-yes", "-k", "sandboxes.delete.reply")
    result.assert_outcomes(passed=1, deselected=len(BY_ID) - 1)
    result.stdout.fnmatch_lines([f"{AFTER.replace('[', '[[]')}: {BEFORE}*-*, each with*"])


def test_workers_of_xdist_send_their_lines_to_the_terminal(
    proxy: tuple[str, FakeProxy], pytester: pytest.Pytester
) -> None:
    url, _ = proxy
    arguments = ("-p", "no:cacheprovider", "--pyargs", "sandbox_contract", "-n", "2")
    result = pytester.runpytest_subprocess(
        *arguments,
        *("--contract-proxy-url", url, "--contract-yes", "-k", "sandboxes.delete.reply"),
        timeout=50,
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*clauses was selected, 1 judged*", f"{AFTER}: {BEFORE}*"])


def test_ctrl_c_at_the_question_keeps_the_reports_of_an_earlier_run(
    proxy: tuple[str, FakeProxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    (tmp_path / "reports").mkdir()
    earlier = tmp_path / "reports" / "report.json"
    earlier.write_text("earlier")
    monkeypatch.setattr(Terminal, "readline", interrupt)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    arguments = ["run", "--only", "sandboxes.delete.reply", "--report", str(earlier.parent)]
    assert main(arguments) == 130
    assert earlier.read_text() == "earlier"


def test_the_page_that_is_named_has_the_heading() -> None:
    path, _, heading = REMOVAL.partition("#")
    headings = [
        line.lstrip("# ").lower().replace(" ", "-")
        for line in (ROOT / path).read_text().splitlines()
        if line.startswith("#")
    ]
    assert heading in headings
