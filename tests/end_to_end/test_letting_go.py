"""What a run holds at each stage: frames until they are matrices, training rows until binned."""

import numpy as np
import pandas as pd
import pytest

from pipeline.cluster import partitions
from pipeline.config.model import Config
from pipeline.execution.runner import Listener, run
from pipeline.train.feed import PersistedMatrices


def test_frames_are_let_go_before_training(tmp_path):
    from distributed import default_client

    n = np.arange(400)
    frame = pd.DataFrame({"a": n % 7, "b": (n * 31) % 50, "y": (n % 7 > 2) * 1})
    frame.to_parquet(tmp_path / "rows.parquet")
    held = {}

    def stage(entry, ended):
        if not ended:
            held[entry.stage] = {str(key[0]).split("-")[0] for key in default_client().futures}

    config = Config.model_validate(
        {
            "data": {"path": str(tmp_path / "rows.parquet"), "target": "y"},
            "features": [],
            "models": {"xgboost": {"rounds": 2}, "forest": {"trees": 2}},
            "refit": "never",
            "device": "cpu",
        }
    )
    run(config, out=tmp_path / "run", listener=Listener(stage=stage))
    assert "assign_labels" in held["features"]
    assert "build_matrices" in held["train forest"]
    assert "assign_labels" not in held["train forest"]
    assert list(held).index("train forest") < list(held).index("train xgboost")
    assert "build_matrices" in held["train xgboost"]  # of all sets, for the bins
    assert "build_matrices" not in held["evaluate"] and "without" in held["evaluate"]


def test_a_set_that_was_let_go_is_never_given(client):
    sets = {"train": [1], "valid": [2]}
    held = PersistedMatrices(
        client,
        partitions.persist(client, partitions.map_partitions(range(3), lambda i: dict(sets))),
    )
    held.release("train")
    assert list(partitions.iter_results(client, held("valid"))) == [{"valid": [2]}] * 3
    with pytest.raises(AssertionError, match="train"):
        held("valid", "train")
