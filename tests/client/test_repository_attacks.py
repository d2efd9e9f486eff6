"""Work from a sandbox that is made to do harm: each attack is refused, nothing is changed."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sandbox_client.errors import WorkRefused
from sandbox_client.repository.bundle import PackLimits
from sandbox_client.repository.git import ProcessLimits
from sandbox_client.repository.quarantine import Limits, checked_work, require_bundle

from tests.client.repository_stub import (
    NAME,
    PATH,
    Exchange,
    commit_all,
    fingerprint,
    git,
    make_repository,
    write,
)

FILE, PROGRAM, LINK, DIRECTORY, SUBMODULE = "100644", "100755", "120000", "40000", "160000"
KILO, MEGA = 1024, 1024 * 1024


@dataclass
class Attacker:
    """A sandbox with git objects that are made by hand."""

    box: Path
    exchange: Exchange

    def store(self, kind: str, raw: bytes) -> str:
        words = ["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"]
        result = subprocess.run(
            words, cwd=self.box, env={"PATH": PATH}, input=raw, capture_output=True, check=True
        )
        return result.stdout.decode().strip()

    def blob(self, content: str | bytes = b"x\n") -> str:
        return self.store("blob", content.encode() if isinstance(content, str) else content)

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """Store a tree of (mode, name, id), in git's order."""

        def order(entry: tuple[str, str, str]) -> bytes:
            return os.fsencode(entry[1]) + (b"/" if entry[0] == DIRECTORY else b"")

        return self.store(
            "tree",
            b"".join(
                f"{mode} ".encode() + os.fsencode(name) + b"\0" + bytes.fromhex(object_id)
                for mode, name, object_id in sorted(entries, key=order)
            ),
        )

    def nested(self, path: str, mode: str, object_id: str) -> str:
        *parents, name = path.split("/")
        made = self.tree((mode, name, object_id))
        for each in reversed(parents):
            made = self.tree((DIRECTORY, each, made))
        return made

    def with_sent(self, *entries: tuple[str, str, str]) -> str:
        """Store the tree that was sent, with more entries."""
        rows = [each.split(None, 3) for each in git(self.box, "ls-tree", "HEAD").splitlines()]
        return self.tree(
            *((mode.lstrip("0"), name, object_id) for mode, _, object_id, name in rows), *entries
        )

    def commit(self, tree: str, *parents: str, message: str = "Work") -> str:
        words = [word for each in parents or ("HEAD",) for word in ("-p", each)]
        return git(self.box, "commit-tree", tree, *words, "-m", message)

    def refused(self, tip: str, limits: Limits | None = None) -> str:
        """Send `tip` as the work; return the message with which it is refused."""
        git(self.box, "update-ref", "refs/remote-sandbox/work", tip)
        bundle = self.exchange.scratch / "attack.bundle"
        sent = self.exchange.store.require(NAME)
        git(
            self.box, "bundle", "create", str(bundle), "refs/remote-sandbox/work", f"^{sent.commit}"
        )
        return self.refused_bundle(bundle, tip, limits)

    def refused_bundle(self, bundle: Path, tip: str, limits: Limits | None = None) -> str:
        before = fingerprint(self.exchange.top)
        sent = self.exchange.store.require(NAME)
        with (
            pytest.raises(WorkRefused) as caught,
            checked_work(self.exchange.store, sent, bundle, tip, limits),
        ):
            pass
        assert fingerprint(self.exchange.top) == before
        assert not list(self.exchange.repository.store_dir.glob("tmp-*"))
        return caught.value.message


def make_attacker(tmp_path: Path) -> Attacker:
    top = make_repository(
        tmp_path / "person" / "repository",
        {"a.txt": "one\n", "d/e/f.txt": "two\n", "makefile": "x:\n", "Makefile": "y:\n"},
    )
    (tmp_path / "sandbox").mkdir()
    exchange = Exchange(top, tmp_path / "sandbox" / "box")
    exchange.push()
    return Attacker(exchange.box, exchange)


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Attacker:
    """Return an attacker for all tests in which nothing may change."""
    return make_attacker(tmp_path_factory.mktemp("attacks"))


@pytest.fixture
def fresh(tmp_path: Path) -> Attacker:
    """Return an attacker for one test, which may change the sandbox."""
    return make_attacker(tmp_path)


DOT_GIT = {
    "plain": ".git",
    "upper": ".GIT",
    "mixed": ".gIt",
    "NTFS short name": "git~1",
    "NTFS trailing dot": ".git.",
    "NTFS trailing space": ".git ",
    "NTFS stream": ".git::$INDEX_ALLOCATION",
    "NTFS backslash": "a\\.git\\config",
    "HFS zero-width": ".g\u200cit",
    "HFS byte order mark": ".git\ufeff",
    "full width letters": ".\uff27it",
    "leading dot": ".\u200d\u200dgit",
}
NAMES = {
    "parent": "..",
    "itself": ".",
    "slash": "a/../../b",
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "delete": "a\x7fb",
    "C1 control": "a\u009b2Jb",
    "right to left": "a\u202ecod.exe",
    "too long": "n" * 300,
}


@pytest.mark.parametrize("mode", [FILE, DIRECTORY], ids=["file", "directory"])
@pytest.mark.parametrize("name", DOT_GIT.values(), ids=DOT_GIT)
def test_a_name_that_is_read_as_dot_git(attacker: Attacker, name: str, mode: str) -> None:
    content = attacker.blob() if mode == FILE else attacker.tree((FILE, "config", attacker.blob()))

    message = attacker.refused(attacker.commit(attacker.with_sent((mode, name, content))))

    assert re.search(r"read as \.git|hasDotgit|refused the work", message)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_that_leads_elsewhere_or_is_not_shown(attacker: Attacker, name: str) -> None:
    message = attacker.refused(attacker.commit(attacker.with_sent((FILE, name, attacker.blob()))))

    assert message.isprintable()


def test_a_hostile_name_in_a_commit_that_is_undone_by_the_next(attacker: Attacker) -> None:
    first = attacker.commit(attacker.with_sent((FILE, "a\rb", attacker.blob())))
    second = attacker.commit(git(attacker.box, "rev-parse", "HEAD^{tree}"), first)

    assert "has control characters" in attacker.refused(second)


LINKS = {
    "absolute": ("l", "/etc/passwd", "an absolute path"),
    "Windows drive": ("l", "C:/Windows", "an absolute path"),
    "up": ("l", "../outside", "out of the repository"),
    "up from a directory": ("d/e/l", "../../../outside", "out of the repository"),
    "up again": ("l", "d/../../outside", "goes up again"),
    "into .git": ("l", ".git/hooks", "into .git"),
    "into .git of a directory": ("d/l", "../.GIT/hooks", "into .git"),
    "attributes as a link": (".gitattributes", "a.txt", "git reads as a file"),
    "empty": ("l", "", "invalid target"),
    "backslashes": ("l", "..\\..\\outside", "invalid target"),
}


@pytest.mark.parametrize(("path", "target", "problem"), LINKS.values(), ids=LINKS)
def test_a_link_that_leads_out(attacker: Attacker, path: str, target: str, problem: str) -> None:
    message = attacker.refused(attacker.commit(attacker.nested(path, LINK, attacker.blob(target))))

    assert problem in message


@pytest.fixture
def with_links(tmp_path: Path) -> Attacker:
    """Return a sandbox with two links of the person's: one leads out, the other up again."""
    top = make_repository(tmp_path / "person" / "repository", {"a.txt": "one\n", "d/e/f": "x\n"})
    (top / "out").symlink_to("../..")
    (top / "up").symlink_to("d/e/../../a.txt")
    commit_all(top)
    (tmp_path / "sandbox").mkdir()
    exchange = Exchange(top, tmp_path / "sandbox" / "box")
    exchange.push()
    return Attacker(exchange.box, exchange)


@pytest.mark.parametrize("is_removed_later", [False, True])
def test_a_link_that_leads_out_by_a_link_that_the_person_has(
    with_links: Attacker, *, is_removed_later: bool
) -> None:
    sent = git(with_links.box, "rev-parse", "HEAD^{tree}")
    link = with_links.with_sent((LINK, "l", with_links.blob("out/elsewhere")))
    tip = with_links.commit(link)
    if is_removed_later:
        tip = with_links.commit(sent, tip)

    assert "l is a link out of the repository by way" in with_links.refused(tip)


def test_a_link_of_the_person_that_a_new_one_leads_out(with_links: Attacker) -> None:
    (with_links.box / "d" / "e" / "f").unlink()
    (with_links.box / "d" / "e").rmdir()
    (with_links.box / "d" / "e").symlink_to("../d")
    tip = commit_all(with_links.box)

    assert "up is a link out of the repository by way" in with_links.refused(tip)


def test_links_of_the_person_are_no_attack(with_links: Attacker) -> None:
    (with_links.box / "l").symlink_to("d/e/f")
    commit_all(with_links.box)

    assert with_links.exchange.pull()[0].is_changed


def test_links_in_very_many_commits(with_links: Attacker) -> None:
    tip = with_links.commit(with_links.with_sent((LINK, "l", with_links.blob("a.txt"))))
    tip = with_links.commit(with_links.with_sent((LINK, "m", with_links.blob("a.txt"))), tip)

    assert "too many links" in with_links.refused(tip, Limits(links=7))


def test_a_link_in_a_directory_that_moved_up(attacker: Attacker) -> None:
    inside = attacker.nested("d/e/l", LINK, attacker.blob("../../a.txt"))
    first = attacker.commit(inside)
    moved = attacker.commit(git(attacker.box, "rev-parse", f"{first}:d/e"), first)

    assert "out of the repository" in attacker.refused(moved)


TWINS = {
    "case": ("a.txt", "A.TXT"),
    "Unicode form": ("caf\u00e9", "cafe\u0301"),
    "sharp s": ("stra\u00dfe", "strasse"),
    "zero-width": ("b", "b\u200d"),
    "trailing dot": ("b", "b."),
}


@pytest.mark.parametrize(("first", "second"), TWINS.values(), ids=TWINS)
def test_twins_on_some_file_systems(attacker: Attacker, first: str, second: str) -> None:
    blob = attacker.blob()
    tree = attacker.tree((FILE, first, blob), (FILE, second, blob))

    message = attacker.refused(attacker.commit(attacker.with_sent((DIRECTORY, "n", tree))))

    assert "is one file with" in message


def test_a_link_and_a_directory_that_are_twins(attacker: Attacker) -> None:
    tree = attacker.with_sent(
        (LINK, "D", attacker.blob("a.txt")),
    )

    assert "is one file with" in attacker.refused(attacker.commit(tree))


def test_twins_that_the_person_has_are_no_attack(fresh: Attacker) -> None:
    write(fresh.box, {"new.txt": "x\n"})
    commit_all(fresh.box)

    assert fresh.exchange.pull()[0].is_changed


def test_a_new_submodule(attacker: Attacker) -> None:
    tree = attacker.with_sent((SUBMODULE, "sub", "1" * 40))

    assert "new or changed submodule" in attacker.refused(attacker.commit(tree))


def test_a_file_and_a_directory_of_one_name(attacker: Attacker) -> None:
    tree = attacker.with_sent((FILE, "d", attacker.blob()))

    assert "Git refused the work" in attacker.refused(attacker.commit(tree))


def test_an_odd_mode(attacker: Attacker) -> None:
    tree = attacker.with_sent(("104755", "setuid", attacker.blob()))

    assert attacker.refused(attacker.commit(tree))


def test_a_submodule_url_that_is_an_option(attacker: Attacker) -> None:
    text = '[submodule "s"]\n\tpath = s\n\turl = --upload-pack=touch /tmp/x\n'
    tree = attacker.with_sent((FILE, ".gitmodules", attacker.blob(text)))

    assert "gitmodulesUrl" in attacker.refused(attacker.commit(tree))


def test_a_history_without_what_was_sent(attacker: Attacker) -> None:
    tree = git(attacker.box, "rev-parse", "HEAD^{tree}")
    orphan = git(attacker.box, "commit-tree", tree, "-m", "Orphan")

    assert "does not descend" in attacker.refused(orphan)


def test_a_merge_of_a_history_that_was_not_sent_is_checked_too(attacker: Attacker) -> None:
    hostile = attacker.tree((FILE, "a\tb", attacker.blob()))
    orphan = git(attacker.box, "commit-tree", hostile, "-m", "Orphan")
    merge = attacker.commit(git(attacker.box, "rev-parse", "HEAD^{tree}"), "HEAD", orphan)

    assert "has control characters" in attacker.refused(merge)


def test_a_commit_of_the_person_that_was_not_sent(attacker: Attacker) -> None:
    bundle = attacker.exchange.scratch / "b"
    bundle.write_bytes(b"# v2 git bundle\n-" + b"1" * 40 + b" \n" + b"2" * 40 + b" refs/x\n\nPACK")

    assert "does not descend" in attacker.refused_bundle(bundle, "2" * 40)


HEADERS = {
    "no bundle": b"<html>",
    "no line end": b"# v2 git bundle",
    "unknown version": b"# v9 git bundle\n\n",
    "unknown capability": b"# v3 git bundle\n@filter=blob:none\n\n",
    "long line": b"# v2 git bundle\n" + b"a" * 10_000,
    "many lines": b"# v2 git bundle\n" + (b"1" * 40 + b" refs/x\n") * 5000,
    "other hash": b"# v3 git bundle\n@object-format=sha256\n\n",
    "no ref": b"# v2 git bundle\n\n",
    "another ref": b"# v2 git bundle\n" + b"1" * 40 + b" HEAD\n\n",
    "no pack": b"# v2 git bundle\n" + b"2" * 40 + b" HEAD\n\nnothing",
    "cut short": b"# v2 git bundle\n" + b"2" * 40 + b" HEAD\n\nPACK\0\0\0\2\0\0\0\7",
}


@pytest.mark.parametrize("raw", HEADERS.values(), ids=HEADERS)
def test_a_damaged_bundle(attacker: Attacker, raw: bytes) -> None:
    bundle = attacker.exchange.scratch / "b"
    bundle.write_bytes(raw)

    assert attacker.refused_bundle(bundle, "2" * 40)


def pack(*objects: bytes) -> bytes:
    """Return a bundle that needs no commit, with a pack of these objects without a checksum."""
    head = b"# v2 git bundle\n" + b"2" * 40 + b" HEAD\n\nPACK\0\0\0\2"
    return head + struct.pack(">I", len(objects)) + b"".join(objects) + b"\0" * 20


def number(value: int, kind: int | None = None) -> bytes:
    """Return git's encoding of a size, with the kind of an object or without."""
    out: list[int] = []
    if kind is not None:
        out.append(kind << 4 | value & 15)
        value >>= 4
    else:
        out.append(value & 0x7F)
        value >>= 7
    while value:
        out[-1] |= 0x80
        out.append(value & 0x7F)
        value >>= 7
    return bytes(out)


SMALL = Limits(pack=PackLimits(objects=100, total=10 * MEGA, largest=MEGA))
BOMBS = {
    "many objects": (
        b"# v2 git bundle\n" + b"2" * 40 + b" HEAD\n\nPACK\0\0\0\2\xff\xff\xff\xff",
        "objects, more than",
    ),
    "a large object": (
        pack(number(50 * MEGA, 3) + zlib.compress(b"\0" * 50 * MEGA)),
        "an object of 52428800 bytes",
    ),
    "an object that says it is small": (
        pack(number(10, 3) + zlib.compress(b"\0" * 5 * MEGA)),
        "no valid pack",
    ),
    "many that are large together": (
        pack(*[number(MEGA, 3) + zlib.compress(b"\0" * MEGA)] * 11),
        "unpacks to more than",
    ),
    "a delta that grows": (
        pack(
            number(20, 7) + b"1" * 20 + zlib.compress((number(9) + number(2**40)).ljust(20, b"\0"))
        ),
        "an object of 1099511627776 bytes",
    ),
    "deltas that grow together": (
        pack(
            *[
                number(20, 7)
                + b"1" * 20
                + zlib.compress((number(9) + number(MEGA)).ljust(20, b"\0"))
            ]
            * 11
        ),
        "unpacks to more than",
    ),
    "an endless number": (pack(b"\xff" * 50), "no valid pack"),
}


@pytest.mark.parametrize(("raw", "problem"), BOMBS.values(), ids=BOMBS)
def test_a_pack_that_is_a_bomb(attacker: Attacker, raw: bytes, problem: str) -> None:
    bundle = attacker.exchange.scratch / "b"
    bundle.write_bytes(raw)

    assert problem in attacker.refused_bundle(bundle, "2" * 40, SMALL)


def test_a_bundle_that_is_too_large(attacker: Attacker) -> None:
    bundle = attacker.exchange.scratch / "b"
    bundle.write_bytes(b"x" * 1001)

    assert "1001 bytes, more than 1000" in attacker.refused_bundle(
        bundle, "2" * 40, Limits(bundle=1000)
    )


def test_a_bundle_that_changed_on_its_way(attacker: Attacker) -> None:
    bundle = attacker.exchange.scratch / "b"
    bundle.write_bytes(b"x")

    with pytest.raises(WorkRefused, match="differs from the one that the sandbox made"):
        require_bundle(bundle, 1, "0" * 64)


def test_a_few_directories_that_hold_billions_of_files(attacker: Attacker) -> None:
    tree = attacker.tree(*((FILE, f"f{i}", attacker.blob()) for i in range(10)))
    for _ in range(12):
        below = tree
        tree = attacker.tree(*((DIRECTORY, f"d{i}", below) for i in range(10)))

    message = attacker.refused(attacker.commit(attacker.with_sent((DIRECTORY, "n", tree))))

    assert "files in one commit, too many" in message


def test_one_file_a_thousand_times(attacker: Attacker) -> None:
    blob = attacker.blob(b"\0" * 100 * KILO)
    tree = attacker.tree(*((FILE, f"f{i}", blob) for i in range(1000)))

    message = attacker.refused(attacker.commit(tree), Limits(size=50 * MEGA))

    assert "bytes in one commit, too many" in message


def test_directories_without_end(attacker: Attacker) -> None:
    path = "/".join(["d"] * 300)

    message = attacker.refused(attacker.commit(attacker.nested(path, FILE, attacker.blob())))

    assert "deeper than" in message


def test_too_many_commits(attacker: Attacker) -> None:
    tree = git(attacker.box, "rev-parse", "HEAD^{tree}")
    tip = "HEAD"
    for _ in range(4):
        tip = attacker.commit(tree, tip)

    assert "4 commits, more than 3" in attacker.refused(tip, Limits(commits=3))


def test_git_has_limits_of_time_and_memory(fresh: Attacker) -> None:
    write(fresh.box, {"big.bin": os.urandom(3 * MEGA)})
    tip = commit_all(fresh.box)
    limits = Limits(process=replace(ProcessLimits(), file=MEGA))

    assert "Git refused the work" in fresh.refused(tip, limits)


def test_a_tree_that_is_missing(attacker: Attacker) -> None:
    tree = attacker.with_sent((DIRECTORY, "n", attacker.tree((FILE, "f", attacker.blob()))))
    tip = attacker.commit(tree)
    missing = git(attacker.box, "rev-parse", f"{tip}:n")
    git(attacker.box, "update-ref", "refs/remote-sandbox/work", tip)
    listed = git(attacker.box, "rev-list", "--objects", "HEAD..refs/remote-sandbox/work")
    wanted = [line.split()[0] for line in listed.splitlines() if not line.startswith(missing)]
    made = subprocess.run(
        ["git", "pack-objects", "--stdout", "-q"],
        cwd=attacker.box,
        env={"PATH": PATH},
        input="\n".join(wanted).encode(),
        capture_output=True,
        check=True,
    ).stdout
    bundle = attacker.exchange.scratch / "b"
    bundle.write_bytes(f"# v2 git bundle\n{tip} HEAD\n\n".encode() + made)

    assert attacker.refused_bundle(bundle, tip)


def test_hooks_filters_and_settings_of_the_sandbox_do_not_run_here(
    fresh: Attacker, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    hooks = Path(fresh.box, ".git", "hooks")
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}-{name}\n")
        (hooks / name).chmod(0o755)
    write(
        fresh.box,
        {
            ".gitattributes": "* filter=evil diff=evil\n",
            ".gitconfig": f'[filter "evil"]\n\tclean = touch {ran}\n\tsmudge = touch {ran}\n',
        },
    )

    imported, summary = fresh.exchange.pull()

    assert imported.is_changed
    assert [each.path for each in summary.runs_later] == [".gitattributes"]
    assert not list(tmp_path.glob("ran*"))


def test_hooks_of_the_person_do_not_run_either(fresh: Attacker, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hooks = fresh.exchange.top / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "post-index-change", "post-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / name).chmod(0o755)
    write(fresh.exchange.top, {"new.txt": "x\n"})
    write(fresh.box, {"b.txt": "x\n"})

    fresh.exchange.pull()
    write(fresh.exchange.top, {"new.txt": "y\n"})

    assert not ran.exists()


def test_texts_of_commits_are_shown_without_control_characters(fresh: Attacker) -> None:
    tree = fresh.with_sent((FILE, "n", fresh.blob()))
    tip = fresh.commit(tree, message="Nice\x1b]0;title\x07 \u202ework")
    git(fresh.box, "reset", "-q", "--hard", tip)

    _, summary = fresh.exchange.pull()

    assert summary.commits[0].subject == "Nice\\x1b]0;title\\x07 \\u202ework"


def test_a_name_that_is_not_utf8_is_shown_with_escapes(fresh: Attacker) -> None:
    write(fresh.box, {os.fsdecode(b"caf\xe9"): "x\n"})

    _, summary = fresh.exchange.pull()

    assert summary.files[0].shown_path == "caf\\xe9"
