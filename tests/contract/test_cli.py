"""`sandbox-contract`: its output, its exit codes, and the sandboxes and users that it leaves."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sandbox_contract.clauses.catalogue import CLAUSES
from sandbox_contract.cli import main
from sandbox_contract.options import target_from, without_secrets
from sandbox_fakeproxy import SystemClock
from starlette.responses import HTMLResponse

from tests.contract.serving import ADMIN_KEY, replace_answer, serve_fake

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sandbox_fakeproxy import FakeProxy
    from starlette.types import Receive, Scope, Send


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROXY_URL", "ADMIN_API_KEY", "API_KEY", "SECOND_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy(tmp_path: Path) -> Generator[tuple[str, FakeProxy]]:
    fake = serve_fake(tmp_path / "fake", clock=SystemClock, ready_after=0.2, reconcile_delay=0.0)
    with fake as made:
        yield made


def call(url: str, key: str, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    reply = httpx.request(
        method, f"{url}{path}", json=body, headers=headers, trust_env=False, timeout=30
    )
    return reply.json()


def usernames(url: str) -> list[str]:
    return [user["username"] for user in call(url, ADMIN_KEY, "GET", "/api/admin/users")["users"]]


# Outcomes of a run ----------------------------------------------------------------------------


@pytest.mark.timeout(240)  # seconds, for a whole run in real time
@pytest.mark.parametrize(
    "only",
    [["--only", "health", "readiness.ready"], pytest.param([], marks=pytest.mark.check)],
    ids=["some clauses", "all clauses"],
)
def test_a_proxy_that_keeps_its_promises_is_0(
    only: list[str],
    proxy: tuple[str, FakeProxy],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, _ = proxy
    reports = tmp_path / "reports"
    arguments = ["run", "--proxy-url", url, "--admin-key", ADMIN_KEY, "--report", str(reports)]
    assert main([*arguments, *only]) == 0
    said = capsys.readouterr()
    assert re.search(
        r"^Every MUST that was judged holds: \d+ of \d+ clauses were selected, \d+ judged,"
        r" (\d+) not judged \(\1 unsupported\)\.$",
        said.out,
        re.MULTILINE,
    )
    first = r"^\s*1/\d+ pass +health\.answer\.no-key +\d+\.\d s$"
    assert re.search(first, said.err, re.MULTILINE)
    assert "to go   waiting for sandbox contract-" in said.err
    assert sorted(path.name for path in reports.iterdir()) == [
        "junit.xml",
        "report.html",
        "report.json",
    ]
    for text in (said.out, said.err, *(path.read_text() for path in reports.iterdir())):
        assert ADMIN_KEY not in text
        assert re.search(r"sk_live_[A-Za-z0-9_-]{32}", text) is None
    assert usernames(url) == ["admin"]


def test_a_must_that_fails_is_1_and_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace_answer(
        "GET", "/health", 200, {"status": "fine", "api_key": "sk_live_" + "x" * 32}
    )
    with serve_fake(tmp_path, wrong) as (url, _):
        assert main(["run", "--proxy-url", url, "--only", "health"]) == 1
    said = capsys.readouterr().out
    assert "fail  health.answer.shape" in said
    assert "GET /health reports status ok" in said
    assert re.search(r"request +GET /health\n", said)
    assert re.search(r"expected +200 IsPartialDict\(status='ok'", said)
    assert re.search(r'received +200 \{"status":"fine","api_key":"sk_live_\*\*\*"\}', said)
    assert "1 MUST clause fails" in said


def test_the_versions_of_suite_and_target_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_fake(tmp_path, replace_answer("GET", "/health", 200, {"version": "2.4.1"})) as (
        url,
        _,
    ):
        main(["run", "--proxy-url", url, "--only", "health"])
    suite = version("async-remote-agent")
    said = capsys.readouterr().out
    assert f"\nsandbox-contract {suite}; version of the target: 2.4.1\n" in said


@pytest.mark.timeout(240)  # seconds, for a whole run in real time
@pytest.mark.parametrize(
    ("only", "least"),
    [
        (["--only", "me", "admin", "sandboxes.create", "sandboxes.ownership"], 10),
        pytest.param([], 160, marks=pytest.mark.check),
    ],
    ids=["some clauses", "all clauses"],
)
def test_with_one_key_clauses_that_need_another_name_the_need(
    only: list[str],
    least: int,
    proxy: tuple[str, FakeProxy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, fake = proxy
    key = fake.user("zoe")
    call(url, key, "POST", "/api/sandboxes", {"name": "mine"})
    monkeypatch.setenv("API_KEY", key)
    monkeypatch.setenv("PROXY_URL", url)
    assert main(["run", "--report", str(tmp_path / "reports"), *only]) == 0
    report = json.loads((tmp_path / "reports" / "report.json").read_text())
    judged = {each["id"]: each for each in report["verdicts"]}
    lacking = {
        clause.id: [need.name for need in clause.needs if need.name in {"ADMIN", "SECOND_USER"}]
        for clause in CLAUSES
    }
    for clause_id, verdict in judged.items():
        if lacking[clause_id]:
            assert verdict["outcome"] == "unsupported"
            assert verdict["detail"].startswith("needs ")
    passed = sum(each["outcome"] == "pass" for each in judged.values())
    assert passed > least
    assert "the admin key: set ADMIN_API_KEY" in capsys.readouterr().out
    assert [box["name"] for box in call(url, key, "GET", "/api/sandboxes")["sandboxes"]] == ["mine"]
    keys = call(url, key, "GET", "/api/me/apikeys")["api_keys"]
    assert [each["name"] for each in keys if each["is_active"]] == [None]


def test_a_full_house_is_said_to_lack_room_and_is_left_alone(
    proxy: tuple[str, FakeProxy],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, fake = proxy
    key = fake.user("zoe")
    for number in range(10):
        call(url, key, "POST", "/api/sandboxes", {"name": f"mine{number}"})
    monkeypatch.setenv("API_KEY", key)
    arguments = ["run", "--proxy-url", url, "--only", "sandboxes.quota", "sandboxes.delete"]
    assert main(arguments) == 2
    assert "room for a sandbox" in capsys.readouterr().out
    assert call(url, key, "GET", "/api/sandboxes")["count"] == 10


def test_without_a_key_the_open_part_is_judged(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--proxy-url", proxy[0], "--only", "health", "conventions"]) == 0
    said = capsys.readouterr().out
    assert "a user's key: set API_KEY, or ADMIN_API_KEY to let the run create users" in said


def test_a_fakes_clock_is_moved_instead_of_waiting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_fake(tmp_path, ready_after=100) as (url, _):
        arguments = ["run", "--proxy-url", url, "--admin-key", ADMIN_KEY, "--fake-clock"]
        assert main([*arguments, "--only", "readiness.ready"]) == 0
    assert "readiness.ready.row" in capsys.readouterr().err


# Where it refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            [],
            "No proxy to judge: set PROXY_URL, or pass --proxy-url",
        ),
        (["--proxy-url", "localhost:80"], "--proxy-url has value 'localhost:80'. Expected a whole"),
        (["--proxy-url", "http://u:p@h"], "--proxy-url holds a password."),
        (["--proxy-url", "http://127.0.0.1:99999"], "its port is 99999, expected 1 to 65535"),
        (["--proxy-url", "http://[::1"], "which is no address"),
        (["--proxy-url", "http://h", "--report", "/dev/null/x"], "/dev/null/x"),
        (["--proxy-url", "http://127.0.0.1:1"], "nothing answers at http://127.0.0.1:1"),
        (["--proxy-url", "http://h", "--admin-key", "a b"], "--admin-key is no key"),
        (["--proxy-url", "http://h", "--ready-timeout", "0"], "--ready-timeout has value 0."),
        (["--proxy-url", "http://h", "--ready-timeout", "nan"], "--ready-timeout has value nan."),
        (["--proxy-url", "http://h", "--failure-image", "x"], "--failure-image has value 'x'."),
        (["--proxy-url", "http://h", "--fake-clock"], "--fake-clock needs the admin key"),
        (
            ["--proxy-url", "http://h", "--only", "health.answer.shap"],
            "Did you mean health.answer.shape?",
        ),
        (
            ["--proxy-url", "http://h", "--only", "health.answer", "--level", "should"],
            "--only and --level select no clause: none of these is a SHOULD.",
        ),
    ],
)
def test_a_target_that_cannot_be_judged_ends_with_2_and_the_reason(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_key_that_is_refused_is_2(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = proxy
    assert main(["run", "--proxy-url", url, "--admin-key", "another-key"]) == 2
    assert "The admin key is refused: 403" in capsys.readouterr().err
    assert main(["run", "--proxy-url", url, "--api-key", "another-key"]) == 2
    assert "An API key is refused: 401" in capsys.readouterr().err


def test_without_a_way_to_clean_up_nothing_is_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"success": True}
    with serve_fake(
        tmp_path / "a", replace_answer("DELETE", "/api/admin/users/", 200, nothing)
    ) as (url, _):
        assert main(["run", "--proxy-url", url, "--admin-key", ADMIN_KEY]) == 2
        assert "could not be removed" in capsys.readouterr().err
        assert len(usernames(url)) == 2  # the one that the sentence names
    gone = {"error": "Not Found", "message": "Route DELETE /api/sandboxes/x not found"}
    with serve_fake(tmp_path / "b", replace_answer("DELETE", "/api/sandboxes/", 404, gone)) as (
        url,
        fake,
    ):
        key = fake.user("zoe")
        assert main(["run", "--proxy-url", url, "--api-key", key]) == 2
        assert "Nothing was made" in capsys.readouterr().err
        assert call(url, key, "GET", "/api/sandboxes")["count"] == 0


@pytest.mark.parametrize(
    "arguments", [["--admin-kez", "a-secret"], ["--admin-kez=a-secret"], ["a-secret"]]
)
def test_an_argument_that_may_be_a_key_is_not_shown(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", *arguments])
    said = capsys.readouterr().err
    assert "unknown arguments" in said or "too many arguments: 1" in said
    assert "a-secret" not in said


def test_a_key_that_the_target_repeats_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"error": "Forbidden", "message": f"Invalid: {ADMIN_KEY}"}
    with serve_fake(tmp_path, replace_answer("GET", "/api/admin/users", 403, told)) as (url, _):
        for command in (["run"], ["sweep", "--all"]):
            assert main([*command, "--proxy-url", url, "--admin-key", ADMIN_KEY]) == 2
    said = "".join(capsys.readouterr())
    assert "Invalid: ***" in said
    assert ADMIN_KEY not in said


def test_control_characters_of_a_target_are_shown_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent, shown = "\x9b31m\u202e", r"\x9b31m\u202e"
    refused = {"error": "Forbidden", "message": sent}
    with serve_fake(tmp_path / "a", replace_answer("GET", "/api/admin/users", 403, refused)) as (
        url,
        _,
    ):
        assert main(["run", "--proxy-url", url, "--admin-key", ADMIN_KEY]) == 2
    listed = {"users": [{"id": "1", "username": f"contract-00aa11-{sent}"}]}
    with serve_fake(tmp_path / "b", replace_answer("GET", "/api/admin/users", 200, listed)) as (
        url,
        _,
    ):
        assert main(["sweep", "--all", "--proxy-url", url, "--admin-key", ADMIN_KEY]) == 1
    said = capsys.readouterr()
    assert shown in said.err
    assert f"NOT removed: user contract-00aa11-{shown} (" in said.out
    assert sent not in said.err + said.out


def test_a_redirecting_target_is_told_where_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_fake(tmp_path, replace_answer("GET", "/health", 308, {})) as (url, _):
        assert main(["run", "--proxy-url", url]) == 2
    assert "The target redirects to " in capsys.readouterr().err


def test_an_address_without_a_proxy_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # which tells the server that there is no lifespan
        await HTMLResponse("<h1>Not found</h1>", 404)(scope, receive, send)

    with serve_fake(tmp_path, lambda _app: page) as (url, _):
        assert main(["run", "--proxy-url", url]) == 2
    said = capsys.readouterr().err
    assert "does not answer as a proxy: GET /health is 404 with text/html" in said


def test_two_keys_of_one_user_are_2(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    url, fake = proxy
    key = fake.user("zoe")
    arguments = ["run", "--proxy-url", url, "--api-key", key, "--second-api-key", key]
    assert main(arguments) == 2
    assert "API_KEY and SECOND_API_KEY are both zoe's." in capsys.readouterr().err


def test_certificates_that_cannot_be_read_are_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    assert main(["run", "--proxy-url", "https://127.0.0.1:1"]) == 2
    assert "SSL_CERT_FILE names '/nowhere/ca.pem'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "kept", "key"),
    [
        (["run", "--admin-key", "k", "--long"], ["run", "--long"], "k"),
        (["run", "--admin-key=k"], ["run"], "k"),
        (["run", "--admin-key"], ["run", "--admin-key"], "before"),
        (["run", "--admin-key", "--long"], ["run", "--admin-key", "--long"], "before"),
        (["run", "--only", "x"], ["run", "--only", "x"], "before"),
    ],
)
def test_keys_move_from_the_arguments_into_the_environment(
    arguments: list[str], kept: list[str], key: str
) -> None:
    assert without_secrets(arguments, {"ADMIN_API_KEY": "before"}) == (
        kept,
        {"ADMIN_API_KEY": key},
    )


# The others -------------------------------------------------------------------------------------


def test_an_unexpanded_variable_counts_as_unset() -> None:
    values: dict[str, Any] = {
        "ready_timeout": 1.0,
        "long": False,
        "failure_image": [],
        "fake_clock": False,
    }
    variables = {
        "PROXY_URL": "http://127.0.0.1:1",
        "ADMIN_API_KEY": "${ADMIN_API_KEY}",
        "API_KEY": "${user_config.api_key}",
    }

    target = target_from(values, variables)

    assert (target.admin_key, target.api_key) == (None, None)


def test_list_prints_every_clause(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for clause in CLAUSES:
        assert f"{clause.id}  {clause.level}\n  {clause.sentence}\n  {clause.link}\n" in said


def test_list_prints_those_of_a_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--level", "should", "--only", "sandboxes.quota"]) == 0
    ids = re.findall(r"^(\S+)  (?:MUST|SHOULD)$", capsys.readouterr().out, re.MULTILINE)
    assert ids == ["sandboxes.quota.reply"]


def leave(url: str, fake: FakeProxy, run_id: str) -> str:
    """Create the user and sandbox that a killed run would leave; return the user's key."""
    key = fake.user(f"contract-{run_id}-alice")
    call(url, key, "POST", "/api/sandboxes", {"name": f"contract-{run_id}-box"})
    return key


def test_sweep_removes_the_leftovers_of_one_run(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    url, fake = proxy
    leave(url, fake, "00aa11")
    leave(url, fake, "22bb33")
    fake.user("contract-lawyer")
    arguments = ["sweep", "--proxy-url", url, "--admin-key", ADMIN_KEY]
    assert main([*arguments, "--all", "--dry-run"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "left: user contract-00aa11-alice",
        "left: user contract-22bb33-alice",
    ]
    assert main([*arguments, "--run", "00aa11"]) == 0
    assert capsys.readouterr().out == "removed: user contract-00aa11-alice\n"
    assert sorted(usernames(url)) == ["admin", "contract-22bb33-alice", "contract-lawyer"]
    assert main([*arguments, "--all"]) == 0
    assert sorted(usernames(url)) == ["admin", "contract-lawyer"]
    assert main([*arguments, "--all"]) == 0
    assert "Nothing is left of any run, as far as these keys show." in capsys.readouterr().out


def test_sweep_with_a_users_key_removes_that_users_sandboxes(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    url, fake = proxy
    key = fake.user("zoe")
    for name in ("mine", "contract-00aa11-box"):
        call(url, key, "POST", "/api/sandboxes", {"name": name})
    call(url, key, "POST", "/api/me/apikeys", {"name": "contract-00aa11-key"})
    assert main(["sweep", "--proxy-url", url, "--api-key", key, "--all"]) == 0
    said = capsys.readouterr().out
    assert said == "removed: sandbox contract-00aa11-box\nremoved: key contract-00aa11-key\n"
    assert [box["name"] for box in call(url, key, "GET", "/api/sandboxes")["sandboxes"]] == ["mine"]


def test_sweep_removes_a_deactivated_user(
    proxy: tuple[str, FakeProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    url, fake = proxy
    key = leave(url, fake, "00aa11")
    user_id = call(url, key, "GET", "/api/me")["user"]["id"]
    call(url, ADMIN_KEY, "PUT", f"/api/admin/users/{user_id}", {"is_active": False})
    assert main(["sweep", "--proxy-url", url, "--admin-key", ADMIN_KEY, "--all"]) == 0
    assert capsys.readouterr().out == "removed: user contract-00aa11-alice\n"


def test_sweep_names_leftovers_that_it_could_not_remove(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = {"error": "Internal Server Error", "message": "no"}
    with serve_fake(tmp_path, replace_answer("DELETE", "/api/sandboxes/", 500, fault)) as (
        url,
        fake,
    ):
        key = leave(url, fake, "00aa11")
        assert main(["sweep", "--proxy-url", url, "--api-key", key, "--all"]) == 1
    assert "NOT removed: sandbox contract-00aa11-box" in capsys.readouterr().out


def test_sweep_takes_no_id_that_no_run_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", "--proxy-url", "http://h", "--run", "contract-00aa11"])
    assert "'contract-00aa11' is no run's id, such as 0a1b2c" in capsys.readouterr().err


def test_sweep_needs_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--proxy-url", "http://h", "--all"]) == 2
    assert "No key to look with" in capsys.readouterr().err


def test_diff_shows_where_two_targets_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = list[str]()
    for name in ("sane", "deployed"):
        with serve_fake(tmp_path / name, as_deployed=name == "deployed") as (url, _):
            reports = tmp_path / f"{name}-reports"
            arguments = ["run", "--proxy-url", url, "--admin-key", ADMIN_KEY]
            arguments += ["--only", "health", "conventions.body"]
            assert main([*arguments, "--report", str(reports)]) == 0
            files.append(str(reports / "report.json"))
    capsys.readouterr()
    assert main(["diff", *files]) == 1
    said = capsys.readouterr().out
    assert re.search(r"pass +finding +conventions\.body\.malformed", said)
    assert main(["diff", files[0], files[0]]) == 0
    assert "No difference" in capsys.readouterr().out


def test_diff_of_reports_without_a_common_clause_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report: dict[str, Any] = {"format": 1, "target": "", "run_id": "", "started": ""}
    verdict: dict[str, Any] = {"sentence": "", "outcome": "pass", "notes": []}
    files = [tmp_path / f"{name}.json" for name in ("one.clause", "other.clause")]
    for file in files:
        file.write_text(json.dumps(report | {"verdicts": [verdict | {"id": file.stem}]}))
    assert main(["diff", *map(str, files)]) == 2
    assert "The reports have no clause in common" in capsys.readouterr().err


def test_diff_of_a_file_that_is_no_report_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")
    for path in (other, tmp_path / "missing.json"):
        assert main(["diff", str(path), str(other)]) == 2
        assert str(path.name) in capsys.readouterr().err or path == other
