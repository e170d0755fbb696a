"""The examination: of fake machines, and that it never fails on this one."""

import dataclasses
import json
import tomllib
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from fake_gpus import GIB, Fake, gpu
from fake_host import CPU_ONLY, NO_GPU, ON_GPU, FakeHost

from pipeline.device.probe import Probe
from pipeline.doctor import examine, gpus, packages, plugin
from pipeline.doctor.finding import Finding
from pipeline.doctor.health import GpuCondition, Health
from pipeline.errors import MachineError

TWO = (gpu(0), gpu(1))
L4 = dataclasses.replace(gpu(1, "NVIDIA L4", (8, 9)), memory=24 * GIB, free=23 * GIB)


def examined(tmp_path, host):
    return {f.check: f for f in examine.examine(tmp_path, host)}


def troubles(findings):
    """(check, status) of what is not well, each of which says how to mend it."""
    bad = [f for f in findings if f.status != "ok"]
    assert all(f.fix for f in bad)
    return {(f.check, f.status) for f in bad}


def test_a_machine_without_a_gpu_says_so_and_what_would_run(tmp_path):
    found = examined(tmp_path, FakeHost(NO_GPU, CPU_ONLY))
    assert found["runs"].detail == (
        "auto → CPU: pandas 3.0.6, scikit-learn 1.9.1, XGBoost 3.2.0 "
        "(no GPU: no NVIDIA driver: NVML library not found)"
    )
    assert list(found)[-1] == "runs"
    assert found["GPU"].status == "warn" and found["GPU"].fix
    assert found["XGBoost"].detail == "xgboost-cpu 3.2.0"
    assert found["RAPIDS"].status == "ok"
    assert not {"GPUs alike", "between GPUs", "room to spill", "versions fit", "NCCL"} & set(found)


def test_a_machine_with_a_gpu(tmp_path):
    health = Health({0: GpuCondition(ecc=True, ecc_next=True, pcie=(5, 16), links=(True,) * 18)})
    found = examined(tmp_path, FakeHost(conditions=health))
    assert found["driver"].detail == "580.65.06, up to CUDA 13.0"
    assert found["GPU 0"].detail == (
        "NVIDIA H200, 139.0 GiB of 140.0 GiB free, compute capability 9.0, ECC on, PCIe 5 × 16, "
        "18 NVLinks"
    )
    assert found["GPU 0 computes"].detail == "CuPy, cuDF, XGBoost and cuML"
    assert found["NCCL"].detail == "nvidia-nccl-cu13 2.27.5"
    assert "distributed-ucxx-cu13 is not installed" in found["UCX"].detail
    assert found["runs"].detail.startswith("auto → GPU: cuDF 26.10.2, cuML 26.10.0, XGBoost 3.2.0")
    assert {check for check, _ in troubles(found.values())} <= {
        "memory",
        "disk",
        "dashboard",
        "room to spill",
    }


def test_a_gpu_that_does_not_compute_is_not_chosen(tmp_path):
    problem = "XGBoost: out of memory"
    found = examined(tmp_path, FakeHost(broken={"GPU-0a0b": problem}))
    assert (found["GPU 0 computes"].status, found["GPU 0 computes"].detail) == ("fail", problem)
    assert "nvidia-smi" in found["GPU 0 computes"].fix
    assert found["runs"].detail.endswith(f"(no GPU: {problem})")


@pytest.mark.parametrize(
    ("problem", "fix"),
    [
        ("cuML: ModuleNotFoundError: No module named 'cuml'", "new environment"),
        ("XGBoost: this XGBoost is the CPU build", "the line on XGBoost"),
        ("cuDF: no answer within 120 s", "restart"),
        (
            "CuPy: cudaErrorInsufficientDriver: CUDA driver version is insufficient",
            "update the driver",
        ),
        ("cuDF: what nobody has seen yet", "python -c"),
    ],
)
def test_what_a_library_says_leads_to_its_fix(problem, fix):
    (finding,) = gpus.check_computation(FakeHost(broken={"GPU-0a0b": problem}), FakeHost().probe())
    assert fix in finding.fix


# -- drivers, modes, faults ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hardware", "check", "detail", "fix"),
    [
        (Fake(broken="nvidia-ml-py is not installed"), "driver", "nvidia-ml-py", ""),
        (Fake(version="550.1", cuda=12040), "driver", "runs CUDA 12.4, the installed libraries need CUDA 13.0", "driver 580"),
        (Fake(version="525.1", cuda=12000, major=12), "driver", "need CUDA 12.2", "driver 535"),
        (Fake((gpu(),), slices={0: ()}), "GPU", "none has a slice", "mig -cgi"),
        (Fake(absent=("cudf",)), "GPU", "cudf is not installed", ".[gpu]"),
    ],
)  # fmt: skip
def test_why_there_is_no_gpu(tmp_path, hardware, check, detail, fix):
    found = examined(tmp_path, FakeHost(hardware))
    assert found[check].status == "warn"
    assert detail in found[check].detail and fix in found[check].fix
    assert found["runs"].detail.startswith("auto → CPU")


def test_a_gpu_in_mig_mode(tmp_path):
    hardware = Fake((gpu(),), slices={0: (gpu(0, "H200 MIG 1g.18gb", uuid="MIG-aa"),)})
    found = examined(
        tmp_path, FakeHost(hardware, conditions=Health({0: GpuCondition(mig=True, slices=7)}))
    )
    assert "H200 MIG 1g.18gb" in found["GPU 0"].detail
    assert "one of 7 slices" in found["GPU 0"].detail


FAULTY = [
    (GpuCondition(mig=True), "warn", "without a slice", "mig -i 3 -cgi"),
    (GpuCondition(mode="prohibited"), "fail", "no process", "-c DEFAULT"),
    (GpuCondition(mode="exclusive"), "warn", "one process", "-i 3 -c DEFAULT"),
    (GpuCondition(remap_failed=True), "fail", "no spare", "replace"),
    (GpuCondition(remap_waits=True), "warn", "waits for a reset", "--gpu-reset"),
    (GpuCondition(uncorrected=2000), "warn", "2,000 memory errors", "--gpu-reset"),
    (GpuCondition(ecc=False, ecc_next=True), "warn", "ECC will be on", "--gpu-reset"),
    (GpuCondition(slowed=("heat",)), "warn", "slowed down by heat", "fans"),
    (GpuCondition(links=(True, False, False)), "warn", "2 of 3 NVLinks are down", "nvlink -s"),
]


@pytest.mark.parametrize(("condition", "status", "detail", "fix"), FAULTY)
def test_faults_and_modes_are_told_with_their_fix(condition, status, detail, fix):
    (finding,) = gpus.check_conditions(Probe((), "none"), Health({3: condition}))
    assert (finding.check, finding.status) == ("GPU 3", status)
    assert detail in finding.detail and fix in finding.fix
    assert gpus.check_conditions(Probe((), "none"), Health({3: GpuCondition()})) == []


def test_faults_of_gpus_that_are_left_out_do_not_count():
    faulty = Health({i: GpuCondition(remap_failed=True) for i in range(3)})
    host = FakeHost(Fake(TWO), environ={"CUDA_VISIBLE_DEVICES": "1"})
    assert [f.check for f in gpus.check_conditions(host.probe(), faulty)] == ["GPU 1"]


def test_memory_that_others_hold():
    held = dataclasses.replace(gpu(), free=3 * GIB)
    (finding,) = gpus.check_gpus(FakeHost(Fake((held,))).probe(), Health())
    assert finding.status == "warn" and "nvidia-smi" in finding.fix


# -- several GPUs ----------------------------------------------------------------------------------


def test_two_gpus_of_different_size(tmp_path):
    found = examined(tmp_path, FakeHost(Fake((gpu(0), L4))))
    assert found["GPUs alike"].status == "warn"
    assert "1: NVIDIA L4 24.0 GiB" in found["GPUs alike"].detail
    assert found["GPUs alike"].fix == "export CUDA_VISIBLE_DEVICES=GPU-0a0b"


def test_two_gpus_that_fit_and_work_together(tmp_path):
    host = FakeHost(Fake(TWO))
    found = examined(tmp_path, host)
    assert found["GPUs alike"].detail == "2 × NVIDIA H200"
    assert found["between GPUs"].status == found["GPUs together"].status == "ok"
    assert host.added_up == [["GPU-0a0b", "GPU-1a1b"]]


def test_gpus_that_do_not_reach_each_other(tmp_path):
    health = Health({}, apart=frozenset({(0, 1), (1, 2)}))
    host = FakeHost(Fake(TWO), conditions=health, apart="NCCL: no answer within 120 s")
    found = examined(tmp_path, host)
    assert found["between GPUs"].detail.startswith("no peer access between 0 and 1: ")
    assert (
        found["GPUs together"].status == "fail" and "NCCL_P2P_DISABLE" in found["GPUs together"].fix
    )
    one = FakeHost(Fake(TWO), broken={"GPU-1a1b": "cuDF: it smokes"})
    assert "GPUs together" not in examined(tmp_path, one)  # what fails alone is not tried together
    assert one.added_up == []


def test_room_on_the_host_for_what_spills():
    probe = FakeHost().probe()
    assert gpus.check_spill_room(probe, 200 * GIB)[0].status == "ok"
    assert gpus.check_spill_room(probe, 100 * GIB)[0].status == "warn"


# -- packages --------------------------------------------------------------------------------------


CPU, CUDA_13, CUDA_12 = map(packages.choose_xgboost, ("cpu", "gpu", "gpu-cu12"))


@pytest.mark.parametrize(
    ("installed", "hardware", "status", "fix"),
    [
        ({}, Fake(), "fail", ".[cpu]"),
        ({"xgboost": "3.2.0", "xgboost-cpu": "3.2.0"}, NO_GPU, "fail", f"pip uninstall -y xgboost xgboost-cpu && pip install {CPU}"),
        ({"xgboost-cu13": "3.2.0", "xgboost": "3.2.0"}, Fake(), "fail", f"pip install {CUDA_13}"),
        ({"xgboost-cu12": "3.4.1", "xgboost": "3.4.1"}, Fake(), "fail", f"pip install {CUDA_13}"),
        ({"xgboost-cpu": "3.2.0"}, Fake(), "fail", f"pip install {CUDA_13}"),
        ({"xgboost-cu13": "3.2.0"}, Fake(cuda=12080, major=12), "fail", f"pip install {CUDA_12}"),
        ({"xgboost": "3.4.1"}, Fake(cuda=12080, major=12), "fail", f"pip install {CUDA_12}"),
        ({"xgboost-cu13": "3.4.1"}, Fake(), "fail", f"pip install {CUDA_13}"),  # a stub alone
        ({"xgboost-cpu": "3.2.0"}, NO_GPU, "ok", ""),
        ({"xgboost-cu13": "3.2.0"}, NO_GPU, "ok", ""),
        ({"xgboost": "3.2.0"}, Fake(), "ok", ""),
        ({"xgboost": "3.2.0"}, Fake(cuda=12080, major=12), "ok", ""),
        ({"xgboost-cu12": "3.4.1"}, Fake(cuda=12080, major=12), "ok", ""),
        ({"xgboost-cu13": "3.4.1", "xgboost": "3.4.1"}, Fake(), "ok", ""),
        ({"xgboost-cu12": "3.2.0", "xgboost": "3.2.0"}, Fake(cuda=12080, major=12), "ok", ""),
    ],
)  # fmt: skip
def test_exactly_one_xgboost_that_fits(installed, hardware, status, fix):
    host = FakeHost(hardware, installed)
    finding = packages.check_xgboost(host, host.probe())
    assert finding.status == status
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("installed", "hardware", "status", "fix"),
    [
        ({"cudf-cu12": "26.10.2", "cuml-cu13": "26.10.0"}, Fake(), "fail", '".[gpu]" in a new'),
        ({"cudf-cu13": "26.10.2", "cupy-cuda12x": "14.2.0"}, Fake(), "fail", "cannot be mixed"),
        ({"cudf-cu13": "26.10.2", "rmm-cu12": "26.10.0"}, Fake(cuda=12080), "fail", '".[gpu-cu12]"'),
        ({"cudf-cu13": "26.10.2"}, Fake(version="550.1", cuda=12040), "fail", ".[gpu-cu12]"),
        ({}, Fake(), "warn", '".[gpu]"'),
        ({}, Fake(cuda=12080), "warn", '".[gpu-cu12]"'),
        ({}, NO_GPU, "ok", ""),
        (ON_GPU, Fake(), "ok", ""),
    ],
)  # fmt: skip
def test_rapids_is_of_one_cuda_version_that_the_driver_runs(installed, hardware, status, fix):
    host = FakeHost(hardware, installed)
    finding = packages.check_rapids(host, host.probe())
    assert finding.status == status
    assert fix in finding.fix


def test_what_rapids_requires_is_there():
    needs = ["pandas<3.1,>=3.0", "rmm-cu13==26.10.*", 'ipython; extra == "test"']
    host = FakeHost(packages={**ON_GPU, "rmm-cu13": "26.10.0"}, required={"cudf-cu13": needs})
    assert packages.check_requirements(host).status == "ok"
    host.packages = {**ON_GPU, "pandas": "3.1.0"}
    finding = packages.check_requirements(host)
    assert finding.status == "fail"
    assert "cudf-cu13 26.10.2 needs pandas<3.1,>=3.0, and 3.1.0 is installed" in finding.detail
    assert "needs rmm-cu13==26.10.*, and none is installed" in finding.detail
    host.required = {"cudf-cu13": [f"lib{i}>=1" for i in range(9)]}
    assert packages.check_requirements(host).detail.endswith("; 6 more")


def test_two_nccl_in_one_folder():
    (finding,) = packages.check_nccl(FakeHost(packages={**ON_GPU, "nvidia-nccl-cu12": "2.27.5"}))
    assert finding.status == "warn"
    assert finding.fix.startswith("pip uninstall -y nvidia-nccl-cu12 && ")


def test_another_cuda_in_the_library_path(tmp_path):
    for name, files in {
        "old": ["libcudart.so.12"],
        "same": ["libcublas.so.13"],
        "none": [],
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    path = f"{tmp_path}/absent:{tmp_path}/none::{tmp_path}/same"
    assert packages.check_library_path(FakeHost(environ={"LD_LIBRARY_PATH": path})).status == "ok"
    host = FakeHost(environ={"LD_LIBRARY_PATH": f"{path}:{tmp_path}/old"})
    finding = packages.check_library_path(host)
    assert finding.status == "warn" and f"{tmp_path}/old with CUDA 12" in finding.detail


def test_versions_that_do_not_fit(monkeypatch):
    monkeypatch.setattr(
        packages, "_read_pins", lambda: {"pandas": ">=3.0,<3.1", "dask": "==2026.7.1"}
    )
    have = {**CPU_ONLY, "pandas": "2.2.3", "bokeh": None}
    found = {f.check: f for f in packages.check_pins(FakeHost(packages=have))}
    assert [found[n].status for n in ("pandas", "bokeh", "dask")] == ["fail", "fail", "ok"]
    assert found["pandas"].fix == 'pip install "pandas>=3.0,<3.1"'


# -- as it is told ---------------------------------------------------------------------------------


def test_this_machine_is_examined(tmp_path):
    findings = examine.examine(tmp_path)
    text = json.dumps(examine.to_json(findings))
    assert json.loads(text)["ok"] == all(f.status != "fail" for f in findings)
    assert set(json.loads(text)["findings"][0]) == {"check", "status", "detail", "fix"}
    troubles(findings)
    assert findings[-1].detail.startswith("auto → ")


def test_for_reading_what_is_well_is_short_and_nothing_is_mended_twice(tmp_path):
    found = examine.examine(tmp_path, FakeHost(NO_GPU, {**CPU_ONLY, "bokeh": "4.0"}))
    bad = Finding("bokeh", "fail", "4.0, but <3.10 is needed", "pip")
    found = [bad if f.check == "bokeh" else f for f in found]
    shown = [f.check for f in examine.summarize_findings(found)]
    assert "driver" in shown and "GPU" not in shown  # the same reason, the same fix
    assert "bokeh" in shown and "pandas" not in shown
    (versions,) = [f for f in examine.summarize_findings(found) if f.check == "versions"]
    assert versions.detail == "pandas 3.0.6, dask 2026.7.1, distributed 2026.7.1, treelite 4.8.1"
    assert {"memory", "limits", "disk", "RAPIDS", "runs"} <= set(shown)
    two = [
        f
        for c in FAULTY[4:6]
        for f in gpus.check_conditions(Probe((), ""), Health({0: c[0], 1: c[0]}))
    ]
    assert examine.summarize_findings(two) == two


# -- rapids doctor ---------------------------------------------------------------------------------


@pytest.fixture
def check():
    """As rapids-cli finds it: the object of our entry point in its group."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    declared = tomllib.loads(text)["project"]["entry-points"]["rapids_doctor_check"]
    ((name, value),) = declared.items()
    return EntryPoint(name, value, "rapids_doctor_check").load()


@pytest.mark.parametrize("more", [{}, {"gpu_info": object()}])
def test_rapids_doctor_can_call_it(check, more, monkeypatch, tmp_path):
    monkeypatch.setattr(plugin, "examine", lambda: examine.examine(tmp_path, FakeHost()))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert check(verbose=False, **more).startswith("auto → GPU")
        assert "GPU 0 computes: CuPy, cuDF, XGBoost and cuML" in check(verbose=True, **more)
    assert check.__doc__.strip().split("\n")[0]
    assert check.__name__ == "pipeline_check"


def test_rapids_doctor_hears_of_warnings_and_failures(check, monkeypatch, tmp_path):
    host = FakeHost(Fake((gpu(0), L4)), broken={"GPU-0a0b": "cuDF: it smokes"})
    monkeypatch.setattr(plugin, "examine", lambda: examine.examine(tmp_path, host))
    with (
        warnings.catch_warnings(record=True) as told,
        pytest.raises(MachineError, match="GPU 0 computes: cuDF: it smokes. Fix: "),
    ):
        warnings.simplefilter("always")
        check(verbose=True)
    said = [str(warning.message) for warning in told]
    assert any(
        s.startswith("GPUs alike: ") and "Fix: export CUDA_VISIBLE_DEVICES" in s for s in said
    )
