"""The agent's command line: the prompt is one word to the shell, whatever it holds."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client._agent import DEFAULT_COMMAND, command_line, quote, template_fault
from sandbox_client._errors import ConfigError, InvalidInput

from tests.client.secrecy import format_verb
from tests.client.strategies import some_examples

prompts = st.text(
    st.one_of(
        st.sampled_from(list("'\"`$!\\;&|<>(){}[]*?~#\n\r\t =%")),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    min_size=1,
    max_size=40,
)


def as_bash_reads(command: str) -> list[str]:
    """The words of a command line as bash hands them to a program."""
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
def test_no_character_of_a_prompt_reaches_the_shell_as_syntax(prompt: str) -> None:
    assert as_bash_reads(quote(prompt)) == [prompt]


@some_examples
@given(prompt=prompts)
def test_a_terminal_is_typed_nothing_that_it_would_act_on(prompt: str) -> None:
    assert quote(prompt).isprintable(), "one line, without a tab or a control character"


@some_examples
@given(prompt=prompts)
def test_a_shell_that_recalls_its_history_finds_no_sign_of_it(prompt: str) -> None:
    assert "!" not in quote(prompt)


def test_the_agent_is_started_in_the_sandboxes_own_folder() -> None:
    assert DEFAULT_COMMAND == "cd /sandbox && gemini -y -p {prompt}"
    assert command_line(DEFAULT_COMMAND, "fix it's bug") == (
        "cd /sandbox && gemini -y -p 'fix it'\"'\"'s bug'"
    )


def test_other_braces_of_a_template_are_its_own() -> None:
    template = "A=${B:-c}; awk '{print}' && codex {prompt} --json"

    assert command_line(template, "{prompt} x") == (
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
def test_a_template_whose_own_quotes_would_undo_ours_is_refused(template: str, words: str) -> None:
    fault = template_fault(template)

    assert words in fault
    assert bool(fault) == bool(words)


@some_examples
@given(prompt=prompts)
def test_a_template_that_is_accepted_hands_the_prompt_over_whole(prompt: str) -> None:
    for template in ("a 'b c' {prompt} \"d\"", "a \\' {prompt}", 'x"y\'"z {prompt}'):
        assert template_fault(template) == ""
        words = as_bash_reads(template.replace("{prompt}", quote(prompt)))
        assert prompt in words


def test_the_advice_for_a_template_shows_where_the_prompt_goes() -> None:
    with pytest.raises(ConfigError, match=r"agentCommand holds \{prompt\} 0 times") as caught:
        command_line("foo", "hi")

    assert "gemini -y -p {prompt}" in caught.value.next_step(format_verb)


@pytest.mark.parametrize(("prompt", "words"), [("", "empty"), (" \n", "empty"), ("a\0", "NUL")])
def test_a_prompt_that_no_agent_can_get_is_refused(prompt: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        command_line(DEFAULT_COMMAND, prompt)
