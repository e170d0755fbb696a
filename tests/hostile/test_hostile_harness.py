"""The harness sees what it is there to see: each thing planted in a fake command is told."""

from __future__ import annotations

import io
import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_case import FAR, Case, Place
from hostile_cases import case_of, generated_case
from hostile_parquet import claim_rows, repeat_row
from hostile_runs import COMMANDS, altered
from hostile_verdict import tree_state

PLANTED = {
    "open_for_writing": (["{VICTIMS}/new"], "wrote to .*victims/new", "on disk: .*victims/new was made"),
    "open_by_number": (["{VICTIMS}/new"], "wrote to .*victims/new"),
    "append_through_link": (["{VICTIMS}/victim.csv"], "wrote to .*victims/victim.csv", "victim.csv was changed", "wrote to .*work/link"),
    "write_hard_link": (["{VICTIMS}/victim.csv"], "victim.csv was changed"),
    "make_folder": (["{VICTIMS}/new"], "wrote to .*victims/new .os.mkdir"),
    "rename": (["{VICTIMS}/victim.csv"], "wrote to .*victim.csv ", "wrote to .*victim.csv2 "),
    "remove": (["{VICTIMS}/victim.csv"], "wrote to .*os.remove", "was removed"),
    "truncate": (["{VICTIMS}/victim.csv"], "wrote to .*os.truncate", "was changed"),
    "change_mode": (["{VICTIMS}/victim.csv"], "wrote to .*os.chmod", "was changed"),
    "write_unseen": (["{VICTIMS}/new"], "on disk: .*victims/new was made"),
    "connect": ([FAR, "80"], f"connected to {FAR}:80"),
    "look_up": (["evil.example"], "looked evil.example up"),
    "listen": (["0.0.0.0"], "listened on 0.0.0.0:0"),
    "run_program": ([], r'started \["true"\] .subprocess.Popen'),
    "run_shell": ([], r'started \["true"\] .os.system'),
    "fork": ([], r"started \[\] .os.fork"),
    "leave_process": ([], "still there after it"),
    "start_worker": ([], "wrote to .*victims/new .*repo/tests/hostile/planted.py:open_for_writing"),
    "unpickle": ([], "unpickled builtins.len"),
    "unpickle_frame": ([], "unpickled builtins.len .*site/pandas/io/pickle.py"),
    "evaluate": ([], "compile of code <string> '1 . 1'", "exec of code <string>"),
    "load_marshal": ([], "marshal.loads of code bytes"),
    "import_from_here": ([], "exec of code .*work/hostile_module.py"),
    "load_library": ([], "loaded .*work/evil.so"),
    "fill_memory": ([], "GB of resident memory"),
    "hang": ([], "still running after 3 s"),
    "fail": ([], "exit status 1", "a traceback: RuntimeError: planted"),
}  # fmt: skip


def planted(name, arguments=(), seconds=20):
    return Case(name, lambda place: place.fill(list(arguments)), planted=name, seconds=seconds)


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_seen(harness, name):
    arguments, *patterns = PLANTED[name]
    done = harness.one(planted(name, arguments, 3 if name == "hang" else 20))
    told = "\n".join(done.violations)
    for pattern in patterns:
        assert re.search(pattern, told), f"no {pattern!r} in:\n{done.text()}"


def test_the_attacker_tells_of_visitors(harness):
    done = harness.one(planted("connect", ["127.0.0.1", "{ATTACKER}"]))
    assert any("connected to 127.0.0.1" in v for v in done.violations), done.text()
    assert "the attacker's port had 1 visitors" in done.violations


def test_a_command_that_behaves_has_no_violation(harness):
    done = harness.one(planted("behave"))
    assert done.violations == [] and done.status == 0, done.text()


def spoil(place, run):
    """Change nothing but the order of keys in the plan: another text, another hash."""
    path = run / "features" / "plan.json"
    tree = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps(dict(reversed(tree.items()))))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_resealed_run_is_taken(harness, command):
    """Otherwise every altered run would be refused for its hashes, and nothing would be tried."""
    harness.make_base()
    expected = frozenset({0, 4}) if command == "audit" else frozenset({0})
    done = harness.one(altered("resealed", command, spoil, statuses=expected))
    assert not done.violations, done.text()


def test_a_run_that_is_not_resealed_is_refused(harness):
    harness.make_base()
    done = harness.one(altered("altered", "predict", spoil, seal=False, statuses=frozenset({2})))
    assert not done.violations, done.text()
    assert "plan.json was altered" in done.stderr


def test_parquet_of_repeated_rows_is_sound():
    table = pa.table({"n": [7], "x": [0.5], "s": ["é"], "b": [True], "none": pa.array([None], pa.int64())})  # fmt: skip
    data = repeat_row(table, 100_000)
    read = pq.read_table(io.BytesIO(data))
    assert len(data) < 5_000 and read.num_rows == 100_000
    assert read.slice(99_999).to_pylist() == table.to_pylist()
    claimed = pq.ParquetFile(io.BytesIO(claim_rows(data, 10**12))).metadata
    assert claimed.num_rows == 10**12


def test_a_number_is_the_same_case_at_every_time(harness, tmp_path):
    harness.make_base()
    for number in range(12):
        made = []
        for _ in range(2):
            place = Place(tmp_path / "case", 1, 2, harness.done)
            arguments = case_of(str(number)).make(place)
            files = tree_state(place.root)  # without the times
            made.append((arguments, {path: (*at[:3], *at[4:]) for path, at in files.items()}))
            shutil.rmtree(place.root)
        assert made[0] == made[1], generated_case(number).name
