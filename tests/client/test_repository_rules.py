"""Rules about names, pure: secrets, files that run later, paths, links, packs and answers."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client.errors import (
    CommandStateUnknown,
    FileChanged,
    FileRefused,
    NoSuchFile,
    ProxyUnreachable,
    RepositoryRefused,
    SandboxError,
    SandboxNotFound,
    SessionLost,
    WorkRefused,
)
from sandbox_client.files.outage import Outage
from sandbox_client.repository import names, sandbox_answers, sandbox_scripts
from sandbox_client.repository.bundle import PackLimits, measure_pack
from sandbox_client.repository.file_kinds import (
    SECRETS,
    TABLE,
    decide,
    find_runs_later,
    kind_of_secret,
    runs_later,
)
from sandbox_client.repository.outgoing import require_sendable
from sandbox_client.repository.snapshot import Survey
from sandbox_client.repository.transfer import Transfer
from sandbox_client.repository.transfer_errors import explain
from sandbox_client.repository.trees import parse_tree

from tests.client.repository_stub import commit_all, make_repository, write
from tests.client.strategies import many_examples
from tests.client.stubs import KEY

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client.files.remote import Files

SECRET = [
    *(".env", ".ENV", "a/.env.local", ".envrc", "prod.env", "id_rsa", "deploy/ID_ED25519", "x.PEM"),
    *(".aws/credentials", "home/.aws/credentials", "credentials.json", ".npmrc", ".netrc"),
    *("secrets.yml", "terraform.tfvars", "state.tfstate.backup", "vault.kdbx", ".ssh/config"),
    *("secrets/db.yml", "a/secrets/x", ".env/prod", ".gnupg/secring", "deploy_key"),
    *(
        "api_keys.json",
        "private_key.txt",
        "gcp-key.json",
        ".token",
        "prod.env.bak",
        ".python_history",
    ),
    *("service-account-prod.json", "kubeconfig.yaml", ".docker/config.json", "config/master.key"),
    *("password.txt", "oauth_token", "ssh_host_rsa_key", "private.asc", "ca.der", "wallet.dat"),
    *("env.production", "prod.env.local", ".mysql_history", ".config/gh/hosts.yml", "site.har"),
    *("serviceAccountKey.json", "rootkey.csv", "prod-secrets.yaml", ".envs/.production/.django"),
    *("deploy_rsa", "prod.kubeconfig", "aws-credentials", "vault_pass.txt", "secrets.py"),
    # Copies.
    *("server.key.disabled", "server.pem.txt", "id_rsa.2024-01-01"),
    *("server.key.bak", "d/.server.key.swp", "#id_rsa#", "x.tfvars~", "prod.env.old.1"),
]
HARMLESS = [
    *(".env.example", "a/.env.sample", "id_rsa.pub", "environment.py", "keys.py", "config.json"),
    *("credentials_test.py", "docs/secret_sharing.md", "README.md", "docker/config.json"),
    *("token.py", "env.test.ts", "design/tokens.json", "ssh_host_rsa_key.pub", ".env.example.bak"),
    *("src/secrets/manager.go", "docs/secrets.md", "Credentials.java", "lang/en/passwords.php"),
    *("api_key_test.rb", "id_editor.ts", ".yarnrc.yml", ".env.d.ts", "keyrings/apt.gpg"),
]


@pytest.mark.parametrize("path", SECRET)
def test_a_name_that_looks_like_a_secret(path: str) -> None:
    assert kind_of_secret(path) in SECRETS


@pytest.mark.parametrize("path", HARMLESS)
def test_a_name_that_does_not(path: str) -> None:
    assert kind_of_secret(path) == ""


def test_each_secret_waits_until_it_is_decided() -> None:
    paths = ["a.txt", ".env", "d/.env", "k.pem", "big.bin"]

    decision = decide(paths, ["d/.env", "nothing"], ["./k.pem", "*.bin"])

    assert decision.open == (".env",)
    assert decision.included == ("d/.env",)
    assert decision.left_out == ("k.pem", "big.bin")
    assert decision.unused == ("nothing",)


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("/.env", [".env"]),
        (".env", [".env", "d/.env", "d/e/.env"]),
        ("./.env", [".env", "d/.env", "d/e/.env"]),
        ("/*.env", [".env", "x.env"]),
        ("/d", ["d/.env", "d/e/.env", "d/[x].env"]),
        ("/d/", ["d/.env", "d/e/.env", "d/[x].env"]),
        ("/*/.env", ["d/.env"]),
        ("d/.env", ["d/.env"]),
        ("/e", []),
        ("/d/[x].env", ["d/[x].env"]),
        ("/", []),
        ("", []),
    ],
)
def test_a_pattern_fits_everywhere_or_only_from_the_top(pattern: str, fitting: list[str]) -> None:
    paths = [".env", "x.env", "d/.env", "d/e/.env", "d/[x].env"]

    assert list(decide(paths, [pattern], ()).included) == fitting
    assert list(decide(paths, (), [pattern]).left_out) == fitting


def test_the_advice_about_secrets_decides_about_these_files_alone() -> None:
    paths = [".env", "a b/server.key.bak", "*.env", "x[0-9].pem", "it's$(id)?.key"]
    others = ["d/.env", "x.env", "x1.pem", "it's$(id)1.key"]

    for count in (1, 5):
        advice = advice_about(paths[:count])
        sends, keeps = re.findall(r"{push ([^{}]+)}", advice)
        for option, line in (("--include", sends), ("--leave-out", keeps)):
            flags, patterns = shlex.split(line)[::2], shlex.split(line)[1::2]
            assert flags == [option] * count
            assert list(decide([*paths, *others], patterns, ()).included) == paths[:count]


@pytest.mark.parametrize("path", ["{x}.env", "`id`.env", "\x1b.env", "\udcff.env", f"{KEY}.env"])
def test_the_advice_about_secrets_repeats_plain_names_only(path: str) -> None:
    many = [f"{each}.env" for each in range(6)]

    expected = "Send each with {push --include /PATH}, or keep it here"
    assert advice_about([path]).startswith(expected)
    assert advice_about(many).startswith(expected)


def test_patterns_that_fit_no_secret_are_named() -> None:
    with pytest.raises(RepositoryRefused, match=r"by the name: \.env\. No file fits /PATH, x$"):
        require_sendable(survey_of([".env"]), decide([".env"], ["/PATH"], ["x"]))


def survey_of(paths: list[str]) -> Survey:
    return Survey(tuple(paths), frozenset(), tuple(paths), (), (), 0, "")


def advice_about(paths: list[str]) -> str:
    with pytest.raises(RepositoryRefused) as refused:
        require_sendable(survey_of(paths), decide(paths, (), ()))
    return refused.value.advice


def test_leaving_out_wins_over_including() -> None:
    decision = decide(["d/.env", "d/e/.env"], ["*"], ["d/e/"])

    assert (decision.open, decision.included, decision.left_out) == ((), ("d/.env",), ("d/e/.env",))


RUN = {
    ".githooks/pre-commit": "git, as hooks",
    "a/.husky/pre-push": "git, as hooks",
    "sub/.gitattributes": "git, as filters and submodules",
    ".envrc": "the shell, on entering the directory",
    ".VSCode/tasks.json": "an editor",
    "app/.idea/workspace.xml": "an editor",
    "AGENTS.md": "a coding agent",
    ".github/workflows/ci.yml": "continuous integration",
    "Makefile": "a build or a test run",
    "lib/setup.py": "a build or a test run",
    "pyproject.toml": "a build or a test run",
    "web/package.json": "a package manager",
    "vite.config.ts": "tools of JavaScript, on a build or in an editor",
    "Dockerfile.dev": "containers and machines",
    ".devcontainer/devcontainer.json": "containers and machines",
    "run.sh": "you, as a program",
    # A link in place of a directory, and hidden directories below others.
    ".vscode": "an editor",
    "sub/.claude": "a coding agent",
    "pkg/.claude/settings.json": "a coding agent",
    "pkg/.cargo/config.toml": "a build or a test run",
    "sub/.devcontainer/devcontainer.json": "containers and machines",
    ".bazelrc": "a build or a test run",
    ".gdbinit": "a debugger or an interactive shell",
}


@pytest.mark.parametrize(("path", "runner"), RUN.items())
def test_a_file_that_runs_later(path: str, runner: str) -> None:
    assert runs_later(path) == runner


@pytest.mark.parametrize("path", ["src/hooks/use_it.ts", "a/gradle/x", "vscode/x", "my.vscode/x"])
def test_a_file_that_does_not_run_later(path: str) -> None:
    assert runs_later(path) == ""


def test_a_program_runs_later_and_a_text_does_not() -> None:
    found = find_runs_later([("tool", "100755"), ("notes.txt", "100644"), ("src/a.py", "100644")])

    assert [each.path for each in found] == ["tool"]


def test_patterns_of_files_that_run_later_are_in_lower_case() -> None:
    patterns = [each for patterns in TABLE.values() for each in patterns]

    assert patterns == [each.lower() for each in patterns]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "\x1b", ".git", "x" * 256])
def test_a_component_that_is_refused(name: str) -> None:
    assert names.name_problem(name)


@pytest.mark.parametrize(
    "name", [".gitignore", ".github", "git", "a.git", "...", "\u00e9", "\udcff", "git~x", "-n"]
)
def test_a_component_that_is_not(name: str) -> None:
    assert names.name_problem(name) == ""


@pytest.mark.parametrize(
    ("path", "target"),
    [("l", "a"), ("l", "d/e"), ("d/l", "../a"), ("d/e/l", "../../x/y"), ("l", "."), ("l", "./a")],
)
def test_a_link_that_stays_inside(path: str, target: str) -> None:
    assert names.link_problem(path, target) == ""


part = st.sampled_from(["a", "b", "..", "."])
links = st.dictionaries(
    st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a"]),
    st.lists(part, min_size=1, max_size=5).map("/".join),
    min_size=1,
)


@given(links)
@many_examples
def test_links_that_are_allowed_stay_inside_on_a_real_file_system(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]
) -> None:
    top = tmp_path_factory.mktemp("links") / "outer" / "top"
    (top / "d" / "e").mkdir(parents=True)
    allowed = {p: t for p, t in links.items() if not names.link_problem(p, t)}
    for path, target in allowed.items():
        (top / path).symlink_to(target)

    for path in allowed:
        real = os.path.realpath(top / path)
        assert (real + "/").startswith(f"{os.path.realpath(top)}/")
        assert not names.leads_out(path, allowed)


@given(links)
@many_examples
def test_a_way_out_by_links_is_found_as_the_file_system_goes(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]
) -> None:
    top = tmp_path_factory.mktemp("links") / "outer" / "top"
    (top / "d" / "e").mkdir(parents=True)
    for path, target in links.items():
        (top / path).symlink_to(target)

    for path in links:
        try:
            real = os.path.realpath(top / path, strict=True)
        except OSError:  # it leads nowhere
            continue
        if not (real + "/").startswith(f"{os.path.realpath(top)}/"):
            assert names.leads_out(path, links)


def test_real_packs_are_measured_as_git_unpacks_them(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"a.bin": os.urandom(200_000), "b": "x\n" * 999})
    write(top, {"b": "x\n" * 999 + "y\n"})
    commit_all(top)
    raw = subprocess.run(
        ["git", "pack-objects", "--all", "--revs", "--stdout", "-q"],
        cwd=top,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    ).stdout

    size = measure_pack(io.BytesIO(raw), PackLimits(100, 10**6, 10**6), 20)

    assert size.objects == 7
    assert size.largest == 200_000


@given(st.binary(max_size=200))
@many_examples
def test_any_bytes_are_measured_or_refused(raw: bytes) -> None:
    pack = b"PACK\0\0\0\2\0\0\0\1" + raw

    try:
        measure_pack(io.BytesIO(pack), PackLimits(10, 1000, 1000), 20)
    except WorkRefused:
        return
    assert zlib.decompressobj().decompress(raw[1:]) is not None


@given(st.binary(max_size=100))
@many_examples
def test_any_bytes_are_a_tree_or_refused(raw: bytes) -> None:
    try:
        entries = parse_tree(raw, 20)
    except WorkRefused:
        return
    assert all(len(each.object_id) == 40 for each in entries)


def answer(fields: str) -> str:
    return f'noise\r\n{{"remote_sandbox":{fields}}}\r\n'


def test_an_answer_is_read_from_a_terminal() -> None:
    output = answer('"checked","git":"2.40","state":"ours","head":"","sent":"","has_work":true')

    assert sandbox_answers.read_checked(output).has_work


@pytest.mark.parametrize("verb", ["push", "pull"])
@pytest.mark.parametrize(
    "error",
    [
        FileRefused("/home/gem/.remote-sandbox-0a1b2c3d/run cannot be written: No space left"),
        FileRefused("A command on the files of sandbox 'box' failed (killed): it printed nothing"),
        FileChanged("~/.remote-sandbox-0a1b2c3d/bundle has another size"),
        NoSuchFile("/home/gem/.remote-sandbox-0a1b2c3d/00000000/0.1 does not exist"),
        CommandStateUnknown("The command was sent, its response was lost, and its session is gone"),
        SessionLost("Sandbox 'box' has lost the session of the command, which ended with it"),
    ],
)
def test_an_error_on_the_way_is_explained_in_words_of_the_verb(
    error: SandboxError, verb: str
) -> None:
    transfer = Transfer("box", cast("Files", SimpleNamespace(outage=Outage())), print, verb)

    explained = explain(error, transfer, verb)

    assert not re.search(r"remote-sandbox-|temporary file\S", explained.message)
    assert f"epeat it with {{{verb}}}" in explained.advice
    assert "the request" not in explained.cause


def test_a_pull_from_a_deleted_sandbox_says_what_is_left() -> None:
    transfer = Transfer("box", cast("Files", SimpleNamespace(outage=Outage())), print, "pull")

    explained = explain(SandboxNotFound("No sandbox 'box' of yours"), transfer, "pull")

    assert isinstance(explained, SandboxNotFound)
    assert explained.message.startswith("No sandbox 'box' of yours any more: it was deleted, or")
    assert "what was pulled is in its branch" in explained.advice


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_an_outage_is_explained_with_what_a_repetition_does(verb: str) -> None:
    outage = Outage()
    outage.has_answered = True
    transfer = Transfer("box", cast("Files", SimpleNamespace(outage=outage)), print, verb)

    advice = explain(ProxyUnreachable("No answer"), transfer, verb).advice

    assert "and goes on where it broke off. Wait until the proxy answers" in advice
    assert f"then repeat it with {{{verb}}}" in advice


@pytest.mark.parametrize(
    ("reason", "verb", "message", "advice"),
    [
        ("busy", "push", "changed while they were read", "Repeat it with {push}"),
        ("busy", "pull", "changed while they were read", "Repeat it with {pull}"),
        ("storage", "pull", "cannot read a file, or write", "then repeat it with {pull}"),
        ("occupied", "push", "not sent from here", "push --directory"),
        ("occupied", "pull", "is not the repository any more", "remote-sandbox cp"),
        ("other", "push", "has another repository", "push --directory"),
        ("other", "pull", "has another repository", "Fetch the work from the repository"),
        ("directory", "push", "cannot be used: it cannot be made", "repeat it with {push}"),
        ("unbundle", "push", "Git in the sandbox failed (unbundle)", "repeat it with {push}"),
    ],
)
def test_a_reason_is_explained_in_words_of_the_verb(
    reason: str, verb: str, message: str, advice: str
) -> None:
    detail = "it cannot be made" if reason == "directory" else ""

    error = sandbox_answers.refusal(reason, detail, verb)

    assert message in error.message
    assert advice in error.advice
    assert "{again}" not in error.advice


@pytest.mark.parametrize("reason", ["no-git", "old-git", "occupied", "has-commits", "busy"])
def test_a_reason_of_a_script_is_explained(reason: str) -> None:
    output = answer(f'"refused","reason":"{reason}","detail":""')

    with pytest.raises(RepositoryRefused) as caught:
        sandbox_answers.read_received(output)

    assert caught.value.cause.startswith("the sandbox")
    assert caught.value.advice


def test_an_unknown_reason_is_shown_with_its_detail() -> None:
    output = answer('"refused","reason":"unbundle","detail":"no space left"')

    with pytest.raises(RepositoryRefused, match=r"failed \(unbundle\): no space left"):
        sandbox_answers.read_received(output)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "sh: not found",
        answer('"checked"'),
        answer('"exported","tip":"HEAD","head":"x"'),
        answer(f'"exported","tip":"{"1" * 40}","head":"{"1" * 40}","size":-1'),
        answer(f'"exported","tip":"{"1" * 40}","head":"{"1" * 40}","size":1,"sha256":"../x"'),
        '{"remote_sandbox":',
        answer(f'"exported","tip":{"[" * 2000}{"]" * 2000}'),
    ],
)
def test_an_answer_that_is_not_one(output: str) -> None:
    with pytest.raises(WorkRefused, match="without a readable answer"):
        sandbox_answers.read_exported(output)


def test_a_command_line_is_one_line() -> None:
    assert "\n" not in sandbox_scripts.check("/sandbox/it's")
