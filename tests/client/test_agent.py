"""The command line of a coding agent: the shell reads any prompt as one word."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import ConfigError, InvalidInput
from sandbox_client.agent import agent_command_line, agent_program, template_problem
from sandbox_client.api.runtime import quote
from sandbox_client.config import DEFAULT_AGENT_COMMAND
from sandbox_client.presentation.errors import next_step

from tests.client.secrecy import format_verb
from tests.client.strategies import some_examples

_syntax = st.sampled_from(list("'\"`$!\\;&|<>(){}[]*?~#\n\r\t =%"))
_characters = st.characters(codec="utf-8", exclude_characters="\0")
# Lists, because st.text() seldom generates characters of shell syntax.
prompts = st.lists(_syntax | _characters, min_size=1, max_size=40).map("".join)


def words_in_bash(command: str) -> list[str]:
    """Return the words of a command line as bash passes them to a program."""
    script = f"printf '%s\\0' {command}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, check=True, timeout=20
    )
    return done.stdout.decode().split("\0")[:-1]


@some_examples
@given(prompt=prompts)
@example(prompt='it\'s $(rm -rf /) `id` "x" $HOME !! \\ \n;\ttrue & # *')
@example(prompt="'; rm -rf / #")
@example(prompt="\x03\x04\x1b[A\x7f")
def test_no_character_of_a_prompt_is_shell_syntax(prompt: str) -> None:
    assert words_in_bash(quote(prompt)) == [prompt]


@some_examples
@given(prompt=prompts)
def test_a_quoted_prompt_has_no_control_character(prompt: str) -> None:
    assert quote(prompt).isprintable(), "one line, without a tab or a control character"


@some_examples
@given(prompt=prompts)
@example(prompt="fix it!")
def test_a_quoted_prompt_has_no_history_expansion(prompt: str) -> None:
    assert "!" not in quote(prompt)


def test_the_default_template_starts_gemini_in_the_sandbox_directory() -> None:
    assert DEFAULT_AGENT_COMMAND == "cd /sandbox && gemini -y -p {prompt}"
    assert agent_command_line(DEFAULT_AGENT_COMMAND, "fix it's bug") == (
        "cd /sandbox && gemini -y -p 'fix it'\"'\"'s bug'"
    )


def test_other_braces_of_a_template_are_kept() -> None:
    template = "A=${B:-c}; awk '{print}' && codex {prompt} --json"

    assert agent_command_line(template, "{prompt} x") == (
        "A=${B:-c}; awk '{print}' && codex '{prompt} x' --json"
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("gemini -p", "0 times"),
        ("gemini {prompt} {prompt}", "2 times"),
        ("gemini -p '{prompt}'", "'…'"),
        ('gemini -p "{prompt}"', '"…"'),
        ("sh -c \"gemini -p '{prompt}'\"", '"…"'),
        ("x=`gemini {prompt}`", "`…`"),
        ("gemini \\{prompt}", "backslash"),
        ("gemini -p ${prompt}", "a $ before"),
        ("gemini -p $'it\\'s {prompt}'", "$'…'"),
        ("sh -c {prompt}", "'-c'"),
        ("bash -lc {prompt}", "'-lc'"),
        ("eval {prompt}", "'eval'"),
        ("gemini # {prompt}", "comment"),
        ("gemini 'a\\' {prompt}", ""),
        ("gemini 'a' \"b'\" {prompt}", ""),
        ("gemini \\' {prompt}", ""),
        ('gemini "\\"" {prompt}', ""),
        ("gemini -p {prompt} 'and more'", ""),
    ],
)
def test_a_template_that_would_break_the_quoting_is_refused(template: str, words: str) -> None:
    problem = template_problem(template)

    assert words in problem
    assert bool(problem) == bool(words)


@some_examples
@given(prompt=prompts)
def test_an_accepted_template_passes_the_prompt_as_one_word(prompt: str) -> None:
    for template in ("a 'b c' {prompt} \"d\"", "a \\' {prompt}", 'x"y\'"z {prompt}'):
        assert template_problem(template) == ""
        words = words_in_bash(template.replace("{prompt}", quote(prompt)))
        assert prompt in words


def test_the_advice_for_an_invalid_template_shows_the_default() -> None:
    with pytest.raises(ConfigError, match=r"agentCommand holds \{prompt\} 0 times") as caught:
        agent_command_line("foo", "hi")

    assert "gemini -y -p {prompt}" in next_step(caught.value, format_verb)


@pytest.mark.parametrize(("prompt", "words"), [("", "empty"), (" \n", "empty"), ("a\0", "NUL")])
def test_an_empty_prompt_and_a_nul_character_are_refused(prompt: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        agent_command_line(DEFAULT_AGENT_COMMAND, prompt)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("cd /sandbox && gemini -p {prompt}", "gemini -p x"),
        ("gemini -p {prompt}", "gemini -p x"),
        ("X=1 cd /a && gemini {prompt}", "X=1 cd /a && gemini x"),
    ],
)
def test_in_a_directory_the_agent_changes_to_no_other(template: str, line: str) -> None:
    assert agent_command_line(template, "x", in_directory=True) == line


@pytest.mark.parametrize(
    ("template", "program"),
    [
        (DEFAULT_AGENT_COMMAND, "gemini"),
        ("/opt/agent/run {prompt}", "/opt/agent/run"),
        ("KEY=x TERM=dumb claude -p {prompt}", "claude"),
        ("./agent {prompt}", ""),  # of a directory that is not known yet
        ("$AGENT {prompt}", ""),
        ("(claude {prompt})", ""),
        ("~/bin/agent {prompt}", ""),
    ],
)
def test_the_program_of_an_agent_is_looked_for_if_it_has_a_name(
    template: str, program: str
) -> None:
    assert agent_program(template) == program
