"""`run --profile`: the file that a profiler leaves, and what is said where there is none."""

from __future__ import annotations

import json
import os
import pstats
import stat
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.__main__ import run_command_line
from pipeline.device import nvtx_ranges


@pytest.fixture
def data(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((400, 3)), columns=list("abc"))
    frame["word"], frame["at"] = rng.choice(["u", "v", "w"], 400), np.arange(400)
    frame["y"] = (frame["a"] + rng.random(400) > 1).astype(int)
    frame.to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "c.yaml").write_text(
        "name: small\ndata: {path: d.csv, target: y}\n"
        "features:\n  - lag: {columns: [a], by: word, order: at, shift: 1}\n"
        "  - target_encode: {columns: [word]}\n"
        "models: {xgboost: {rounds: 3}, forest: null}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cprofile_sees_the_partitions_work_and_the_results_are_the_same(data, capsys):
    assert run_command_line(["run", "c.yaml", "--out", "o", "--profile", "cprofile", "-q"]) == 0
    assert (
        "profile: o/profile.pstats (python -m pstats o/profile.pstats)" in capsys.readouterr().err
    )
    found = pstats.Stats(str(data / "o" / "profile.pstats"))
    seen = {(Path(file).name, name) for file, _, name in found.stats}
    assert {
        ("block.py", "parse_block"),
        ("transform.py", "build_matrices"),
        ("train.py", "train"),
    } <= seen
    assert run_command_line(["run", "c.yaml", "--out", "plain", "-q", "--no-dashboard"]) == 0
    ours, plain = (
        json.loads((data / n / "evaluate/metrics.json").read_text()) for n in ("o", "plain")
    )
    assert ours == plain


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--profile", "perf"], (2, "--profile 'perf'")),
        (["--profile", "nsys"], (3, "there is no `nsys` on the path")),
        (["--profile", "pyinstrument"], (3, "pip install pyinstrument")),
        (["--profile", "cprofile", "--cluster", "cores"], (2, "cluster.kind is 'cores'")),
    ],
)
def test_without_the_profiler_a_message_says_what_to_do(
    data, capsys, monkeypatch, arguments, expected
):
    status, message = expected
    monkeypatch.setenv("PATH", str(data))
    monkeypatch.setitem(sys.modules, "pyinstrument", None)
    assert run_command_line(["run", "c.yaml", "--out", "o", *arguments]) == status
    assert message in capsys.readouterr().err
    assert not (data / "o").exists()


def test_pyinstrument_leaves_a_page(data, monkeypatch, capsys):
    class Profiler:
        def start(self):
            self.running = True

        def stop(self):
            self.running = False

        def output_html(self):
            assert not self.running
            return "<html>profile</html>"

    monkeypatch.setitem(sys.modules, "pyinstrument", types.SimpleNamespace(Profiler=Profiler))
    from pipeline.tools import profile

    with pytest.raises(ZeroDivisionError), profile.PROFILERS["pyinstrument"](data / "p.html"):
        raise ZeroDivisionError  # of a run that fails there is a profile too
    assert (data / "p.html").read_text() == "<html>profile</html>"


def test_nsys_runs_the_command_and_its_report_goes_into_the_run_folder(data, monkeypatch, capsys):
    fake = data / "bin" / "nsys"
    fake.parent.mkdir()
    fake.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "report = next(a for a in sys.argv if a.startswith('--output=')).split('=')[1]\n"
        "open(report + '.nsys-rep', 'w').write(os.environ['PIPELINE_NVTX'])\n"
        "out = sys.argv[sys.argv.index('--out') + 1]\n"
        "open(out + '/seen', 'w').write(' '.join(sys.argv[1:]))\n"
        "sys.exit(int(os.environ.get('STATUS', 0)))\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    assert run_command_line(["run", "c.yaml", "--out", "o", "--profile", "nsys"]) == 0
    assert "profile: o/profile.nsys-rep" in capsys.readouterr().err
    assert (data / "o" / "profile.nsys-rep").read_text() == "1"
    seen = (data / "o" / "seen").read_text()
    assert seen.startswith("profile --output=") and "-m pipeline run" in seen
    assert "--trace=cuda,nvtx,osrt" in seen
    monkeypatch.setenv("STATUS", "3")
    assert run_command_line(["run", "c.yaml", "--out", "p", "--profile", "nsys"]) == 3
    monkeypatch.setenv("STATUS", "1")
    assert run_command_line(["run", "c.yaml", "--out", "q", "--profile", "nsys"]) == 1


def test_ranges_are_off_and_cost_one_shared_context(monkeypatch):
    monkeypatch.delenv(nvtx_ranges.VARIABLE, raising=False)
    nvtx_ranges._load_nvtx.cache_clear()
    assert nvtx_ranges.annotate("read") is nvtx_ranges.annotate("features")
    assert "nvtx" not in sys.modules


def test_ranges_are_nvtxs_where_a_profiler_looks(monkeypatch):
    seen = []
    fake = types.SimpleNamespace(annotate=lambda name, domain: seen.append((name, domain)))
    monkeypatch.setitem(sys.modules, "nvtx", fake)
    monkeypatch.setenv(nvtx_ranges.VARIABLE, "1")
    nvtx_ranges._load_nvtx.cache_clear()
    try:
        nvtx_ranges.annotate("train xgboost")
        assert seen == [("train xgboost", "pipeline")]
    finally:
        nvtx_ranges._load_nvtx.cache_clear()
