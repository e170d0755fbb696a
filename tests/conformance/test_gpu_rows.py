"""A run as far as its matrices with the GPU's own functions and readers, beside the CPU's.

cuDF and CuPy are the stand-ins of `columns.py`; what is compared is what `parity` compares.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from cases import CASES, setting
from test_scoring import scorer_on

from pipeline.config.model import Config
from pipeline.device import choose
from pipeline.device.choose import DeviceChoice
from pipeline.device.probe import Gpu
from pipeline.execution.context import Listener
from pipeline.execution.job import prepare_job
from pipeline.ingest import partitions
from pipeline.parity import compare
from pipeline.parity.device_run import start_device_run

ROOT = Path(__file__).parents[2]
GPU = Gpu(0, "GPU-0", "a GPU", 2**37, 2**37, (9, 0))


@pytest.fixture
def chosen(gpu):
    """The GPU's functions, as what the device ``gpu`` is."""
    choose.frames_of.cache_clear()
    yield gpu
    choose.frames_of.cache_clear()


def test_new_rows_are_scored_alike(chosen):
    given = setting(CASES[0])
    there, here = (scorer_on(name, given.schema) for name in ("gpu", "cpu"))
    expected = here.predict_storage(given.host)
    pd.testing.assert_frame_equal(there.predict_storage(chosen.to_device(given.host)), expected)
    assert 0 < expected["prediction"].isna().sum() < len(expected)  # filtered
    host = given.host.astype({n: object for n in given.host if n.startswith("text")})
    pd.testing.assert_frame_equal(there.predict(host), here.predict(host))


@pytest.fixture
def on_both(chosen, monkeypatch):
    """The checks of a config's rows, columns and features."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(partitions, "SMALL_BLOCK", 1)

    def checked(config, folder):
        job = prepare_job(config)
        choices = [
            DeviceChoice("gpu", "gpu", "pretended", (GPU,)),
            DeviceChoice("cpu", "cpu", "asked for"),
        ]
        with (
            start_device_run(
                replace(job, choice=choices[0]), folder / "gpu", Listener(), serial=True
            ) as first,
            start_device_run(
                replace(job, choice=choices[1]), folder / "cpu", Listener(), serial=True
            ) as second,
        ):
            sides = [first, second]
            for side in sides:
                side.read()
            found = compare.compare_rows(*sides)
            for side in sides:
                side.build_features()
            return [*found, *compare.compare_features(*sides)], first.state.context.ledger.entries

    return checked


@pytest.mark.parametrize("kind", ["parquet", pytest.param("csv", marks=pytest.mark.slow)])
def test_flights_on_the_gpu_are_those_on_the_cpu(on_both, tmp_path, kind):
    flights = pq.read_table(ROOT / "data" / "flights" / "flights.parquet")
    flights = flights.take(list(range(0, len(flights), len(flights) // 700)))
    path = tmp_path / f"f.{kind}"
    if kind == "csv":
        arrow_csv.write_csv(flights, path)
    else:
        pq.write_table(flights, path, row_group_size=250)
    config = Config.load(
        ROOT / "conf" / "flights.yaml",
        [f"data.path={path}", "cluster.dashboard=false", "device=cpu"],
    )
    checks, entries = on_both(config, tmp_path)
    assert [c for c in checks if not c.passed] == []
    assert len(checks) > 30 and all(c.compared for c in checks if c.stage != "features")
    notes = " ".join(note for entry in entries for note in entry.notes)
    assert "cuDF" in notes and "left" not in notes
