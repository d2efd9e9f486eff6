"""A script sees the command that a person gave, not what a client wraps around it."""

import pytest
from sandbox_fakeproxy import Outcome, ScriptedRuntime
from sandbox_fakeproxy.runtime.unwrapping import unwrapped

from tests.fakeproxy.shell_api import PipeApi, ShellApi

EXPORT = '[ "${REMOTE_SANDBOX-}" ] || export REMOTE_SANDBOX=1 PAGER=cat TERM=dumb; '

PIPED = 'exec -a bash "$BASH" -c -- '
ALONE = "bash -mc 'exec 3>&2 2>/dev/null; bash -c -- \"$1\" 2>&3 3>&-; exit $?' bash "
LIMITED = "bash -mc 'exec 3>&2 2>/dev/null; code=$?; exit $code' bash "
NOTE = '(setsid sh -c "while [ -d /proc/$$ ]; do :; done" </dev/null >/dev/null 2>&1 &); '
PIPED_NOTE = f'trap "trap - INT; kill -INT \\$\\$" INT; {NOTE}trap - INT; '
NOTED = ALONE.replace("exec 3", f"{NOTE}exec 3").replace("' bash ", "' prompt-1 ")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"{PIPED}'ls | wc' </dev/null", "ls | wc"),
        (f"{PIPED}'{PIPED}ls </dev/null' </dev/null", f"{PIPED}ls </dev/null"),
        (f"{EXPORT}{ALONE}'ls | wc' </dev/null", "ls | wc"),
        (f"{ALONE}'-x y' </dev/null", "-x y"),
        (f"{EXPORT}{LIMITED}'ls -l' 1.5 </dev/null", "ls -l"),
        (f"{PIPED_NOTE}{PIPED}'ls | wc' </dev/null", "ls | wc"),
        (f"{EXPORT}{NOTED}'ls | wc' </dev/null", "ls | wc"),
        ("eval ls </dev/null", "ls"),
        ("eval 'ls | wc' </dev/null", "ls | wc"),
        ("eval -- '-x y' </dev/null", "-x y"),
        ("eval 'a </dev/null; b' </dev/null", "a </dev/null; b"),
        ("eval 'it'\"'\"'s' </dev/null", "it's"),
        (r"eval $'two\012lines\041' </dev/null", "two\nlines!"),
        (r"eval $'it\'s \\n' </dev/null", r"it's \n"),
        (r"eval $'\303\274 €\011' </dev/null", "ü €\t"),
        (f"{EXPORT}eval 'ls -l' </dev/null", "ls -l"),
        (f": run-0a1b2c3d; {EXPORT}eval 'ls -l' </dev/null", "ls -l"),
        (": run-0a1b2c3d; eval ls </dev/null", "ls"),
    ],
)
def test_a_wrapped_line_is_the_command_in_it(line: str, text: str) -> None:
    assert unwrapped(line) == text


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ls </dev/null",
        f" {PIPED}ls </dev/null",
        f"{PIPED}ls </dev/zero",
        f"{PIPED}ls -l </dev/null",
        "eval ls",
        "eval ls -l </dev/null",
        "eval 'ls' </dev/null",  # quoted in another way than the client does
        "eval 'open </dev/null",
        "eval 'a' 'b' </dev/null",
        "eval $'a' b $'c' </dev/null",
        r"eval $'unknown \x41' </dev/null",
        ": run-0a1b2c3d; ls",
        f"{EXPORT}ls </dev/null",
        f"{EXPORT}timeout -k 5 60 bash -c ls </dev/null",
        f"{ALONE}ls 60 </dev/null",
        f"{LIMITED}ls </dev/null",
    ],
)
def test_any_other_line_is_left_as_it_is(line: str) -> None:
    assert unwrapped(line) == line


async def test_a_script_gets_the_command_and_the_terminal_shows_the_line() -> None:
    runtime = ScriptedRuntime(lambda command: Outcome(f"ran {command.text}\n"))
    shell = ShellApi(runtime)
    data = await shell.exec("eval 'ls -l' </dev/null", id=await shell.session())

    assert [command.text for command in runtime.commands] == ["ls -l"]
    assert data["output"] == "ran ls -l\n"
    assert data["command"] == data["console"][0]["command"] == "eval 'ls -l' </dev/null"


async def test_a_script_gets_the_command_and_the_pipe_api_shows_the_line() -> None:
    runtime = ScriptedRuntime(lambda command: Outcome(f"ran {command.text}\n"))
    data = await PipeApi(runtime).exec(f"{PIPED}'ls -l' </dev/null", env={"PAGER": "cat"})

    assert [(each.text, each.env) for each in runtime.commands] == [("ls -l", {"PAGER": "cat"})]
    assert data["stdout"] == "ran ls -l\n"
    assert data["command"] == f"{PIPED}'ls -l' </dev/null"
