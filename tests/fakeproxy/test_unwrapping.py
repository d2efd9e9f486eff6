"""A script sees the command that a person gave, not what a client wraps around it."""

import pytest
from sandbox_fakeproxy import Outcome, ScriptedRuntime
from sandbox_fakeproxy.runtime.unwrapping import unwrapped

from tests.fakeproxy.shell_api import PipeApi, ShellApi

EXPORT = '[ "${REMOTE_SANDBOX-}" ] || export REMOTE_SANDBOX=1 PAGER=cat TERM=dumb; '

OPEN, CLOSE = "(exec 3>&2 2>/dev/null; ", " 2>&3 3>&-"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("exec bash -c 'ls | wc' </dev/null", "ls | wc"),
        ("exec bash -c -- '-x y' </dev/null", "-x y"),
        ("exec bash -c 'exec bash -c ls </dev/null' </dev/null", "exec bash -c ls </dev/null"),
        (f"{EXPORT}{OPEN}bash -c 'ls | wc'{CLOSE}; exit $?) </dev/null", "ls | wc"),
        (f"{OPEN}bash -c -- '-x y'{CLOSE}; exit $?) </dev/null", "-x y"),
        (
            f"{EXPORT}{OPEN}timeout -k 5 60 bash -c ls{CLOSE} <&0 & wait $!; exit $c) </dev/null",
            "ls",
        ),
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
        " exec bash -c ls </dev/null",
        "exec bash -c ls </dev/zero",
        "exec bash -c ls -l </dev/null",
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
        f"{OPEN}bash -c ls{CLOSE}; exit 1) </dev/null",
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
    data = await PipeApi(runtime).exec("exec bash -c 'ls -l' </dev/null", env={"PAGER": "cat"})

    assert [(each.text, each.env) for each in runtime.commands] == [("ls -l", {"PAGER": "cat"})]
    assert data["stdout"] == "ran ls -l\n"
    assert data["command"] == "exec bash -c 'ls -l' </dev/null"
