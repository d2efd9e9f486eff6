"""What goes through the proxy to a sandbox, and the runtime that answers there."""

from .clause import Need, Section

_READY = (Need.USER, Need.WAITING, Need.RUNTIME)

COMMANDS = Section("Commands")
_rule, _bug = COMMANDS.rule, COMMANDS.bug
_rule(
    "commands.not-ready.503",
    "no service yet, not ready",
    "A command for a sandbox that was just made is 503 and does not run.",
    Need.USER,
)
_rule(
    "commands.not-ready.service",
    "no service yet",
    "Before there is a service, a command is 503 and says so.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_rule(
    "commands.not-ready.pod",
    "not ready",
    "Until the pod is ready, a command is 503 and says so.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_rule(
    "commands.paused.runs-nothing",
    "paused",
    "A command for a paused sandbox does not run, then or later.",
    *_READY,
)
_bug("commands.paused.503", "paused", "A command for a paused sandbox is 503.", *_READY)
_rule(
    "commands.reply.unchanged",
    "JSON status and body pass through unchanged",
    "The runtime's own refusals pass through with status and body.",
    *_READY,
)
_rule(
    "commands.method.any",
    "any method and path",
    "Any method and path reach the runtime, and its status comes back.",
    *_READY,
    Need.PROBE,
)
_bug(
    "commands.head.as-get",
    "HEAD below /proxy/ (Conventions)",
    "Below /proxy/, HEAD is answered wherever GET is, with its status and headers and no body.",
    *_READY,
)
_bug("commands.query.forwarded", "query string", "A query string reaches the runtime.", *_READY)
_bug("commands.body.forwarded", "non-JSON bodies", "An upload reaches the runtime.", *_READY)
_bug("commands.body.large", "bodies over 100 KB", "A body over 100 KB passes.", *_READY)
_bug("commands.reply.binary", "a download", "A reply that is not JSON passes.", *_READY)
_bug(
    "commands.headers.forwarded",
    "headers",
    "Headers reach the runtime.",
    *_READY,
    Need.PROBE,
)
_bug(
    "commands.unreachable.reset",
    "the runtime resets",
    "A runtime that breaks off is 502.",
    *_READY,
    Need.PROBE,
)
_bug(
    "commands.unreachable.no-json",
    "the runtime answers no JSON",
    "A reply that claims to be JSON and is none is 502.",
    *_READY,
    Need.PROBE,
)
_bug(
    "commands.deadline.504",
    "longer than 300 s",
    "A command that has not answered after 300 s is 504.",
    *_READY,
    Need.LONG_WAIT,
)
_rule(
    "commands.deadline.within",
    "longer than 300 s",
    "A command that answers within 300 s is not cut off.",
    *_READY,
    Need.EXACT_CLOCK,
)
_rule(
    "commands.disconnect.goes-on",
    "the caller disconnects",
    "A command whose caller has gone keeps running.",
    *_READY,
)

SHELL = Section("The AIO runtime's shell API")
_rule, _quirk = SHELL.rule, SHELL.quirk
_EXEC = "POST /v1/shell/exec"
_rule("shell.exec.reply", "reply wrapper", "A command's answer has every field.", *_READY)
_rule("shell.exec.output", _EXEC, "A command's output is what it wrote.", *_READY)
_rule("shell.exec.exit-code", _EXEC, "A command's exit code is its own.", *_READY)
_rule(
    "shell.exec.failure-succeeds",
    "a command that fails",
    "A command that fails is still 200 and success.",
    *_READY,
)
_rule("shell.exec.stderr", "stdout and stderr", "stderr is in the output.", *_READY)
_rule("shell.exec.once", _EXEC, "A command runs once.", *_READY)
_rule("shell.exec.unicode", _EXEC, "Any text passes both ways.", *_READY)
_rule("shell.exec.command-required", "422", "Without a command, exec is 422.", *_READY)
_rule("shell.exec.unknown-session", "id", "An unknown session is 404.", *_READY)
_rule("shell.exec.new-session", "id", "Without an id, a command makes a session.", *_READY)
_rule("shell.exec.directory", "exec_dir", "A command runs in exec_dir.", *_READY)
_rule(
    "shell.exec.missing-directory",
    "exec_dir",
    "Where exec_dir is missing, the session's directory is used.",
    *_READY,
)
_rule(
    "shell.exec.strict-directory",
    "strict",
    "With strict, a missing exec_dir is an error, and nothing runs.",
    *_READY,
)
_rule("shell.exec.async", "async_mode", "With async_mode, exec answers at once.", *_READY)
_rule(
    "shell.exec.timeout",
    "timeout",
    "A command that outlasts timeout is answered as running, and goes on.",
    *_READY,
)
_rule(
    "shell.exec.no-change-timeout",
    "no_change_timeout",
    "A command that is silent for no_change_timeout is answered so, and goes on.",
    *_READY,
)
_quirk(
    "shell.exec.hard-timeout",
    "hard_timeout (newer images only)",
    "hard_timeout kills and answers with the output so far; an older image ignores it.",
    *_READY,
)
_rule(
    "shell.exec.hard-timeout-ends",
    "hard_timeout",
    "A command's hard_timeout ends nothing that comes after it.",
    *_READY,
)
_rule(
    "shell.exec.truncate",
    "truncate",
    "Output above 30,000 characters is cut, unless truncate is false.",
    *_READY,
)
_SESSION = "a session is one persistent shell"
_rule("shell.session.directory", _SESSION, "cd lasts from one command to the next.", *_READY)
_rule("shell.session.variables", _SESSION, "export lasts likewise.", *_READY)
_rule("shell.session.apart", _SESSION, "One session's variables are not another's.", *_READY)
_rule("shell.session.listed", "sessions", "Sessions are listed.", *_READY)
_rule("shell.session.create", "create", "Making a session again gives the same.", *_READY)
_rule(
    "shell.session.delete",
    "DELETE",
    "An ended session is unknown, its command with it.",
    *_READY,
)
_rule("shell.view.reply", "view", "A session's snapshot is shown.", *_READY)
_rule("shell.view.exit-code", "exit_code", "exit_code is null until completed.", *_READY)
_rule("shell.wait.ends", "wait", "wait answers when the command has ended.", *_READY)
_rule("shell.wait.limit", "wait", "wait answers after its seconds, and nothing ends.", *_READY)
_rule("shell.write.input", "write", "What is written reaches the command.", *_READY)
_rule("shell.kill.ends", "kill", "kill ends the command.", *_READY)
_rule("shell.unknown.404", "an unknown session id", "An unknown id is 404 everywhere.", *_READY)
_rule("shell.sandbox.about", "GET /v1/sandbox", "The sandbox describes itself.", *_READY)

FILES = Section("The AIO runtime's file API")
_rule = FILES.rule
_WRITE, _READ, _LISTED = "/write", "/read", "/list"
_rule("files.write.reply", _WRITE, "A file is written, and its bytes counted.", *_READY)
_rule("files.write.parents", _WRITE, "A file's directories are made.", *_READY)
_rule("files.write.append", _WRITE, "append adds to what is there.", *_READY)
_rule("files.write.replaces", _WRITE, "Without append, what was there is replaced.", *_READY)
_rule("files.write.base64", _WRITE, "base64 writes any bytes.", *_READY)
_rule("files.read.reply", _READ, "A file is read as it was written.", *_READY)
_rule("files.read.lines", _READ, "start_line and end_line read a part.", *_READY)
_rule("files.list.reply", _LISTED, "A directory is listed, described and counted.", *_READY)
_rule("files.list.recursive", _LISTED, "recursive lists what is below.", *_READY)
_rule("files.list.max-depth", _LISTED, "max_depth ends how far.", *_READY)
_rule("files.list.hidden", _LISTED, "show_hidden decides about hidden files.", *_READY)
_rule("files.replace.reply", "/replace", "Text in a file is replaced.", *_READY)
_rule("files.search.reply", "/search", "Text in a file is found.", *_READY)
_rule("files.find.reply", "/find", "Files are found by pattern.", *_READY)
_rule(
    "files.fault.not-found",
    "a file fault",
    "A file that is not there is 200 without success, and the fault is described.",
    *_READY,
)
_rule(
    "files.fault.invalid-target",
    "error_type",
    "A directory where a file is meant is invalid_target.",
    *_READY,
)
_rule(
    "files.download.missing",
    "GET /v1/file/download",
    "A download of what is not there is 404, or as deployed another refusal, and never 2xx.",
    *_READY,
)
_rule("files.shell.same", "the persistent volume", "Files and commands meet.", *_READY)
_rule("files.place.there", "home and volume", "/home/gem and /sandbox are there.", *_READY)
