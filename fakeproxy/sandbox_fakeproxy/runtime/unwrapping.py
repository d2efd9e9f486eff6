"""The command that a person gave, in a line that a client has wrapped for the shell.

A client gives a command an empty standard input and, if it can, a bash of its own: with pipes by
`exec -a bash "$BASH" -c -- WORD </dev/null`, on a terminal by `bash -mc SCRIPT SESSION WORD
</dev/null`. WORD is the quoted command, and a time limit may follow it. Before it, a process is
started that notes when the command has ended. In a terminal session of several commands the line is
`eval WORD </dev/null`, behind `--` if need be, and behind a mark by which the client finds the
command again. A terminal's line also sets variables, once in each shell.
"""

import re
import shlex

_NOTE = r"(?:\(setsid sh -c [^\n]*? 2>&1 &\); )?"
_PIPE_LINE = rf"(?:trap [^\n]*? INT; {_NOTE}trap - INT; )?" + r'exec -a bash "\$BASH" -c -- (.+)'
_MARK = r": run-[0-9a-f]+; "
_VARIABLES = r'\[ "\$\{REMOTE_SANDBOX-\}" \] \|\| export [^;\n]*; '
_ALONE = rf"bash -mc '{_NOTE}exec 3>&2 [^']+; exit \$\?' \S+ (.+)"
_LIMITED = rf"bash -mc '{_NOTE}exec 3>&2 [^']+; exit \$code' \S+ (.+) [0-9.e+]+"
_LINE = re.compile(
    rf"(?:{_PIPE_LINE}"
    rf"|(?:{_MARK})?(?:{_VARIABLES})?(?:eval (?:-- )?(.+)|{_ALONE}|{_LIMITED})) </dev/null",
    re.DOTALL,
)
_ESCAPE = rb"\\([0-7]{3}|[\\'])"
_ANSI_C_WORD = re.compile(rb"\$'((?:[^\\']|" + _ESCAPE + rb")*)'")


def unwrapped(line: str) -> str:
    """Return the command in a wrapped line; any other line as it is."""
    wrapped = _LINE.fullmatch(line)
    command = _unquoted(wrapped[wrapped.lastindex or 0]) if wrapped else None
    return line if command is None else command


def _unquoted(word: str) -> str | None:
    """Return the text of one word of bash, quoted as `'…'` or `$'…'`; None if it is not one."""
    ansi_c = _ANSI_C_WORD.fullmatch(word.encode(errors="surrogatepass"))
    if ansi_c:
        return re.sub(_ESCAPE, _escaped_byte, ansi_c[1]).decode(errors="replace")
    try:
        words = shlex.split(word)
    except ValueError:
        return None
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == word else None


def _escaped_byte(escape: re.Match[bytes]) -> bytes:
    return escape[1] if len(escape[1]) == 1 else bytes([int(escape[1], 8) & 0xFF])
