"""The examination and the samples, on a real GPU."""

import pytest

from pipeline.device.probe import probe_gpus
from pipeline.doctor import examine
from pipeline.telemetry.gpu_timeline import Timeline

pytestmark = pytest.mark.gpu


def test_this_gpu_host_is_well(tmp_path):
    findings = examine.examine(tmp_path)
    assert [f for f in findings if f.status == "fail"] == []
    computed = [f for f in findings if f.check.endswith(" computes")]
    assert len(computed) == len(probe_gpus().gpus) > 0
    assert findings[-1].detail.startswith("auto → GPU")


def test_a_gpu_at_work_is_seen_to_work(tmp_path):
    import cupy

    from pipeline.telemetry.nvml_usage import open_sampler

    timeline = Timeline(tmp_path / "gpu.json")
    with open_sampler(probe_gpus().gpus) as sample, timeline.sample_in_background(sample, 0.1):
        ones = cupy.ones((4096, 4096), dtype=cupy.float32)
        for _ in range(500):
            product = ones @ ones
        assert float(product[0, 0]) == 4096.0
    told = timeline.take_summary()["gpu"]
    assert told["peak_memory"] > 3 * ones.nbytes
    if "mean_busy" in told:  # a MIG slice does not tell
        assert told["mean_busy"] > 0
        assert told["peak_watts"] > 10 and told["peak_celsius"] > 10
    assert timeline.path.exists()
