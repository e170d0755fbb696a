"""Every op's reference: a first sentence, a docstring per parameter, YAML lines and an example."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import textwrap

import pytest
import yaml

from pipeline.features import try_op
from pipeline.features.registry import REGISTRY, get_op_class, parse_op, parse_ops


def yaml_lines(op):
    """The lines of the example before its first prompt."""
    _, _, example = inspect.getdoc(op).partition("\nExample:\n")
    return textwrap.dedent(example.partition(">>>")[0])


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_example_gives_what_it_says(name, monkeypatch):
    ops = parse_ops(yaml.safe_load(yaml_lines(get_op_class(name))))
    tried = []

    def noting(entry, *where):
        tried.append(parse_op(entry, *where))
        return tried[-1]

    monkeypatch.setattr(try_op, "parse_op", noting)
    monkeypatch.setattr("pipeline.features.registry.parse_op", noting)
    result = doctest.testmod(importlib.import_module(f"pipeline.features.ops.{name}"))
    assert result.attempted >= 2, "no example in the docstring"
    assert result.failed == 0
    assert ops and all(op in tried for op in ops), "the YAML lines are those of the example"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_docstring_has_the_shape_of_a_reference(name):
    op = get_op_class(name)
    first, blank, *_ = inspect.getdoc(op).split("\n")
    assert first.endswith(".") or ";" in first
    assert blank == ""
    assert re.match(r"[A-Z][a-z]+ ", first), "it begins with a verb"
    described = set()
    for owner in op.__mro__:
        if not owner.__module__.startswith("pipeline.features"):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                described.add(field.target.id)
    assert described >= set(op.model_fields)
