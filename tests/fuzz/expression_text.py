"""An expression's nodes as text again, with parentheses around every part."""

from __future__ import annotations

from dataclasses import replace

from pipeline.expression.nodes import Arithmetic, Call, Compare, Literal, Logic, Member, Name, Node


def text_of(node: Node) -> str:  # noqa: PLR0911
    """A text that parses to these nodes, but for their places."""
    match node:
        case Literal(value=value):
            return f'"{_escaped(value)}"' if isinstance(value, str) else repr(value)
        case Name(column=column):
            return f"`{column}`"
        case Arithmetic(op=op, operands=(a,)):
            return f"({op} {text_of(a)})"
        case Arithmetic(op=op, operands=(a, b)):
            return f"({text_of(a)} {op} {text_of(b)})"
        case Compare(ops=ops, operands=(first, *rest)):
            parts = [f" {op} {text_of(o)}" for op, o in zip(ops, rest, strict=True)]
            return f"({text_of(first)}{''.join(parts)})"
        case Member(operand=operand, values=values, negated=negated):
            listed = ", ".join(text_of(v) for v in values)
            return f"({text_of(operand)} {'not in' if negated else 'in'} [{listed}])"
        case Logic(op="not", operands=(a,)):
            return f"(not {text_of(a)})"
        case Logic(op=op, operands=operands):
            return "(" + f" {op} ".join(map(text_of, operands)) + ")"
        case Call(function=function, operands=operands):
            return f"{function}({', '.join(map(text_of, operands))})"
    raise TypeError(node)


def _escaped(text: str) -> str:
    named = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(named.get(c, c) for c in text)


def without_places(node: Node) -> Node:
    """The nodes at position 0, all of them."""
    match node:
        case Literal() | Name():
            return replace(node, at=0)
        case Member(operand=operand, values=values):
            plain = tuple(replace(v, at=0) for v in values)
            return replace(node, at=0, operand=without_places(operand), values=plain)
        case Arithmetic() | Compare() | Logic() | Call():
            return replace(node, at=0, operands=tuple(map(without_places, node.operands)))
    raise TypeError(node)
