"""The data of pushes and pulls: options, plans and results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .apply import Part
from .summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_client.errors import RepositoryRefused

    from .amount import Amount
    from .local import Relation, Repository
    from .snapshot import Survey

UNDOING = "putting back the files of an --apply that was interrupted"
# Activities after which a cancellation has left something.
UNPACKING = "unpacking the repository in the sandbox"
IMPORTING = "making the branch"
APPLYING = "applying the work to the working tree"


@dataclass(frozen=True)
class PushPlan:
    """The plan of a push, before anything long is done.

    `head` is the commit that is checked out here, empty if there is none; `amount` counts the
    objects that the sandbox does not have yet. `has_work` says that it has commits or changes since
    the last push. `unused` has the patterns that fit no file. `sent_before` has the files that are
    left out now and were in an earlier push, `overlooked` those whose changes git is told to
    ignore. A push that `drops_work` lacks files as they were pulled from there before.
    """

    name: str
    repository: str
    directory: str
    branch: str
    head: str
    amount: Amount
    is_needed: bool
    has_history: bool
    has_work: bool
    survey: Survey
    included: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    sent_before: tuple[str, ...] = ()
    overlooked: tuple[str, ...] = ()
    drops_work: bool = False


@dataclass(frozen=True)
class Push:
    """A push that is done: `commit` is checked out in `plan.directory` of the sandbox.

    `size` is that of the bundle that was sent, in bytes. `keeps_modes` is False if the file system
    there keeps no permissions; git in the sandbox then keeps those that were sent.
    """

    plan: PushPlan
    commit: str
    size: int = 0
    keeps_modes: bool = True

    @property
    def directory(self) -> str:
        """The directory in the sandbox, where an agent should work."""
        return self.plan.directory


@dataclass(frozen=True)
class Pull:
    """The work of a sandbox as a branch of this repository.

    `commit` is that of the branch, empty if the sandbox has no work; `is_changed` says whether this
    pull made the branch or let it go forward. `summary` compares the work with what was sent, and
    `diff` is the same as text, safe to print. `head` says how the commit that is checked out here
    relates to the branch: `unrelated` if they have no common ancestor, `none` if there is no
    commit. `base` is the commit that was sent, if a comparison with that commit would not show the
    work alone: uncommitted changes that were sent are in the branch, too. `other_branches`,
    `stashes` and `inner_repositories`, which are within the directory, stay in the sandbox, and the
    work in `other_directories`, which were sent from here, too. `earlier_branch` has the work on an
    earlier push, and stays as it is. A working tree that `is_in_the_way` has uncommitted changes of
    files that the branch changes, too. The work changes the paths in `ignored`, which git ignores
    here; those in `overwrites` are files of the person's that a merge would overwrite. If it was to
    be applied, `applied_part` is the part that was new, or `not_applied` the reason for which
    nothing was applied. `put_back` counts the files that were put back first, as an earlier process
    was killed while it replaced them.
    """

    name: str
    repository: str
    directory: str
    branch: str
    commit: str = ""
    is_new: bool = False
    is_changed: bool = False
    summary: Summary = field(default_factory=lambda: Summary((), (), ()))
    diff: str = ""
    base: str = ""
    head: Relation = "related"
    left_uncommitted: bool = False
    other_branches: int = 0
    stashes: int = 0
    inner_repositories: int = 0
    other_directories: tuple[str, ...] = ()
    earlier_branch: str = ""
    is_in_the_way: bool = False
    ignored: tuple[str, ...] = ()
    overwrites: tuple[str, ...] = ()
    applied_part: Part | None = None
    not_applied: RepositoryRefused | None = None
    put_back: int = 0

    @property
    def has_work(self) -> bool:
        """Whether the sandbox has anything that was not sent from here."""
        return bool(self.commit)

    @property
    def is_applied(self) -> bool:
        """Whether changes of the work were applied to the working tree."""
        return self.applied_part not in {None, Part.NOTHING}


@dataclass(frozen=True)
class PullOptions:
    """The options of a pull: the branch, the sandbox's directory, and whether to apply the work.

    `check` may refuse the repository.
    """

    branch: str | None = None
    directory: str | None = None
    apply: bool = False
    allow_programs: bool = False
    max_diff: int = 0  # characters
    check: Callable[[Repository], None] = lambda _: None


@dataclass(frozen=True)
class PushOptions:
    """The files that a push sends, and their destination.

    `include` and `leave_out` decide about names that look like secrets. `program` has to be in the
    sandbox, such as that of an agent. `check` may refuse the repository.
    """

    directory: str | None = None
    include: Sequence[str] = ()
    leave_out: Sequence[str] = ()
    history: bool = False
    program: str = ""
    check: Callable[[Repository], None] = lambda _: None
