"""The configuration and the environment of the person change nothing of a push and a pull."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from sandbox_client.repository.apply import here, ignored_paths
from sandbox_client.repository.branch import default_branch

from tests.client.repository_stub import NAME, Exchange, commit_all, git, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client.repository.amount import Amount
    from sandbox_client.repository.summary import Summary

PROGRAM = "{at}/program"  # leaves the file `ran`
CONFIGURATIONS: dict[str, dict[str, str | dict[str, str]]] = {
    "programs": {
        "core": "pager editor askPass sshCommand gitProxy fsmonitor alternateRefsCommand",
        "sequence": "editor",
        "gpg": "program",
        "gpg.ssh": "program",
        "diff": "external",
        "diff.any": "command textconv",
        "merge.any": "driver",
        "credential": "helper",
        "interactive": "diffFilter",
        "pager": "log show diff status config branch",
        "uploadpack": "packObjectsHook",
        "alias": "log show diff status rev-list ls-files",
        "trailer.any": "command",
    },
    "folders": {
        "core": {"hooksPath": "{at}/hooks", "attributesFile": "{at}/attributes"},
        "init": {"templateDir": "{at}/template", "defaultBranch": "trunk"},
        "diff": {"orderFile": "{at}/missing"},
        "blame": {"ignoreRevsFile": "{at}/missing"},
        "include": {"path": "{at}/missing"},
    },
    "signatures": {
        "log": {"showSignature": "true"},
        "commit": {"gpgSign": "true", "template": "{at}/missing"},
        "tag": {"gpgSign": "true"},
        "push": {"gpgSign": "true"},
        "merge": {"verifySignatures": "true"},
        "gpg": {"program": PROGRAM, "format": "ssh"},
    },
    "texts": {
        "color": dict.fromkeys(
            ["ui", "diff", "status", "branch", "interactive", "showBranch"], "always"
        ),
        "core": {"quotePath": "true", "abbrev": "4", "whitespace": "cr-at-eol", "commentChar": "x"},
        "i18n": {"commitEncoding": "UTF-16", "logOutputEncoding": "UTF-16"},
        "format": {"pretty": "fuller", "notes": "*"},
        "log": {
            "decorate": "full",
            "date": "relative",
            "abbrevCommit": "true",
            "follow": "true",
            "showRoot": "false",
            "mailmap": "true",
            "diffMerges": "off",
        },
        "apply": {"whitespace": "error", "ignoreWhitespace": "change"},
        "column": {"ui": "always"},
    },
    "diffs": {
        "diff": {
            "noprefix": "true",
            "mnemonicPrefix": "true",
            "relative": "true",
            "renames": "copies",
            "submodule": "log",
            "ignoreSubmodules": "all",
            "algorithm": "histogram",
            "context": "0",
            "interHunkContext": "9",
            "wordRegex": ".",
            "colorMoved": "zebra",
            "suppressBlankEmpty": "true",
            "statGraphWidth": "1",
            "dirstat": "lines",
        },
        "status": {
            "short": "true",
            "branch": "true",
            "showUntrackedFiles": "no",
            "renames": "copies",
            "showStash": "true",
            "relativePaths": "true",
            "submoduleSummary": "true",
        },
        "merge": {"conflictStyle": "diff3", "renames": "false"},
    },
    "repositories": {
        "submodule": {"recurse": "true"},
        "fetch": {"recurseSubmodules": "true", "prune": "true", "fsckObjects": "false"},
        "transfer": {"hideRefs": "refs"},
        "safe": {"bareRepository": "explicit"},
        "init": {"defaultObjectFormat": "sha256", "defaultRefFormat": "reftable"},
        "core": {
            "splitIndex": "true",
            "untrackedCache": "true",
            "logAllRefUpdates": "always",
            "sharedRepository": "group",
            "preloadIndex": "false",
            "bigFileThreshold": "1",
            "multiPackIndex": "false",
        },
        "index": {"version": "4", "threads": "1", "sparse": "true"},
        "feature": {"manyFiles": "true", "experimental": "true"},
        "pack": {"packSizeLimit": "1m", "useSparse": "false", "writeBitmaps": "true"},
        "repack": {"writeBitmaps": "true"},
        "gc": {"auto": "1", "autoDetach": "false", "pruneExpire": "now"},
        "user": {"useConfigOnly": "true"},
        "protocol": {"allow": "always"},
        "remote": {"pushDefault": "x"},
    },
}
VARIABLES = {
    "GIT_DIR": "{at}/elsewhere",
    "GIT_WORK_TREE": "{at}",
    "GIT_INDEX_FILE": "{at}/index",
    "GIT_OBJECT_DIRECTORY": "{at}/objects",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "{at}/objects",
    "GIT_NAMESPACE": "x",
    "GIT_CEILING_DIRECTORIES": "/",
    "GIT_SHALLOW_FILE": "{at}/shallow",
    "GIT_DEFAULT_HASH": "sha256",
    "GIT_ATTR_SOURCE": "HEAD",
    "GIT_EXTERNAL_DIFF": PROGRAM,
    "GIT_PAGER": PROGRAM,
    "PAGER": PROGRAM,
    "EDITOR": PROGRAM,
    "GIT_EDITOR": PROGRAM,
    "GIT_SSH": PROGRAM,
    "GIT_ASKPASS": PROGRAM,
    "GIT_TRACE": "1",
    "GIT_AUTHOR_NAME": "Eve",
    "GIT_COMMITTER_DATE": "1 +0000",
    "GIT_ICASE_PATHSPECS": "1",
    "GIT_CONFIG_PARAMETERS": "'color.ui=always' 'status.showUntrackedFiles=no'",
}


def configuration(kind: str, at: Path) -> str:
    """Return the text of a .gitconfig, and make the files that it names."""
    program = at / "program"
    write(at, {"program": f"#!/bin/sh\ntouch '{at}/ran'\n", "attributes": "* diff=any merge=any\n"})
    write(at, dict.fromkeys([f"hooks/{each}" for each in HOOKS], program.read_text()))
    shutil.copytree(at / "hooks", at / "template" / "hooks")
    for each in (program, *at.glob("hooks/*"), *at.glob("template/hooks/*")):
        each.chmod(0o755)
    lines: list[str] = []
    for section, values in CONFIGURATIONS.get(kind, {}).items():
        start, _, end = section.partition(".")
        lines.append(f'[{start} "{end}"]' if end else f"[{start}]")
        settings = dict.fromkeys(values.split(), PROGRAM) if isinstance(values, str) else values
        prefix = "!" if start == "alias" else ""
        lines += [f"{name} = {prefix}{value.format(at=at)}" for name, value in settings.items()]
    return "\n".join([*lines, ""])


HOOKS = ["post-checkout", "post-commit", "post-index-change", "pre-commit", "reference-transaction"]


@dataclass
class Result:
    """All that a push and a pull give, which the settings of the person must not change."""

    amounts: list[Amount]
    commits: list[str]
    summaries: list[Summary]
    clashes: tuple[str, ...]
    files: dict[str, bytes]


def exchange_all(at: Path, config: str, variables: dict[str, str] | None = None) -> Result:
    """Push twice, pull and apply, with a .gitconfig and environment of the person."""
    files: dict[str, str | bytes] = {
        "a.txt": "one\n",
        "d/caf\u00e9.txt": "two\n",
        ".gitignore": "*.log\n",
    }
    top = make_repository(at / "person" / "repository", files)
    write(top, {"a.txt": "1\n", "x.log": "x\n"})
    commit_all(top)
    write(top, {"new.txt": "x\n", "a.txt": "2\n"})
    (at / "sandbox").mkdir()
    exchange = Exchange(top, at / "sandbox" / "box")
    exchange.history, exchange.variables = True, variables or {}
    home = top.parent / ".gitconfig"
    home.write_text(config)
    first, _ = exchange.push()
    sent = exchange.store.require(NAME)
    write(exchange.box, {"a.txt": "3\n", "d/caf\u00e9.txt": " two \n", "x.log": "y\n"})
    git(exchange.box, "add", "-f", "x.log")
    commit_all(exchange.box, "W\u00f6rk")
    imported, pulled = exchange.pull()
    ignored = ignored_paths(exchange.repository, [each.path for each in pulled.files])
    clashes = here(exchange.repository, ignored)
    home.unlink()
    git(top, "reset", "-q", "--hard", "HEAD")
    git(top, "clean", "-fdqx")
    git(top, "branch", "-q", "-D", default_branch(NAME))
    home.write_text(config)
    exchange.history = False
    second, _ = exchange.push()
    write(exchange.box, {"a.txt": "4\n", "new.txt": "y \n"})
    commit_all(exchange.box, "More")
    applied = exchange.apply(allow_runs_later=True)
    home.unlink()
    assert git(top, "fsck", "--no-dangling") == ""
    commits = [sent.commit, imported.new, exchange.store.require(NAME).commit]
    found = {each.name: each.read_bytes() for each in top.iterdir() if each.is_file()}
    return Result([first, second], commits, [pulled, applied.summary], clashes, found)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The result without any configuration of a person."""
    return exchange_all(tmp_path_factory.mktemp("plain"), "")


@pytest.mark.parametrize("kind", [*CONFIGURATIONS, "variables"])
def test_settings_of_the_person_change_nothing(plain: Result, tmp_path: Path, kind: str) -> None:
    config = configuration(kind, tmp_path)
    variables = {name: each.format(at=tmp_path) for name, each in VARIABLES.items()}

    found = exchange_all(tmp_path, config, variables if kind == "variables" else {})

    assert found == plain
    assert plain.files["new.txt"] == b"y \n"
    assert not (tmp_path / "ran").exists()
