"""The config: read safely, overridden, explained when wrong, written back."""

from __future__ import annotations

import json

import pytest
import yaml

from pipeline.config.loader import expand_environment
from pipeline.config.model import MODELS, Config, OnlyWords
from pipeline.config.yaml_text import parse_yaml
from pipeline.errors import ConfigError
from pipeline.train.model import MODEL_REGISTRY, parse_models

GOOD = {"data": {"path": "a.csv", "target": "y"}}


def tree(**changes):
    return {**GOOD, **changes}


def test_defaults_round_trip_through_yaml():
    config = Config.parse(tree(split={"by": "time", "column": "t"}, models={"forest": None}))
    assert Config.parse(yaml.safe_load(config.to_yaml())) == config


def test_overrides_are_yaml_and_make_parents():
    config = Config.parse(tree(), ["models.xgboost.rounds=3", "split={by: time, column: t}"])
    assert config.models["xgboost"] == {"rounds": 3}
    assert config.split.by == "time"


def test_what_is_parsed_is_not_changed():
    asked = {"data": {"path": "a.csv", "target": "y"}, "cluster": "cores"}
    before = json.dumps(asked)
    Config.parse(asked, ["data.rows=3", "models.forest.trees=3"])
    assert json.dumps(asked) == before


def test_an_override_of_one_model_leaves_the_other():
    config = Config.parse(tree(), ["models.forest.trees=3"])
    assert config.models == {"xgboost": {}, "forest": {"trees": 3}}
    config = Config.parse(tree(models={"forest": {}}), ["models.forest.trees=3"])
    assert config.models == {"forest": {"trees": 3}}
    assert set(MODELS) <= set(MODEL_REGISTRY)


def test_trees_are_no_estimators():
    with pytest.raises(ConfigError, match="forest.n_estimators: unknown[\\s\\S]*'trees'"):
        parse_models({"forest": {"n_estimators": 3}})


def test_null_removes_a_model():
    config = Config.parse(tree(), ["models.forest=null"])
    assert list(parse_models(config.models)) == ["xgboost"]


def test_cluster_may_be_a_word():
    assert Config.parse(tree(cluster="cores")).cluster.kind == "cores"


def test_refit_takes_booleans():
    assert Config.parse(tree(refit=False)).refit == "never"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devce": "gpu"}, "devce: unknown key\n  Fix: check the spelling: did you mean 'device'"),
        ({"device": "tpu"}, "device: must be 'auto', 'gpu' or 'cpu'"),
        ({"data": {"path": "a"}}, "data.target: missing"),
        ({"split": {"by": "time"}}, "by: time needs a column"),
        ({"split": {"by": "random", "column": "x"}}, "by: random takes no column"),
        ({"split": {"valid": 0.5, "test": 0.5}}, "leave no training rows"),
        ({"seed": -1}, "seed"),
        ({"name": "../evil"}, "name"),
        ({"data": {**GOOD["data"], "types": {"a": "int"}}}, "data.types.a"),
        ({"data": {**GOOD["data"], "storage_options": {"secret": "abc"}}}, r"\$\{NAME\}"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        Config.parse(tree(**changes))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.csv.sep=x", "csv.sep: unknown key[\\s\\S]*write 'delimiter'"),
        ("data.csv.decimal=x", "by the column's values"),
        ("data.dtype=x", "write 'types'"),
        ("split.test_size=x", "write 'test'"),
        ("test_size=x", "write 'split'"),
        ("decimal=x", "choose one of: "),
    ],
)
def test_keys_of_other_libraries(override, told):
    with pytest.raises(ConfigError, match=told):
        Config.parse(tree(), [override])


def test_several_mistakes_are_listed_together():
    with pytest.raises(ConfigError, match="2 mistakes"):
        Config.parse({"data": {"path": "a"}, "seed": "x"})


@pytest.mark.parametrize("override", ["novalue", "data.path.x=1", "a=[", "=1"])
def test_bad_overrides(override):
    with pytest.raises(ConfigError, match="--set"):
        Config.parse(tree(data={"path": "p", "target": "y"}), [override])


def test_files_that_are_no_config(tmp_path):
    with pytest.raises(ConfigError, match="there is no config"):
        Config.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        Config.load(tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1\nb: 2")
    with pytest.raises(ConfigError, match="line 2"):
        Config.load(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Config.load(bad)


def test_yaml_that_would_run_code_is_refused(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        Config.load(bad)


def test_a_merged_key_is_no_double_one():
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: [*b, *a], y: 4}\n"
    assert parse_yaml(text, "it")["c"] == {"x": 3, "y": 4}
    with pytest.raises(ConfigError, match="line 2, column 11: the key 'x' appears twice, first in line 2"):  # fmt: skip
        parse_yaml("a: 1\nb: {x: 1, x: 2}\n", "it")


def test_environment(monkeypatch):
    monkeypatch.setenv("KEY", "abc")
    assert expand_environment({"a": ["${KEY}/x"]}) == {"a": ["abc/x"]}
    with pytest.raises(ConfigError, match="has no variable 'NOPE_X'"):
        expand_environment("${NOPE_X}")


@pytest.mark.parametrize(
    ("pool", "key"),
    [
        ("none", "maximum_pool_size"),
        ("managed", "maximum_pool_size"),
        ("pool", "release_threshold"),
    ],
)
def test_pool_options_without_a_use_are_refused(pool, key):
    cluster = {"kind": "gpus", "gpus": {"pool": pool, key: "4GB"}}
    with pytest.raises(ConfigError, match=rf"{key} is for pool: async.*, not for {pool}"):
        Config.parse({"data": {"path": "x", "target": "y"}, "cluster": cluster})


@pytest.mark.parametrize("key", ["dashboard_address", "metrics_address"])
@pytest.mark.parametrize("value", [8787, ":8787", "localhost", "127.0.0.1:http"])
def test_an_address_is_host_and_port(key, value):
    tree = {"data": {"path": "x", "target": "y"}, "cluster": {key: value}}
    with pytest.raises(ConfigError, match=rf"cluster\.{key}: .*host:port, such as 127"):
        Config.parse(tree)


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("{true: [yes], false: [no, off]}", ("yes",), ("no", "off")),
        ("{'true': [On, y], 'false': N}", ("On", "y"), ("N",)),
        ("{true: [1, 01, 1.0], false: 0}", ("1", "01", "1.0"), ("0",)),
        ("{true: ['yes', true], false: [null, ~]}", ("yes", "true"), ("null", "~")),
    ],
)
def test_words_of_csv_are_texts_as_written(text, true, false):
    tree = parse_yaml("data: {path: d.csv, target: y, csv: " + text + "}", "c.yaml")
    csv = Config.parse(tree).data.csv
    assert (csv.true, csv.false) == (true, false)
    written = Config.parse(tree).to_yaml()
    assert Config.parse(parse_yaml(written, "config.yaml")).data.csv == csv


def test_words_of_csv_from_the_command_line():
    tree = {"data": {"path": "d.csv", "target": "y"}}
    overrides = ["data.csv.true=[yes, 1]", "data.csv.missing=no", "data.csv.header=[a, on]"]
    csv = Config.parse(tree, overrides).data.csv
    assert (csv.true, csv.missing, csv.header) == (("yes", "1"), ("no",), ("a", "on"))
    assert Config.parse(tree, ["data.csv.header=no"]).data.csv.header is False


def test_words_that_replace_the_default_ones():
    tree = {"data": {"path": "d.csv", "target": "y"}}
    for override in ("data.csv.missing={only: [no, -1]}", "data.csv.missing.only=[no, -1]"):
        assert Config.parse(tree, [override]).data.csv.missing == OnlyWords(only=("no", "-1"))
    text = "data: {path: d.csv, target: y, csv: {missing: {only: [no, -1]}}}"
    config = Config.parse(parse_yaml(text, "c.yaml"))
    assert config.data.csv.missing == OnlyWords(only=("no", "-1"))
    assert Config.parse(parse_yaml(config.to_yaml(), "config.yaml")).data.csv == config.data.csv


def test_a_header_of_csv_may_be_a_boolean_or_names():
    for text, header in (("no", False), ("yes", True), ("[no, 1]", ("no", "1"))):
        tree = parse_yaml("data: {path: d.csv, target: y, csv: {header: " + text + "}}", "c.yaml")
        assert Config.parse(tree).data.csv.header == header


def test_a_word_and_its_quoted_form_are_one_key_under_csv():
    with pytest.raises(ConfigError, match="the key 'true' appears twice"):
        parse_yaml('csv: {true: [a], "true": [b]}', "it")
