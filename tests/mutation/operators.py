"""The small ways in which source is made wrong: each operator changes one thing of one node.

They are the standard ones, as cosmic-ray and mutmut have them:

- comparison    `<` becomes `<=`, `==` `!=`, `is` `is not`, `in` `not in`, and back
- boolean       `and` becomes `or`, and back
- negation      `not x` becomes `x`, and `-x` too
- condition     what is asked by `if`, by `while`, and in a comprehension is always true, or never
- number        one more, and one less; `True` becomes `False`, and back
- text          is longer, bytes too: keys of a reply, words of a message, patterns, SQL
- arithmetic    `+` becomes `-`, `*` `/`, `//` `/`, `%` `/`, `|` `&`, `<<` `>>`, and back
- result        `return x` becomes `return None`
- statement     what is done for its effect is left out: a call, a `raise`, a `del`, a `break`, a
                `continue`, an assignment to an attribute or an item
- entry         one entry of a dict display is left out
- argument      one keyword argument of a call is left out

Default arguments are numbers, texts and truth values, and are changed as those. `while` is never
made endless: that says nothing but that a loop is run.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_Node = TypeVar("_Node", bound=ast.AST)

_COMPARED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_CALCULATED: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Div,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A node and what takes its place, both in words too."""

    old: ast.AST
    new: ast.AST
    was: str
    became: str


def _comparison(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for number, op in enumerate(node.ops):
            yield _with(node, ops=_replaced(node.ops, number, _COMPARED[type(op)]()))


def _boolean(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())


def _negation(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield _instead(node, node.operand)


def _condition(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.If() | ast.IfExp():
            yield from _forced(node.test, True, False)
        case ast.While():
            yield from _forced(node.test, False)
        case ast.comprehension():
            for test in node.ifs:
                yield from _forced(test, True, False)
        case _:
            pass


def _forced(test: ast.expr, *values: bool) -> Iterator[Change]:
    if not isinstance(test, ast.Constant):
        for value in values:
            yield _instead(test, ast.Constant(value))


def _number(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Constant(value=bool(truth)):
            yield _with(node, value=not truth)
        case ast.Constant(value=int(number) | float(number)):
            yield _with(node, value=number + 1)
            yield _with(node, value=number - 1)
        case _:
            pass


def _text(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Constant(value=str(text)):
            yield _with(node, value=f"XX{text}XX" if text else "XX")
        case ast.Constant(value=bytes(octets)):
            yield _with(node, value=b"XX%sXX" % octets if octets else b"XX")
        case _:
            pass


def _arithmetic(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _CALCULATED:
        yield _with(node, op=_CALCULATED[type(node.op)]())


def _result(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Return(value=None | ast.Constant(value=None)):
            pass
        case ast.Return():
            yield _with(node, value=ast.Constant(None))
        case _:
            pass


def _statement(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete():
            yield _instead(node, ast.Pass(), "nothing")
        case ast.Break() | ast.Continue():
            yield _instead(node, ast.Pass(), "nothing")
        case (
            ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
            | ast.AugAssign(target=ast.Attribute() | ast.Subscript())
            | ast.AnnAssign(target=ast.Attribute() | ast.Subscript())
        ):
            yield _instead(node, ast.Pass(), "nothing")
        case _:
            pass


def _entry(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Dict):
        for number, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
            if key is not None:
                fewer = _with(
                    node, keys=_without(node.keys, number), values=_without(node.values, number)
                )
                was = f"{ast.unparse(key)}: {ast.unparse(value)}"
                yield Change(node, fewer.new, was, "no entry")


def _argument(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Call):
        for number, each in enumerate(node.keywords):
            if each.arg is not None:
                fewer = _with(node, keywords=_without(node.keywords, number))
                yield Change(node, fewer.new, ast.unparse(each), "no argument")


OPERATORS: Mapping[str, Callable[[ast.AST], Iterator[Change]]] = {
    "comparison": _comparison,
    "boolean": _boolean,
    "negation": _negation,
    "condition": _condition,
    "number": _number,
    "text": _text,
    "arithmetic": _arithmetic,
    "result": _result,
    "statement": _statement,
    "entry": _entry,
    "argument": _argument,
}


def _with(node: ast.AST, **fields: Any) -> Change:
    """Change some fields of a node."""
    return _instead(node, type(node)(**{**dict(ast.iter_fields(node)), **fields}))


def _instead(old: ast.AST, new: ast.AST, became: str | None = None) -> Change:
    """Put a node in another's place."""
    placed = ast.fix_missing_locations(ast.copy_location(new, old))
    return Change(old, placed, ast.unparse(old), ast.unparse(new) if became is None else became)


def _replaced(items: list[_Node], number: int, item: _Node) -> list[_Node]:
    return [*items[:number], item, *items[number + 1 :]]


def _without(items: list[Any], number: int) -> list[Any]:
    return [*items[:number], *items[number + 1 :]]
