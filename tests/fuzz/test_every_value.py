"""Each value of a config that has every key, replaced by values of every kind that YAML has.

The config is taken or refused by an error of ours (`fuzz_config.lawful`), and so is its run.
Fuzzing finds such a mistake by chance; here each key meets each kind.
"""

from __future__ import annotations

import copy
import datetime
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from contract.cases import CASES, mixed, shops
from fuzz import target

from pipeline import run
from pipeline.config.model import Config
from pipeline.errors import PipelineError
from pipeline.features.registry import REGISTRY, dump_op, parse_op
from pipeline.train.model import MODEL_REGISTRY

ODD = [
    None, True, False, 0, -1, 2**63, 10**400, 0.5, 1e308, math.nan, math.inf,
    "", "x", "1", "auto", "ü\u202e", "a\nb", "x" * 300, datetime.date(2024, 2, 29),
    [], [None], [[]], ["a", "a"], [{"a": 1}], {}, {"a": {}}, {1: 2}, {None: []},
]  # fmt: skip

SECTIONS = {
    "data": {
        "path": "d.csv", "target": "y", "positive": "yes", "weight": "w", "rows": 10,
        "types": {"a": "text"}, "storage_options": {"key": "${KEY}", "client_kwargs": {"region_name": "eu"}},
        "csv": {"delimiter": ";", "header": ["a", "b"], "missing": [""], "true": ["y"], "false": ["n"]},
        "tables": {"t": {"path": ["t.csv"], "keys": ["a"]}},
    },
    "split": {"by": "time", "column": "t"},
    "evaluate": {"slices": ["a"]},
    "cluster": {"workers": 2, "threads": 1, "gpus": {"devices": [0], "release_threshold": "1GB"}},
    "memory": {"host": "2GB", "gpu": "1GB"},
}  # fmt: skip


MAIN = {"data": {"path": "d.csv", "target": "y"}}


def complete(changes):
    """A config with every key that a config can have."""
    tree = Config.parse(copy.deepcopy(MAIN | changes))
    return tree.model_dump(mode="json", by_alias=True)


TREES = {name: MAIN | {name: complete(SECTIONS)[name]} for name in SECTIONS}
TREES["the rest"] = {k: v for k, v in complete({}).items() if k not in SECTIONS or k == "data"}
TREES["models"] = {
    **MAIN,
    "models": {
        n: entry.params().model_dump(mode="json", by_alias=True)
        for n, entry in MODEL_REGISTRY.items()
    },
}
TREES |= {
    name: {**MAIN, "features": [dump_op(parse_op(c.entry)) for c in CASES if c.op_name == name][-1:]}
    for name in REGISTRY
}  # fmt: skip


def places(node, path=()):
    """The path to every value below the root, of lists to the first."""
    children = node if isinstance(node, dict) else dict(enumerate(node[:1])) if isinstance(node, list) else {}  # fmt: skip
    for key, child in children.items():
        yield (*path, key)
        yield from places(child, (*path, key))


def changed(tree, own):
    """The tree with each of its own values replaced by each odd one, and what was done."""
    for path in places(tree):
        for odd in ODD if own(path) else ():
            other = copy.deepcopy(tree)
            node = other
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = odd
            yield other, f"{'.'.join(map(str, path))}: {odd!r}"


@pytest.mark.parametrize("name", TREES)
def test_every_value_is_taken_or_refused_by_name(name):
    lawful = target("config").__globals__["lawful"]
    lawful(copy.deepcopy(TREES[name]))
    found = list(changed(TREES[name], lambda path: name == "data" or path[0] != "data"))
    assert found
    for tree, what in found:
        try:
            lawful(tree)
        except Exception as error:
            error.add_note(what)
            raise


# -- run -------------------------------------------------------------------------------------------
QUICK = {"models": {"xgboost": {"rounds": 2}}, "golden": 5, "refit": "never", "device": "cpu"}
RUNS = ("data", "split", "evaluate", "memory", "the rest", "models", *REGISTRY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Main and side tables with the columns that the trees name."""
    path = tmp_path_factory.mktemp("every")
    frame = pd.DataFrame(mixed()).replace({"x": {math.inf: 9.0}})
    at = np.arange(len(frame))
    own = {"y": np.array(["no", "yes"])[at % 2], "w": 1.0 + at % 3, "b": at % 7,
           "a": np.array(["p", "q", "r"])[at % 3], "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(at, "h")}  # fmt: skip
    frame.assign(**own).to_parquet(path / "d.parquet", index=False)
    pd.DataFrame(own).to_csv(path / "d.csv", index=False)
    pd.DataFrame({"a": ["p", "q"], "size": [1, 2]}).to_csv(path / "t.csv", index=False)
    for name, table in shops().items():
        table.reset_index(drop=True).to_csv(path / f"{name}.csv", index=False)
    return path


def runnable(name):
    """The tree over the data of `folder`."""
    tree = copy.deepcopy(TREES[name]) | {k: v for k, v in QUICK.items() if k not in TREES[name]}
    tree["cluster"] = {"dashboard": False}
    if name == "data":
        tree["data"] |= {"csv": {**tree["data"]["csv"], "delimiter": ",", "header": True}}
        tree["data"] |= {"storage_options": {}, "rows": 200}
    elif name == "models":
        tree["models"]["xgboost"] |= {"rounds": 2}
        tree["models"]["forest"] |= {"trees": 2}
    elif name in REGISTRY:
        tree["data"] = {"path": "d.parquet", "target": "y", "tables": {
            "shops": {"path": "shops.csv", "keys": ["text é"]},
            "grid": {"path": "grid.csv", "keys": ["a.b c", "text é"]},
        }}  # fmt: skip
        tree["features"] = [*tree["features"], {"keep": ["numeric", "bool"]}]
    return tree


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_value_that_is_taken_runs_or_is_refused(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    run(Config.parse(runnable(name)), out=tmp_path / "whole", serial=True)
    own = {"the rest": ("name", "seed", "golden", "refit", "device")}.get(name, (name, "features"))
    seen = set()
    for tree, what in changed(runnable(name), lambda path: path[0] in own and path[1:2] != (1,)):
        out = tmp_path / "run"
        shutil.rmtree(out, ignore_errors=True)
        try:
            config = Config.parse(tree)
            if config.to_yaml() in seen:
                continue
            seen.add(config.to_yaml())
            run(config, out=out, serial=True)
        except PipelineError as error:
            assert str(error).count("\n") < 12, what
            assert not (out / "manifest.json").exists(), what
        except Exception as error:
            error.add_note(what)
            raise
