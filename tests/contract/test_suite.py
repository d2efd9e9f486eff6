"""The contract in another repository: pytest runs that judge a proxy."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from sandbox_contract import CLAUSES

from tests.contract.serving import ADMIN_KEY, replace_answer, serve_fake

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

pytest_plugins = ["pytester"]

# As in a project in which warnings are errors.
QUIETLY = ("-p", "no:cacheprovider", "-W", "error")
DISTRIBUTION = "async-remote-agent"
SOME = "health or conventions or run.end"
SUBCLASS = """
import pytest
from sandbox_contract import ManualTime, ProxyContract, Target
from sandbox_fakeproxy import FakeProxy


@pytest.fixture(scope="class")
def target(tmp_path_factory):
    proxy = FakeProxy(tmp_path_factory.mktemp("fake"), as_deployed=True)
    clock = ManualTime(proxy.advance, ready_after=2.0, reconcile_delay=0.1)
    yield Target(base_url=proxy.url, app=proxy.app, admin_key=proxy.admin_key, time=clock)
    proxy.close()


class TestFake(ProxyContract):
    pass
"""


def test_a_subclass_with_one_fixture_judges_its_target(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUBCLASS)
    result = pytester.runpytest(*QUIETLY, "-rxs", "-k", SOME)
    # As deployed: known bugs are findings, and of the clauses here one needs a database to break.
    result.assert_outcomes(passed=30, xfailed=5, skipped=1, deselected=len(CLAUSES) - 36)
    result.stdout.fnmatch_lines(
        ["XFAIL *conventions.body.malformed* - finding: expected 400, received 500 *"]
    )
    result.stdout.fnmatch_lines(["SKIPPED *needs a way to take the database down*"])
    result.stdout.fnmatch_lines(
        [
            "*= sandbox proxy contract =*",
            f"*::TestFake: 36 of {len(CLAUSES)} clauses were selected, 35 judged, 1 not judged*",
            "sandbox-contract *; version of the target: unknown",
        ]
    )


def test_the_installed_suite_judges_the_proxy_at_an_address(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", ADMIN_KEY)
    with serve_fake(tmp_path) as (url, _):
        result = pytester.runpytest(
            "-p",
            "no:cacheprovider",
            "-k",
            SOME,
            "--pyargs",
            "sandbox_contract",
            "--contract-proxy-url",
            url,
        )
    result.assert_outcomes(passed=35, skipped=1, deselected=len(CLAUSES) - 36)


def test_a_failing_clause_is_described_in_the_pytest_report(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    with serve_fake(tmp_path, replace_answer("GET", "/health", 200, {"status": "fine"})) as (
        url,
        _,
    ):
        result = pytester.runpytest(
            "-p",
            "no:cacheprovider",
            "-k",
            "health",
            "--pyargs",
            "sandbox_contract",
            "--contract-proxy-url",
            url,
            "--junitxml",
            "junit.xml",
        )
    result.assert_outcomes(passed=1, failed=1, skipped=1, deselected=len(CLAUSES) - 3)
    suite = (pytester.path / "junit.xml").read_text()
    assert (
        f'TestProxy coverage" value="3 of {len(CLAUSES)} clauses were selected, 2 judged,'
        ' 1 not judged (1 unsupported)" />' in suite
    )
    assert f'TestProxy versions" value="sandbox-contract {version(DISTRIBUTION)}; version' in suite
    result.stdout.fnmatch_lines(
        [
            "health.answer.shape (docs/wire-contract.md#health-check)",
            "request:  GET /health",
            "expected: 200 IsPartialDict(*",
            'received: 200 {"status":"fine"}',
        ]
    )


def test_without_an_address_the_missing_setting_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROXY_URL", raising=False)
    result = pytester.runpytest(*QUIETLY, "-k", "health", "--pyargs", "sandbox_contract")
    result.assert_outcomes(errors=3, deselected=len(CLAUSES) - 3)
    result.stdout.fnmatch_lines(["*No proxy to judge: set PROXY_URL, or*--contract-proxy-url)."])


def test_a_target_that_cannot_be_judged_is_no_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_URL", "http://127.0.0.1:1")
    result = pytester.runpytest(*QUIETLY, "-k", "health", "--pyargs", "sandbox_contract")
    result.assert_outcomes(errors=3, deselected=len(CLAUSES) - 3)
    result.stdout.fnmatch_lines(["*nothing answers at http://127.0.0.1:1*"])
    result.stdout.fnmatch_lines(["*0 judged, 3 not judged (3 not tried)"])


def test_the_plugin_does_not_import_the_suites_dependencies() -> None:
    script = "import sys, sandbox_contract.pytest_plugin; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert "sandbox_contract.options" in loaded
    assert {"httpx", "hypothesis", "dirty_equals", "jinja2", "rich"}.isdisjoint(loaded)
