"""Each value of a config that has every key, replaced by values of every kind that YAML has.

The config is taken or refused by an error of ours (`fuzz_config.lawful`). Fuzzing finds such a
mistake by chance; here each key meets each kind.
"""

from __future__ import annotations

import copy
import datetime
import math

import pytest
from contract.cases import CASES
from fuzz import target

from pipeline.config import Config
from pipeline.features.registry import REGISTRY, op_entry, parse_op
from pipeline.train.params import PARAMS

ODD = [
    None, True, False, 0, -1, 2**63, 10**400, 0.5, 1e308, math.nan, math.inf,
    "", "x", "1", "auto", "ü\u202e", "a\nb", "x" * 300, datetime.date(2024, 2, 29),
    [], [None], [[]], ["a", "a"], [{"a": 1}], {}, {"a": {}}, {1: 2}, {None: []},
]  # fmt: skip

SECTIONS = {
    "data": {
        "path": "d.csv", "target": "y", "positive": "yes", "weight": "w", "rows": 10,
        "types": {"a": "text"}, "storage_options": {"key": "${KEY}", "client": {"region": "eu"}},
        "csv": {"delimiter": ";", "header": ["a", "b"], "missing": [""], "true": ["y"], "false": ["n"]},
        "tables": {"t": {"path": ["t.csv"], "keys": ["a"]}},
    },
    "split": {"by": "time", "column": "t"},
    "evaluate": {"slices": ["a"]},
    "cluster": {"workers": 2, "threads": 1, "gpus": {"devices": [0], "release_threshold": "1GB"}},
    "memory": {"host": "2GB", "gpu": "1GB"},
}  # fmt: skip


def complete(changes):
    """A config with every key that a config can have."""
    tree = Config.parse({"data": {"path": "d.csv", "target": "y"}, **copy.deepcopy(changes)})
    return tree.model_dump(mode="json", by_alias=True)


TREES = {name: {"data": {"path": "d.csv", "target": "y"}, name: complete(SECTIONS)[name]}
         for name in SECTIONS}  # fmt: skip
TREES["the rest"] = {k: v for k, v in complete({}).items() if k not in SECTIONS or k == "data"}
TREES["models"] = {
    **TREES["data"],
    "models": {n: kind().model_dump(mode="json", by_alias=True) for n, kind in PARAMS.items()},
}
TREES |= {
    name: {**TREES["data"], "features": [op_entry(parse_op(c.entry)) for c in CASES if c.op_name == name][-1:]}
    for name in REGISTRY
}  # fmt: skip


def places(node, path=()):
    """The path to every value below the root, of lists to the first."""
    children = node if isinstance(node, dict) else dict(enumerate(node[:1])) if isinstance(node, list) else {}  # fmt: skip
    for key, child in children.items():
        yield (*path, key)
        yield from places(child, (*path, key))


@pytest.mark.parametrize("name", TREES)
def test_every_value_is_taken_or_refused_by_name(name):
    lawful = target("config").__globals__["lawful"]
    own = [p for p in places(TREES[name]) if name == "data" or p[0] != "data"]
    assert own
    lawful(copy.deepcopy(TREES[name]))
    for path in own:
        for odd in ODD:
            tree = copy.deepcopy(TREES[name])
            node = tree
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = odd
            try:
                lawful(tree)
            except Exception as error:
                error.add_note(f"{'.'.join(map(str, path))}: {odd!r}")
                raise
