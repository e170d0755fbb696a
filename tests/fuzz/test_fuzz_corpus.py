"""The fuzzers' corpus, replayed without atheris; and that the laws they check can fail."""

from __future__ import annotations

import pytest
from fuzz import CORPUS, TARGETS, target


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_of_the_corpus_keeps_the_laws(name):
    one, inputs = target(name), sorted((CORPUS / name).iterdir())
    assert len(inputs) >= 20
    for path in inputs:
        try:
            one(path.read_bytes())
        except Exception as error:
            error.add_note(f"again: python tests/fuzz/fuzz.py {name} --replay {path}")
            raise


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < 300_000


BROKEN = {
    "config": ("pipeline.config.loader.parse_yaml", b"data: {path: d.csv, target: y}\n"),
    "csv": ("pipeline.ingest.csv.block.compute_row_ids", b"\0a,b\n1,x\n2,y\n"),
    "expression": ("pipeline.expression.arithmetic.apply_to_integers", b"i + j"),
    "schema": ("pipeline.ingest.csv.type_inference.find_misfits", b"\0a,b\n1,x\n2,y\n"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_an_error_of_another_kind_is_found(name, monkeypatch):
    broken, data = BROKEN[name]
    one = target(name)
    one(data)

    def fails(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(broken, fails)
    with pytest.raises(ZeroDivisionError):
        one(data)


def test_a_parser_that_loses_a_row_is_found(monkeypatch):
    from pipeline.ingest.csv import block

    one, at_once = target("csv"), block._parse_with_arrow

    def shorter(*args):
        found = at_once(*args)
        return found and (found[0][:-1], {n: a[:-1] for n, a in found[1].items()})

    monkeypatch.setattr(block, "_parse_with_arrow", shorter)
    with pytest.raises(AssertionError, match="rows and|other rows|ids differ"):
        one(b"\0a,b\n1,x\n2,y\n")
