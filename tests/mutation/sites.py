"""Where a module's source is changed: everywhere but where no reply could ever tell.

Left out are docstrings, annotations and other types, `if TYPE_CHECKING`, the bodies of protocols,
`__all__` and `__slots__`, decorators, and `assert`, which here only tells a type checker something.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.mutation.operators import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterator

_SILENT_NAMES = {"__all__", "__slots__"}
_SILENT_CALLS = {"TypeVar", "cast"}
_SILENT_FIELDS = {"annotation", "returns", "decorator_list", "type_params", "format_spec"}
_GENERIC = {"dict", "list", "set", "frozenset", "tuple", "type"}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change to one place. `lines` are those of the statement; of a block's, its head's."""

    operator: str
    line: int
    column: int
    was: str
    became: str
    lines: range
    old: ast.AST = field(repr=False, compare=False)
    new: ast.AST = field(repr=False, compare=False)


def mutations(tree: ast.Module) -> Iterator[Mutation]:
    """Yield every change to a module, in the order of its source."""
    for node, statement in _sites(tree, tree):
        for name, operator in OPERATORS.items():
            for change in operator(node):
                place = change.old
                yield Mutation(
                    name,
                    getattr(place, "lineno", 0),
                    getattr(place, "col_offset", 0),
                    change.was,
                    change.became,
                    _lines(statement),
                    change.old,
                    change.new,
                )


def mutated(tree: ast.Module, mutation: Mutation) -> ast.Module:
    """Return a copy of a module with one change."""
    # A deep copy takes what the memo holds for the copy that it has made of the old node.
    return copy.deepcopy(tree, {id(mutation.old): mutation.new})


def _sites(node: ast.AST, statement: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield every node that may be changed, with the statement that it is in."""
    if isinstance(node, ast.stmt):
        statement = node
    yield node, statement
    for name, value in ast.iter_fields(node):
        if name in _SILENT_FIELDS:
            continue
        for child in value if isinstance(value, list) else [value]:  # pyright: ignore[reportUnknownVariableType]  # of any node
            if isinstance(child, ast.AST) and not _is_silent(child):
                yield from _sites(child, statement)


def _is_silent(node: ast.AST) -> bool:
    """Tell whether nothing in a node could show in a reply."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assert():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.ClassDef(bases=bases):
            return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in bases)
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in _SILENT_NAMES
        case ast.Call(func=ast.Name(id=name)):
            return name in _SILENT_CALLS
        case ast.Subscript(value=ast.Name(id=name)):
            return name in _GENERIC or _is_type(name)
        case _:
            return False


def _is_type(name: str) -> bool:
    """Tell whether a name is written as those of types are."""
    bare = name.lstrip("_")
    return bare[:1].isupper() and not bare.isupper()


def _lines(statement: ast.AST) -> range:
    first = getattr(statement, "lineno", 0)
    last = getattr(statement, "end_lineno", first)
    for decorator in getattr(statement, "decorator_list", []):
        first = min(first, decorator.lineno)
    if body := getattr(statement, "body", None):
        last = max(first, body[0].lineno - 1)
    return range(first, last + 1)
