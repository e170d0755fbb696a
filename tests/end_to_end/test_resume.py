"""Runs that stop go on: what is kept, what is done again and why, and the same bytes in the end."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from copy import deepcopy

import pytest
from killable import files_below, forked, half_written, left_of, small_config

from pipeline import Config, run
from pipeline.artifacts.files import lock_folder
from pipeline.errors import InputError

REUSED = "reused: nothing that it depends on has changed"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(the config's tree, the folder of its uninterrupted run)."""
    folder = tmp_path_factory.mktemp("whole")
    tree = small_config(folder)
    run(Config.parse(deepcopy(tree)), out=folder / "run")
    return tree, folder / "run"


def lines(folder):
    """The ledger's lines of the last process in the folder, by stage."""
    found = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    last = max(
        (i for i, own in enumerate(found) if own.get("event") == "the run is resumed"), default=-1
    )
    return {own["stage"]: own for own in found[last + 1 :] if "seconds" in own}


class Killed(BaseException):
    """Where a process would have been killed."""


def killed_at(monkeypatch, place):
    """From now on the finishing of a file ends the run: the so manieth, just before it has its name."""
    rename, seen = os.replace, []

    def replace(source, target):
        seen.append(target)
        if len(seen) == place:
            raise Killed(str(target))
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_a_run_goes_on_from_wherever_it_was_and_leaves_the_same_bytes(whole, tmp_path, monkeypatch):
    tree, folder = whole
    expected = left_of(folder)
    # while the features are fitted; between a segment's trees and its state; as the files get their
    # second names
    for place, name in ((8, "state.json"), (13, "state.json"), (34, "plan.json")):
        with monkeypatch.context() as patch:
            killed_at(patch, place)
            with pytest.raises(Killed, match=name):
                run(Config.parse(deepcopy(tree)), resume=tmp_path / "run")
        assert half_written(tmp_path / "run", expected) == []
        assert not (tmp_path / "run" / "manifest.json").exists()
    told = lines(tmp_path / "run")
    assert told["train forest"]["resume"] == REUSED
    assert told["train xgboost"]["resume"] == "recomputed: it had not finished"
    assert told["train xgboost"]["notes"][0] == "resumed from round 25 of 60"
    run(Config.load(tmp_path / "run" / "config.yaml"), resume=tmp_path / "run")
    assert {own["resume"] for own in lines(tmp_path / "run").values()} == {REUSED}
    assert left_of(tmp_path / "run") == expected
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"refit xgboost: {REUSED}" in report


def test_a_process_that_is_killed_goes_on(whole, tmp_path):
    tree, folder = whole
    at = tmp_path / "run" / "stages" / "train-forest.json"
    assert forked(tree, tmp_path / "run", kill_when=at.exists) == -9
    assert half_written(tmp_path / "run", left_of(folder)) == []
    (tmp_path / "run" / "features").mkdir()
    (tmp_path / "run" / "features" / ".plan.json.1.tmp").write_text("half")
    run(Config.load(tmp_path / "run" / "config.yaml"), resume=tmp_path / "run")
    assert left_of(tmp_path / "run") == left_of(folder)
    assert not list((tmp_path / "run").rglob(".*.tmp"))
    assert lines(tmp_path / "run")["train forest"]["resume"] == REUSED


@pytest.mark.slow
def test_processes_that_are_killed_at_forty_moments_go_on(whole, tmp_path, capsys):
    """Moments are drawn over what a run writes, and up to 0.2 s later: not over its seconds, of which a
    loaded machine spends most before the first stage."""
    tree, folder = whole
    expected, moments, met = left_of(folder), random.Random(40), []
    while len(met) < 40:
        place = tmp_path / f"run{len(met)}"
        written, later = moments.randrange(len(expected)), moments.uniform(0, 0.2)

        def due(place=place, written=written):
            return len(files_below(place)) >= written

        if forked(tree, place, kill_when=due, then=later) != -9:  # it had ended
            shutil.rmtree(place)
            continue
        place.mkdir(exist_ok=True)
        assert half_written(place, expected) == []
        met.append(len(list(place.glob("stages/*.json"))))
        assert forked(tree, place, resume=True) == 0
        assert left_of(place) == expected, (written, later)
        assert not list(place.rglob(".*.tmp"))
        shutil.rmtree(place)
    with capsys.disabled():
        print(f"\n40 kills, by the stages of 9 that had ended: {sorted(Counter(met).items())}")


def test_another_config_in_the_folder_is_as_if_it_were_run_anew(whole, tmp_path):
    tree, folder = whole
    shutil.copytree(folder, tmp_path / "run")
    changed = deepcopy(tree)
    changed["features"][0]["fill"]["with"] = "mean"
    changed["models"]["forest"]["trees"] = 20
    outcome = run(Config.parse(deepcopy(changed)), resume=tmp_path / "run")
    assert outcome.resumed == {
        stage: own["resume"] for stage, own in lines(tmp_path / "run").items()
    }
    assert outcome.resumed["split"] == REUSED
    assert (
        outcome.resumed["features"] == "recomputed: features[0].fill.with was 'median', is 'mean'"
    )
    assert lines(tmp_path / "run")["features"]["notes"] == [
        "kept: target_encode; fitted: fill, scale"
    ]
    assert "models.forest.trees was 30, is 20" in outcome.resumed["train forest"]
    run(Config.parse(deepcopy(changed)), out=tmp_path / "anew")
    assert left_of(tmp_path / "run") == left_of(tmp_path / "anew")


def test_two_runs_at_once_do_not_share_a_folder(whole, tmp_path):
    tree, folder = whole
    before = left_of(folder)
    with (
        lock_folder(folder),
        pytest.raises(InputError, match=f"in use by another process .process {os.getpid()}"),
    ):
        run(Config.parse(deepcopy(tree)), resume=folder)
    assert left_of(folder) == before
