"""Extract the messages that the programs can print from their source.

In a message, `…` stands for each part that is only known at run time.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GAP = "…"
LAUNCHER = (ROOT / "client" / "launch").read_text()

# Functions that take a message as their first argument; the client's errors are found by class.
CLIENT_CALLS = {"config_error", "_told"}
# Functions that return a part of a message.
CLIENT_PARTS = {"template_problem", "describe_body"}
FAKE_PROXY_CALLS = {
    "ArgumentTypeError",
    "DataUnusable",
    "IsolationUnavailable",
    "ListenerRefused",
    "InvalidDocument",
    "StoreUnusable",
    "UnusableAdminKey",
    "UsageError",
}
CONTRACT_CALLS = {
    "ArgumentTypeError",
    "CannotRun",
    "InvalidReport",
    "NoAddress",
    "Unreachable",
    "Unusable",
    "_complain",
}


@dataclass(frozen=True)
class Message:
    """A message and its place in the source, as `path:line`."""

    text: str
    place: str


@cache
def trees(package: str) -> list[tuple[str, ast.Module]]:
    """Return the path and the syntax tree of each module of a package."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in paths]


def text_of(node: ast.expr) -> str:
    """Return the text of a string expression, with GAP for each part that is not literal."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
        case _:
            return GAP


def all_texts() -> list[str]:
    """Return every string literal of the three packages and every line of the launcher."""
    found = [
        text_of(node)
        for package in ("client", "fakeproxy", "contract")
        for _, tree in trees(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)
    ]
    return [*found, *(_replace_variables(line) for line in LAUNCHER.splitlines())]


def client_messages() -> list[Message]:
    """Return the messages of the client's errors, diagnostic findings and launcher."""
    modules = trees("client")
    calls = _subclasses("SandboxError", [tree for _, tree in modules]) | CLIENT_CALLS
    found = [
        message
        for path, tree in modules
        for message in [
            *_passed_messages(path, tree, calls),
            *_returned_messages(path, tree, CLIENT_PARTS),
        ]
    ]
    return [*found, *_launcher_messages()]


def program_messages(package: str, calls: set[str]) -> list[Message]:
    """Return the messages that the functions named in `calls` take."""
    return [
        message for path, tree in trees(package) for message in _passed_messages(path, tree, calls)
    ]


def _subclasses(base: str, modules: Iterable[ast.Module]) -> set[str]:
    """Return the names of a class and all its subclasses."""
    parents = {
        node.name: {each.id for each in node.bases if isinstance(each, ast.Name)}
        for tree in modules
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    names = {base}
    while more := {name for name, bases in parents.items() if bases & names} - names:
        names |= more
    return names


def _passed_messages(path: str, tree: ast.Module, calls: set[str]) -> Iterator[Message]:
    """Yield the messages that calls take, literally or in a variable of the same function."""
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        passed = [argument for node in ast.walk(scope) for argument in _arguments(node, calls)]
        for argument in passed:
            yield Message(text_of(argument), f"{path}:{argument.lineno}")
        names = {
            node.id
            for argument in passed
            for node in ast.walk(argument)
            if isinstance(node, ast.Name)
        }
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign | ast.AugAssign) and _targets(node) & names:
                yield Message(text_of(node.value), f"{path}:{node.lineno}")


def _arguments(node: ast.AST, calls: set[str]) -> list[ast.expr]:
    """Return the message argument of a call as a list, empty if the call takes none."""
    if not isinstance(node, ast.Call):
        return []
    name = node.func.attr if isinstance(node.func, ast.Attribute) else name_of(node.func)
    if name == "Finding" and text_of(node.args[0]) in {"warned", "failed"}:
        return node.args[1:2]
    return node.args[:1] if name in calls else []


def name_of(node: ast.expr) -> str:
    """Return the identifier of a name expression, or "" for another expression."""
    return node.id if isinstance(node, ast.Name) else ""


def _targets(node: ast.Assign | ast.AugAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {name_of(target) for target in targets}


def _returned_messages(path: str, tree: ast.Module, functions: set[str]) -> Iterator[Message]:
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef) and scope.name in functions:
            for node in ast.walk(scope):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield Message(text_of(node.value), f"{path}:{node.lineno}")


def _launcher_messages() -> Iterator[Message]:
    """Yield the strings after `fail` in the launcher, joined over continued lines."""
    for strings in re.findall(r'\bfail ((?:"[^"]*"[ \\\n]*)+)', LAUNCHER):
        whole = re.sub(r'"[ \\\n]*"?', " ", strings).strip()
        yield Message(_replace_variables(whole), "client/launch")


def _replace_variables(shell: str) -> str:
    """Return shell text with GAP for each variable and command substitution."""
    return re.sub(r"\$\([^)]*\)|\$\{\w+:?-[^}]*\}|\$\w+", GAP, shell)
