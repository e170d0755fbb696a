"""40 spellings of the same instants: as columns, in targets, as time of a split, and in new data."""

from __future__ import annotations

import fake_cudf
import numpy as np
import pandas as pd
import pytest

from pipeline import Config, run
from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract
from pipeline.predict.batch import predict_files

STAMPS = pd.Series(pd.date_range("2019-11-23 08:05:09", periods=240, freq="77h31min"))
SPELLINGS = {  # how the instants are written: the format by which pandas reads them, if another one
    "%Y-%m-%d": "", "%Y-%m-%d %H:%M:%S": "", "%Y-%m-%dT%H:%M:%S": "", "%Y-%m-%d %H:%M": "",
    "%Y-%m-%dT%H:%M:%SZ": "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S+02:00": "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S UTC": "", "%Y-%m-%d %H:%M:%S GMT": "", "%Y-%m-%d %H:%M:%S -0330": "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S.%f": "", "%Y-%m-%d %H:%M:%S.123456789": "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%-m-%-d": "%Y-%m-%d", "%Y-%-m-%-d %-H:%M": "%Y-%m-%d %H:%M", "%Y/%m/%d": "", "%Y/%m/%d %H:%M:%S": "",
    "%Y.%m.%d": "", "%d/%m/%Y": "", "%m/%d/%Y": "", "%-d/%-m/%Y": "%d/%m/%Y", "%-m/%-d/%Y": "%m/%d/%Y",
    "%d-%m-%Y": "", "%m-%d-%Y": "", "%d.%m.%Y": "", "%-d.%-m.%Y %-H:%M": "%d.%m.%Y %H:%M",
    "%-m/%-d/%y": "%m/%d/%y", "%d/%m/%y": "", "%d.%m.%y": "", "%d-%m-%y %H:%M": "",
    "%m/%d/%Y %I:%M:%S %p": "", "%-m/%-d/%Y %-I:%M %p": "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M%p": "",
    "%b %d, %Y": "", "%B %-d, %Y": "%B %d, %Y", "%d-%b-%Y": "", "%d-%b-%y": "", "%d %B %Y %H:%M": "",
    "%a, %d %b %Y %H:%M:%S GMT": "", "%a %b %d %H:%M:%S %Y": "", "%Y%m%dT%H%M%S": "",
    "%d/%b/%Y:%H:%M:%S +0100": "%d/%b/%Y:%H:%M:%S %z",
}  # fmt: skip
FEW = ("%-m/%-d/%Y %-I:%M %p", "%Y-%m-%d %H:%M:%S UTC")
each = [pytest.param(s, marks=[] if s in FEW else pytest.mark.slow) for s in SPELLINGS]


def write(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False, sep=";")
    return str(path)


def instants(words, spelling):
    stamps = pd.to_datetime(words, format=SPELLINGS[spelling] or spelling, utc=True)
    return stamps.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def test_the_list_has_40_spellings():
    assert len(SPELLINGS) == 40


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_both_readers_give_the_instants_of_pandas(tmp_path, spelling):
    words = STAMPS.dt.strftime(spelling)
    expected = instants(words, spelling)
    source = Source(path=write(tmp_path / "d.csv", when=words, n=range(240)))
    asked = source.model_copy(update={"types": {"when": "datetime"}})
    trained = infer_contract(source)
    # the order of day and month is that of the run, also if only ambiguous dates follow
    ambiguous = (STAMPS.dt.day <= 12) & (STAMPS.dt.day != STAMPS.dt.month)
    new = Source(path=write(tmp_path / "new.csv", when=words[ambiguous], n=1))
    cases = [(trained, expected), (infer_contract(asked), expected)]
    cases.append((match_contract(trained, new, ["when"]), expected[ambiguous]))
    for contract, wanted in cases:
        for device in (cpu, fake_cudf.device()):
            (block,) = plan_blocks(contract)
            frame, rejected = read_block(block, contract, ["when"], device, "quarantine")
            assert rejected is None and str(frame["when"].dtype) == "datetime64[us]"
            assert (frame["when"].to_numpy() == wanted).all()


def ran(folder, target, words, **changes):
    folder.mkdir()
    r = np.random.default_rng(0)
    age, noise = r.integers(18, 90, len(words)), r.random(len(words))
    y = ((STAMPS.dt.month > 6) ^ (age > 55)).astype(int)
    path = write(folder / "d.csv", when=words, age=age, noise=noise, y=y)
    quick = {
        "models": {"xgboost": {"rounds": 20, "max_depth": 3}}, "refit": "never", "golden": 0,
        "cluster": {"kind": "process", "dashboard": False},
    }  # fmt: skip
    config = Config.parse({"data": {"path": path, "target": target}, **quick, **changes})
    outcome = run(config, out=folder / "run")
    predict_files(outcome.folder, [path], folder / "scores.csv")
    return outcome, (folder / "scores.csv").read_text()


@pytest.fixture(scope="module")
def iso_run(tmp_path_factory):
    """Run on ISO dates, once per list of them."""
    runs = {}

    def get(name, target, words, **changes):
        key = (name, *words)
        if key not in runs:
            runs[key] = ran(tmp_path_factory.mktemp("iso") / name, target, words, **changes)
        return runs[key]

    return get


@pytest.mark.parametrize("spelling", each)
def test_runs_are_those_on_iso_dates(tmp_path, iso_run, spelling):
    words = STAMPS.dt.strftime(spelling)
    iso = pd.Series(instants(words, spelling)).dt.strftime("%Y-%m-%d %H:%M:%S.%f")
    if "H" not in spelling and "I" not in spelling:
        iso = iso.str.slice(0, 10)
    split = {"by": "time", "column": "when"}
    for name, target, changes in (
        ("target", 'when > "2020-10-05 10:00"', {}),
        ("split", "y", {"split": split}),
    ):
        own, scores = ran(tmp_path / name, target, words, **changes)
        other, expected = iso_run(name, target, iso, **changes)
        assert own.metrics == other.metrics
        assert scores == expected
    contract = Contract.read(own.folder / "ingest" / "schema.json")
    assert contract.schema["when"].dtype == "datetime"
