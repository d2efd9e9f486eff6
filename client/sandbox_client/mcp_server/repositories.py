"""The tools for git repositories: send one to a sandbox, and fetch the work in it as a branch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from sandbox_client.presentation.repositories import (
    describe_plan,
    describe_pull,
    describe_push,
    next_commands,
    pull_content,
    push_content,
)
from sandbox_client.text import pluralize

from .sandboxes import Name
from .tool import Parameter, Result, format_verb, tool
from .workspaces import Workspaces

if TYPE_CHECKING:
    from sandbox_client.client import Client
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.repository.model import Pull

    from .workspaces import ListRoots

MAX_DIFF: Final = 20_000  # characters
MAX_LISTED: Final = 20  # commits, files


@tool(
    "push",
    output={"name": "string", "directory": "string", "commit": "string"},
    destructive=True,
)
async def send_repository(
    client: "Client",
    on_progress: "ProgressCallback",
    list_roots: "ListRoots",
    *,
    name: Name,
    directory: Annotated[
        str, Parameter("The repository on the user's machine, in the workspace; . for that itself.")
    ],
) -> Result:
    """Send the user's git repository to a sandbox, as it is now, without ignored files.

    Use it before run_agent if the agent is to work on the user's code. Returns its directory there.
    """
    from sandbox_client.repository.model import (
        PushOptions,  # loads subprocess, which few calls need
    )

    workspaces = await _workspaces(client, list_roots)
    repository = str(workspaces.directory(directory))
    options = PushOptions(check=workspaces.check)
    result = await client.repositories.push(name, repository, options, on_progress=on_progress)
    lines = [*describe_plan(result.plan), describe_push(result)]
    lines.append(
        f"{format_verb('agent')} with directory {result.directory} works there;"
        f" {format_verb('pull')} brings the work back."
    )
    return Result("\n".join(lines), push_content(result))


@tool(
    "pull",
    output={
        "name": "string",
        "branch": "string",
        "has_work": "boolean",
        "files_changed": "integer",
        "diff?": "string",
    },
)
async def fetch_work(
    client: "Client",
    on_progress: "ProgressCallback",
    list_roots: "ListRoots",
    *,
    name: Name,
    directory: Annotated[
        str | None, Parameter("As given to send_repository; the workspace if left out.")
    ] = None,
) -> Result:
    """Fetch what was done in a sent repository as a branch of the user's repository.

    The working tree stays as it is. Returns the branch, its commits and the diff.
    """
    from sandbox_client.repository.model import PullOptions

    workspaces = await _workspaces(client, list_roots)
    repository = str(workspaces.directory(directory or "."))
    options = PullOptions(max_diff=MAX_DIFF, check=workspaces.check)
    pull = await client.repositories.pull(name, repository, options, on_progress=on_progress)
    return Result(_describe(pull), pull_content(pull, MAX_LISTED))


def _describe(pull: "Pull") -> str:
    """Return the branch and the next steps, and then what was written in the sandbox.

    That comes last, after its length, so that no part of it can pass for the tool's own text.
    """
    first, *lines = describe_pull(pull)
    if not pull.has_work:
        return f"{first}\n{format_verb('output')} shows whether the agent still works."
    commands = "\n".join(f"  {each}" for each in next_commands(pull, is_here=False))
    below = "\n".join([*lines, *filter(None, [pull.diff])])
    size = pluralize(len(below), "character")
    return f"{first}\nTell the user the next steps:\n{commands}\n[Below: {size}.]\n{below}"


async def _workspaces(client: "Client", list_roots: "ListRoots") -> "Workspaces":
    roots, configured = await list_roots(), client.proxy.config.workspaces
    return Workspaces.of(roots, Path.cwd(), Path.home(), configured)
