"""Put together a push: a snapshot, its amount, and the bundle of new objects."""

from __future__ import annotations

import glob
import hashlib
import shlex
import shutil
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox_client.api.files import absolute
from sandbox_client.api.sandboxes import WORK
from sandbox_client.errors import InvalidInput, RepositoryRefused
from sandbox_client.text import mask_keys, pluralize

from .amount import Amount, measure
from .bundle import BundleFile, create_bundle, sha256_of
from .model import PushPlan
from .names import join_shown, name_problem, shown
from .records import Sent
from .snapshot import take_snapshot
from .transfer_note import TransferNote
from .trees import changed_paths, kinds_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from .file_kinds import Decision
    from .git import Git
    from .sandbox_answers import Checked
    from .snapshot import Snapshot, Survey
    from .store import Stage, Store

DETACHED_BRANCH = "work"  # the sandbox's branch for a detached HEAD
_NAMED = 20  # paths in a message
_DECIDED_AT_ONCE = 5  # paths in the command line of advice


@dataclass(frozen=True)
class Outgoing:
    """A push to a sandbox, which has the commit `have` already, or nothing if that is empty.

    `sent_before` has the files that are left out now and were in an earlier push. A push that
    `drops_work` lacks files as they were pulled from there before.
    """

    store: Store
    stage: Stage
    sent: Sent
    have: str
    snapshot: Snapshot
    amount: Amount
    note: TransferNote
    sent_before: tuple[str, ...] = ()
    drops_work: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether anything has to be sent: False if the sandbox has just this."""
        return self.have != self.sent.commit

    def plan(self, found: Survey, decision: Decision, checked: Checked) -> PushPlan:
        """Return the plan of this push, for the person."""
        return PushPlan(
            name=self.sent.sandbox,
            repository=self.store.repository.top,
            directory=self.sent.directory,
            branch=self.store.repository.branch,
            head=self.store.repository.head,
            amount=self.amount,
            is_needed=self.is_needed,
            has_history=self.sent.has_history,
            has_work=checked.has_work or checked.head not in {"", checked.sent},
            survey=replace(found, embedded=(*found.embedded, *self.snapshot.embedded)),
            included=decision.included,
            left_out=decision.left_out,
            unused=decision.unused,
            sent_before=self.sent_before,
            overlooked=self.snapshot.overlooked,
            drops_work=self.drops_work,
        )

    def bundle(self) -> BundleFile:
        """Write the bundle, or return the one of an earlier attempt, which stays until `confirm`.

        Two bundles of the same objects may differ: while another process sends one, this one has
        its own.
        """
        self.note.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.note.folder / "bundle"
        if self.note.lock() and path.exists():
            return BundleFile(path, path.stat().st_size, sha256_of(path))
        object_format = self.store.repository.object_format
        scratch = self.stage.path / "outgoing.bundle"
        made = create_bundle(self.stage, scratch, self.sent.commit, object_format, self.have)
        if not self.note.is_mine:
            return made
        scratch.replace(path)
        return replace(made, path=path)

    def announce(self) -> None:
        """Keep the record and the objects; call it before the sandbox unpacks the bundle."""
        self.store.keep(self.stage, self.sent)

    def confirm(self) -> None:
        """Make the record the newest one; call it when the sandbox has just this."""
        if self.store.find(self.sent.sandbox, self.sent.directory, self.sent.commit) is None:
            self.announce()
        else:
            self.store.save(self.sent)
        self.store.forget_before(self.sent)
        self.discard_bundle()

    def discard_bundle(self) -> None:
        """Remove the bundle, unless another process sends it."""
        if self.note.lock():
            shutil.rmtree(self.note.folder, ignore_errors=True)


def require_sendable(found: Survey, decision: Decision) -> None:
    """Check that the person has decided about every file that looks like a secret.

    Raises:
        RepositoryRefused: some wait for a decision, a file cannot be left out, or there is none.
    """
    if decision.open:
        unused = f". No file fits {join_shown(decision.unused)}" if decision.unused else ""
        raise RepositoryRefused(
            f"{pluralize(len(decision.open), 'file')} may hold secrets by the name:"
            f" {join_shown(decision.open, _NAMED)}{unused}",
            advice=_how_to_decide(decision.open),
        )
    _require_possible(found, decision)


def _how_to_decide(paths: Sequence[str]) -> str:
    """Return command lines for a decision, with the paths if these are few and plain."""
    if len(paths) > _DECIDED_AT_ONCE or not all(map(_is_plain, paths)):
        return (
            "Send each with {push --include /PATH}, or keep it here with {push --leave-out /PATH}."
        )
    patterns = [shlex.quote(f"/{glob.escape(each)}") for each in paths]
    include, leave_out = (
        " ".join(f"{option} {each}" for each in patterns) for option in ("--include", "--leave-out")
    )
    if len(paths) == 1:
        return f"Send it with {{push {include}}}, or keep it here with {{push {leave_out}}}."
    return (
        f"Send them with {{push {include}}}, keep them here with {{push {leave_out}}}, or decide"
        " about each."
    )


def _is_plain(path: str) -> bool:
    """Check whether a path may stand in the command line of advice as it is."""
    return mask_keys(shown(path)) == path and not set(path) & set("{}`")


@contextmanager
def outgoing(
    store: Store,
    sandbox: str,
    directory: str,
    found: Survey,
    decision: Decision,
    *,
    sandbox_has: str = "",
) -> Generator[Outgoing]:
    """Make a snapshot for `directory` of a sandbox; nothing is sent, and nothing kept.

    It has the files of `found`, about which `decision` was made, and no others. `sandbox_has` is
    the commit that the sandbox says it has; it counts only if it was sent.

    Raises:
        RepositoryRefused: a file waits for a decision, or cannot be left out.
        GitFailed: a file cannot be read, or changes meanwhile.
    """
    require_sendable(found, decision)
    repository, history = store.repository, found.has_history
    with store.stage() as stage:
        snapshot = take_snapshot(repository, found, stage, left_out=set(decision.left_out))
        before = store.find(sandbox, directory, sandbox_has) if sandbox_has else None
        if before and not store.is_complete(before):
            before, sandbox_has = None, ""
        have = _have(before, snapshot, sandbox_has, history=history)
        sent = Sent(
            sandbox=sandbox,
            directory=directory,
            branch=repository.branch or DETACHED_BRANCH,
            head=snapshot.head,
            snapshot=snapshot.snapshot,
            commit=snapshot.commit,
            boundary=_boundary(before, snapshot, have, history=history),
            has_history=history,
            withheld=snapshot.withheld,
            worktree=repository.worktree,
        )
        if before and before.commit == sent.commit:
            sent = sent.after_pull(before.pulled, before.imported)
        stage.end_history_at(sent.boundary)
        with closing(TransferNote(_folder(store, sent, have))) as note:
            amount = measure(stage, sent.commit, have)
            yield Outgoing(
                *(store, stage, sent, have, snapshot, amount, note),
                sent_before=_sent_before(store, sent, decision),
                drops_work=before is not None and _drops_work(stage.git, before, snapshot),
            )


def _drops_work(git: Git, before: Sent, snapshot: Snapshot) -> bool:
    """Return whether files are not as they were pulled after the push `before`."""
    pulled = before.imported
    if not pulled or kinds_of(git, [pulled]) != {pulled: "commit"}:
        return False
    work = changed_paths(git, before.snapshot, pulled)
    return not work.isdisjoint(changed_paths(git, pulled, snapshot.snapshot))


def _sent_before(store: Store, sent: Sent, decision: Decision) -> tuple[str, ...]:
    """Return the files that are left out, and are in an earlier push to the same directory."""
    if not decision.left_out:
        return ()
    paths = set[str]()
    for each in store.of_directory(sent.sandbox, sent.directory):
        if store.is_complete(each):
            words = ("ls-tree", "-r", "-z", "--full-tree", "--name-only", each.commit)
            paths.update(store.git.names(*words))
    return tuple(each for each in decision.left_out if each in paths)


def _folder(store: Store, sent: Sent, have: str) -> Path:
    """Return the directory of a bundle, which is removed after a day if no push ends."""
    key = hashlib.sha256(repr((store.proxy, sent, have)).encode()).hexdigest()[:16]
    return store.repository.store_dir / f"tmp-outgoing-{key}"


def sandbox_directory(given: str) -> str:
    """Return the absolute path of a repository's directory in a sandbox, without `.` and `//`.

    A relative one starts at /sandbox.

    Raises:
        InvalidInput: it is not below /sandbox, or has a name that is not plain.
    """
    parts = [each for each in absolute(given).split("/") if each not in {"", "."}]
    top, *names = parts or [""]
    problems = [f"'{shown(each)}' {_name_problem(each)}" for each in names if _name_problem(each)]
    if f"/{top}" != WORK or not names:
        problems = [f"it is not below {WORK}"]
    if problems:
        raise InvalidInput(
            f"'{shown(given)}' cannot be the directory of a repository: {problems[0]}",
            advice=f"Name a directory such as {WORK}/project. A pause keeps no other place.",
        )
    return f"{WORK}/{'/'.join(names)}"


def _name_problem(name: str) -> str:
    if name != name.strip():
        return "begins or ends with a blank"
    if name.startswith("~"):
        return "begins with ~"
    return name_problem(name) or ("" if name.isprintable() else "has control characters")


def _require_possible(found: Survey, decision: Decision) -> None:
    kept = [each for each in decision.left_out if each in found.in_head | found.only_in_history]
    if found.has_history and kept:
        raise RepositoryRefused(
            f"{shown(kept[0])} is in the history, which would go with --history",
            advice="Leave out --history, or decide with --include in place of --leave-out.",
        )
    if not found.paths:
        raise RepositoryRefused(
            "The repository has no commit and no file that could be sent",
            advice="Add files, or work in the sandbox with `remote-sandbox agent` alone.",
        )


def _have(before: Sent | None, snapshot: Snapshot, sandbox_has: str, *, history: bool) -> str:
    """Return the commit that both sides have, on which a thin pack can be based, if any."""
    if snapshot.commit == sandbox_has and not history:
        return sandbox_has
    if before is None:
        return ""
    return sandbox_has if before.has_history or not history else ""


def _boundary(
    before: Sent | None, snapshot: Snapshot, have: str, *, history: bool
) -> tuple[str, ...]:
    """Return where the sandbox's history ends: also where it did, if that stays there."""
    if history or before is None or not have:
        return snapshot.boundary
    return tuple(dict.fromkeys((*before.boundary, *snapshot.boundary)))
