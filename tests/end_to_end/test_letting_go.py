"""What a run holds at each stage: frames only until the matrices are made of them."""

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.runner import Listener, run


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
            "models": {"xgboost": {"rounds": 2}},
            "refit": "never",
            "device": "cpu",
        }
    )
    run(config, out=tmp_path / "run", listener=Listener(stage=stage))
    assert "assigned" in held["features"]
    assert "matrices" in held["train xgboost"]
    assert "assigned" not in held["train xgboost"]
