"""The messages that the programs can print, read from their source by its syntax tree.

A message is text in which `…` stands for each part that is only known when the program runs.
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

# Calls whose first argument is a message, besides the errors of the client.
CLIENT_CALLS = {"fail", "_told"}
# The functions that return a part of a message.
CLIENT_PARTS = {"template_fault", "form"}
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
    "NoAddress",
    "ReportUnreadable",
    "Unreachable",
    "Unusable",
    "_complain",
}


@dataclass(frozen=True)
class Message:
    """A message, and the line of source that it stands on."""

    text: str
    place: str


@cache
def trees(package: str) -> list[tuple[str, ast.Module]]:
    """Return each module of a package, with its path in the repository."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in paths]


def text_of(node: ast.expr) -> str:
    """Return a string expression's text, with a gap for all that is not literal."""
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
    """Return every string literal of the three packages, and the words of the launcher."""
    found = [
        text_of(node)
        for package in ("client", "fakeproxy", "contract")
        for _, tree in trees(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)
    ]
    return [*found, *(_without_variables(line) for line in LAUNCHER.splitlines())]


def client_messages() -> list[Message]:
    """Return the messages of the client's errors, of its findings and of its launcher."""
    modules = trees("client")
    calls = _family("SandboxError", [tree for _, tree in modules]) | CLIENT_CALLS
    found = [
        message
        for path, tree in modules
        for message in [*_called(path, tree, calls), *_returned(path, tree, CLIENT_PARTS)]
    ]
    return [*found, *_launcher_messages()]


def program_messages(package: str, calls: set[str]) -> list[Message]:
    """Return the messages with which a program ends when it cannot do its work."""
    return [message for path, tree in trees(package) for message in _called(path, tree, calls)]


def _family(base: str, modules: Iterable[ast.Module]) -> set[str]:
    """Return the names of a class and of all that derive from it."""
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


def _called(path: str, tree: ast.Module, calls: set[str]) -> Iterator[Message]:
    """Yield the messages in calls of these names, and in the variables that are passed to them."""
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        passed = [said for node in ast.walk(scope) for said in _arguments(node, calls)]
        for said in passed:
            yield Message(text_of(said), f"{path}:{said.lineno}")
        names = {
            node.id for said in passed for node in ast.walk(said) if isinstance(node, ast.Name)
        }
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign | ast.AugAssign) and _targets(node) & names:
                yield Message(text_of(node.value), f"{path}:{node.lineno}")


def _arguments(node: ast.AST, calls: set[str]) -> list[ast.expr]:
    """Return the argument of a call that is its message, if it has one."""
    if not isinstance(node, ast.Call):
        return []
    name = node.func.attr if isinstance(node.func, ast.Attribute) else name_of(node.func)
    if name == "Finding" and text_of(node.args[0]) in {"warned", "failed"}:
        return node.args[1:2]
    return node.args[:1] if name in calls else []


def name_of(node: ast.expr) -> str:
    """Return the name that an expression is; empty if it is none."""
    return node.id if isinstance(node, ast.Name) else ""


def _targets(node: ast.Assign | ast.AugAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {name_of(target) for target in targets}


def _returned(path: str, tree: ast.Module, functions: set[str]) -> Iterator[Message]:
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef) and scope.name in functions:
            for node in ast.walk(scope):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield Message(text_of(node.value), f"{path}:{node.lineno}")


def _launcher_messages() -> Iterator[Message]:
    """Yield the strings after `fail` in the launcher, over continued lines."""
    for said in re.findall(r'\bfail ((?:"[^"]*"[ \\\n]*)+)', LAUNCHER):
        whole = re.sub(r'"[ \\\n]*"?', " ", said).strip()
        yield Message(_without_variables(whole), "client/launch")


def _without_variables(shell: str) -> str:
    """Return words of the shell with a gap for each of its variables and commands."""
    return re.sub(r"\$\([^)]*\)|\$\{\w+:?-[^}]*\}|\$\w+", GAP, shell)
