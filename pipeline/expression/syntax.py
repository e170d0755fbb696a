"""The syntax of expressions: Python's parser reads the text, and its tree becomes our nodes."""

from __future__ import annotations

import ast
import math
import warnings
from dataclasses import dataclass, field

from pipeline.errors import ConfigError, shorten, suggest_or_list
from pipeline.expression.nodes import (
    Arithmetic,
    Call,
    Compare,
    Literal,
    Logic,
    Member,
    Name,
    Node,
    make_error,
)

MAX_CHARS, MAX_NODES, MAX_DEPTH = 2_000, 200, 50
INT64 = range(-(2**63), 2**63)

FUNCTIONS: dict[str, tuple[int, int | None]] = {
    "abs": (1, 1), "min": (2, None), "max": (2, None), "round": (1, 2), "floor": (1, 1),
    "ceil": (1, 1), "sqrt": (1, 1), "exp": (1, 1), "log": (1, 1), "log1p": (1, 1),
    "is_missing": (1, 1), "coalesce": (2, None), "where": (3, 3),
}  # fmt: skip
"""Fewest and most arguments of each function; None: any number."""

_ARITHMETIC: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.UAdd: "+", ast.USub: "-",
}  # fmt: skip
_LOGIC: dict[type[ast.AST], str] = {ast.And: "and", ast.Or: "or", ast.Not: "not"}
_COMPARE: dict[type[ast.AST], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_REJECTED: dict[type[ast.AST], tuple[str, str]] = {
    # node -> what it is called in the message, and what to write instead
    ast.Attribute: ("a dot after a name", "quote a column name with dots in backticks: `a.b`"),
    ast.BitAnd: ("&", "write: and"),
    ast.BitOr: ("|", "write: or"),
    ast.BitXor: ("^", "write ** for powers"),
    ast.Invert: ("~", "write: not"),
    ast.LShift: ("<<", "multiply by a power of 2"),
    ast.RShift: (">>", "use // with a power of 2"),
    ast.MatMult: ("@", ""),
    ast.In: ("`in` within a chain of comparisons", "put parentheses around it"),
    ast.NotIn: ("`not in` within a chain of comparisons", "put parentheses around it"),
    ast.JoinedStr: ("an f-string", "write a plain text"),
    ast.NamedExpr: (":=", "compare with =="),
    ast.Is: ("is", "write ==, or is_missing(x)"),
    ast.IsNot: ("is not", "write !=, or not is_missing(x)"),
    ast.IfExp: ("if … else", "write where(condition, a, b)"),
    ast.List: ("a list", "lists stand only after `in`"),
    ast.Tuple: ("a list", "lists stand only after `in`"),
    ast.Subscript: ("square brackets after a name", "quote an odd column name in backticks"),
}
_ESCAPES = "\\'\"ntr"


def parse_nodes(text: str) -> Node:
    """Parse an expression to its tree.

    Raises:
        ConfigError: the text is not an expression of this language; names part and position.
    """
    if not text.strip():
        raise ConfigError("the expression is empty", fix="name a column, or write one like a > 15")
    if len(text) > MAX_CHARS:
        raise ConfigError(
            f"the expression has {len(text)} characters, more than {MAX_CHARS}",
            fix="split it over several columns with derive",
        )
    plain, quoted = _replace_quoted_names(text)
    lead = len(plain) - len(plain.lstrip())
    try:
        with warnings.catch_warnings():  # `1and a` is an expression, whatever Python thinks of it
            warnings.simplefilter("ignore")
            tree = ast.parse(plain.lstrip(), mode="eval").body
    except SyntaxError as error:
        at = min(lead + max(0, (error.offset or 1) - 1), len(text) - 1)
        raise make_error(
            text,
            at,
            f"not an expression: {error.msg}",
            "compare with ==, put odd column names in backticks (`a b`) and texts in quotes",
        ) from None
    except (RecursionError, MemoryError):
        raise ConfigError(
            f"the expression is nested deeper than {MAX_DEPTH} levels",
            fix="split it over several columns with derive",
        ) from None
    return _Reader(text, plain, lead, quoted).node(tree, 0)


def _replace_quoted_names(text: str) -> tuple[str, dict[int, str]]:
    """Replace names in backticks by underscores of the same length, for Python's parser.

    Returns:
        The text, and the names by their positions.
    """
    out: list[str] = []
    names: dict[int, str] = {}
    at = 0
    while at < len(text):
        char = text[at]
        if char in "\"'":
            end = _find_string_end(text, at)
            out.append(text[at:end])
        elif char == "`":
            end = text.find("`", at + 1) + 1
            if end <= at + 2:
                raise make_error(text, at, "a backtick without its pair, or around nothing")
            names[at] = text[at + 1 : end - 1]
            out.append("_" * (end - at))
        elif char == "#" or (char != " " and not char.isprintable() and not char.isspace()):
            raise make_error(text, at, f"{char!r} has no meaning here")
        else:
            end = at + 1
            # line ends become blanks, so that a YAML block may hold the expression
            out.append(" " if char.isspace() else char)
        at = end
    return "".join(out), names


def _find_string_end(text: str, start: int) -> int:
    at = start + 1
    while at < len(text) and text[at] != text[start]:
        if text[at] == "\\":
            if text[at + 1 : at + 2] not in _ESCAPES:
                raise make_error(text, at, "a backslash in a text", "write two: \\\\")
            at += 1
        at += 1
    if at >= len(text):
        raise make_error(text, start, "a text without its closing quote")
    return at + 1


@dataclass
class _Reader:
    """Converter of Python's nodes to ours, which counts them."""

    text: str
    plain: str
    lead: int
    quoted: dict[int, str]
    count: int = field(default=0)

    def at(self, node: ast.expr) -> int:
        """Return the position in the text."""
        # `ast` counts UTF-8 bytes
        before = self.plain.lstrip().encode()[: node.col_offset]
        return self.lead + len(before.decode())

    def node(self, tree: ast.expr, depth: int) -> Node:
        """Convert one of `ast`'s nodes."""
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise ConfigError(
                f"the expression has more than {MAX_NODES} parts or {MAX_DEPTH} levels",
                fix="split it over several columns with derive",
            )
        at = self.at(tree)
        match tree:
            case ast.Constant():
                return self.literal(tree, at)
            case ast.Name():
                return self.name(tree, at)
            case ast.Compare():
                return self.compare(tree, at, depth)
            case ast.Call():
                return self.call(tree, at, depth)
            case ast.BinOp() | ast.UnaryOp() | ast.BoolOp():
                return self.operation(tree, at, depth)
        raise self.rejection(tree, at)

    def operation(self, tree: ast.BinOp | ast.UnaryOp | ast.BoolOp, at: int, depth: int) -> Node:
        """Convert an operator and its operands."""
        if type(tree.op) in _LOGIC:
            kind: type[Arithmetic | Logic] = Logic
        elif type(tree.op) in _ARITHMETIC:
            kind = Arithmetic
        else:
            raise self.rejection(tree.op, at)
        if isinstance(tree, ast.BoolOp):
            operands = tree.values
        else:
            operands = [tree.left, tree.right] if isinstance(tree, ast.BinOp) else [tree.operand]
        word = (_LOGIC | _ARITHMETIC)[type(tree.op)]
        return kind(at, word, tuple(self.node(o, depth + 1) for o in operands))

    def literal(self, tree: ast.Constant, at: int) -> Literal:
        """Convert a number, a text, True or False."""
        value = tree.value
        if value is None:
            raise make_error(self.text, at, "None has no meaning here", "write is_missing(x)")
        if isinstance(value, bool | str):
            return Literal(at, value)
        if isinstance(value, int) and value in INT64:
            return Literal(at, value)
        if isinstance(value, float) and math.isfinite(value):
            return Literal(at, value)
        raise make_error(self.text, at, f"{shorten(value)} is not a number that a column can hold")

    def name(self, tree: ast.Name, at: int) -> Name:
        """Convert a column's name."""
        # as it was typed: `ast` normalises letters (NFKC)
        typed = self.plain.lstrip().encode()[tree.col_offset : tree.end_col_offset].decode()
        return Name(at, self.quoted.get(at, typed))

    def compare(self, tree: ast.Compare, at: int, depth: int) -> Node:
        """Convert a comparison, chained or not, or a membership."""
        for op in tree.ops:
            if isinstance(op, ast.In | ast.NotIn) and len(tree.ops) == 1:
                return self.member(tree, at, depth)
            if type(op) not in _COMPARE:
                raise self.rejection(op, at)
        operands = tuple(self.node(o, depth + 1) for o in (tree.left, *tree.comparators))
        return Compare(at, tuple(_COMPARE[type(op)] for op in tree.ops), operands)

    def member(self, tree: ast.Compare, at: int, depth: int) -> Node:
        """Convert ``in`` or ``not in`` with a list of literals."""
        (listed,) = tree.comparators
        if not isinstance(listed, ast.List | ast.Tuple | ast.Set) or not listed.elts:
            raise make_error(
                self.text, self.at(listed), "`in` takes a list of values", 'for example ["a", "b"]'
            )
        values = []
        for element in listed.elts:
            value = self.node(element, depth + 1)
            if isinstance(value, Arithmetic) and len(value.operands) == 1:
                # `ast` has no negative numbers: a sign before a number becomes part of it.
                (inner,) = value.operands
                if isinstance(inner, Literal) and not isinstance(inner.value, bool | str):
                    signed = -inner.value if value.op == "-" else inner.value
                    value = Literal(value.at, signed)
            if not isinstance(value, Literal):
                raise make_error(
                    self.text, value.at, "the list after `in` takes only literal values"
                )
            values.append(value)
        negated = isinstance(tree.ops[0], ast.NotIn)
        return Member(at, self.node(tree.left, depth + 1), tuple(values), negated)

    def call(self, tree: ast.Call, at: int, depth: int) -> Node:
        """Convert a call of a known function with positional arguments."""
        function = tree.func
        if not isinstance(function, ast.Name) or self.at(function) in self.quoted:
            raise make_error(self.text, at, "only functions can be called")
        if function.id not in FUNCTIONS:
            fix = suggest_or_list(function.id, FUNCTIONS)
            raise make_error(self.text, at, f"there is no function {function.id!r}", fix)
        if tree.keywords or any(isinstance(a, ast.Starred) for a in tree.args):
            raise make_error(self.text, at, f"{function.id} takes plain arguments only")
        fewest, most = FUNCTIONS[function.id]
        if len(tree.args) < fewest or (most is not None and len(tree.args) > most):
            wanted = (
                f"{fewest}"
                if fewest == most
                else f"{fewest} to {most}"
                if most
                else f"{fewest} or more"
            )
            raise make_error(
                self.text, at, f"{function.id} takes {wanted} arguments, not {len(tree.args)}"
            )
        return Call(at, function.id, tuple(self.node(a, depth + 1) for a in tree.args))

    def rejection(self, part: ast.AST, at: int) -> ConfigError:
        """Return the error for a part of Python that this language does not have."""
        word, fix = _REJECTED.get(type(part), (type(part).__name__, ""))
        return make_error(
            self.text,
            at,
            f"{word} has no meaning here",
            fix
            or "use only + - * / // % **, comparisons, and, or, not, in, "
            f"and the functions {', '.join(FUNCTIONS)}",
        )
