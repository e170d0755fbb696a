"""Run folders that a stranger altered: the finished run, its mutations, and manifests that fit."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hostile_case import FAR, Case, Place, good_tree
from hostile_parquet import claim_rows, repeat_file

MANY = 300_000_000
REFUSED = frozenset({2})
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, float("nan"), float("inf"), 1e308, "", "x", "../x", "/etc/passwd", "{VICTIMS}/victim.csv", "a\0b", "\ud800", "x" * 3000,
    [], [None], [[]], [True], ["a", "a"], {}, {"a": {}}, {"": None}, [0] * 3000, "tcp://10.99.0.2:8786", "${HOSTILE_SECRET}", "\x1b[2J<script>", "2024-01-01", "1e400", "c", "q",
]  # fmt: skip


def base_tree() -> dict:
    """The config of the finished run: a join, a category, dates."""
    tree = good_tree(tables={"s": {"path": "s.csv", "keys": ["b"]}})
    tree["features"] = [{"join": {"table": "s"}}, {"categorify": {"columns": ["b"]}}, {"dates": {"columns": ["t"], "parts": ["day"]}}]  # fmt: skip
    return tree


def reseal(run: Path) -> None:
    """Give the manifest, and the records of stages, hashes that fit the files."""
    for record in sorted((run / "stages").glob("*.json")):
        _rehash(run, record)
    _rehash(run, run / "manifest.json")


def _is_plain(path: Path) -> bool:
    """Whether it is a regular file of a size that may be read: not a device, a pipe or sparse."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size < 64 << 20


def _rehash(run: Path, listing: Path) -> None:
    if not _is_plain(listing):
        return
    try:
        tree = json.loads(listing.read_bytes())
        files = tree["files"]
        for name in files:
            path = run / name
            if _is_plain(path):
                files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        _replace(listing, json.dumps(tree).encode())
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        return  # the listing itself was altered


def _replace(path: Path, data: bytes) -> None:
    """Write a file anew: others that are links to it stay as they are."""
    path.unlink()
    path.write_bytes(data)


# -- commands --------------------------------------------------------------------------------------

COMMANDS: dict[str, list[str]] = {
    "predict": ["predict", "done", "n.csv", "--out", "o.csv", "-q"],
    "predict forest": ["predict", "done", "n.csv", "--out", "o.csv", "--model", "forest", "--keep", "a", "-q"],
    "report": ["report", "done"],
    "compare": ["compare", "done", "other", "--all"],
    "runs": ["runs", "."],
    "audit": ["audit", "done", "-q"],
    "resume": ["run", "--resume", "done", "-q"],
    "resume changed": ["run", "--resume", "done", "-q", "--set", "models.xgboost.rounds=4"],
}  # fmt: skip


def altered(name: str, command: str, alter: Callable[[Place, Path], None], *, seal: bool = True, statuses=None) -> Case:  # fmt: skip
    """A command on the finished run after ``alter`` has changed it."""

    def make(place: Place) -> list[str]:
        run = place.copy_run()
        if command == "compare":
            place.copy_run("other")
        alter(place, run)
        if seal:
            reseal(run)
        return COMMANDS[command]

    return Case(name, make, statuses=statuses or Case.statuses)


# -- what may happen to a file ---------------------------------------------------------------------


def flip(rng: random.Random, data: bytes) -> bytes:
    """Damage bytes: bits, cuts, doublings, noise, huge counts."""
    kind = rng.randrange(6)
    if not data or kind == 0:
        return rng.choice([b"", b"\0" * 100, data + data, b"PAR1", b"{}", b"[]", b"null", b"{" * 5000])  # fmt: skip
    found = bytearray(data)
    at = rng.randrange(len(found))
    if kind == 1:
        return bytes(found[:at])
    if kind == 2:
        found[at : at + 4] = b"\xff\xff\xff\x7f"
    elif kind == 3:
        found[at:at] = rng.randbytes(rng.randint(1, 40))
    else:
        for _ in range(rng.randint(1, 8)):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def nodes(tree: Any, path: tuple = ()) -> list[tuple]:
    """The path to every value below the root."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()  # fmt: skip
    found = []
    for key, child in children:
        found += [(*path, key), *nodes(child, (*path, key))]
    return found


def change_tree(rng: random.Random, tree: Any) -> tuple[Any, str]:
    """A tree with one value replaced, removed, renamed or repeated; and what was done."""
    every = nodes(tree)
    if not every or rng.random() < 0.03:
        value = rng.choice(ODD)
        return value, f"all: {value!r:.30}"
    path = rng.choice(every)
    node = tree
    for key in path[:-1]:
        node = node[key]
    last, kind = path[-1], rng.random()
    where = ".".join(map(str, path))[-60:]
    if kind < 0.15:
        del node[last]
        return tree, f"without {where}"
    if kind < 0.25 and isinstance(node, dict):
        node[rng.choice(["x", "", "../x", "\0", f"{last} "])] = node.pop(last)
        return tree, f"{where} renamed"
    if kind < 0.3 and isinstance(node, list):
        node += [node[last]] * rng.choice([1, 100])
        return tree, f"{where} repeated"
    node[last] = rng.choice(ODD)
    return tree, f"{where}: {node[last]!r:.30}"


def change_json(rng: random.Random, place: Place, path: Path) -> str:
    """Change a value of a JSON file, or of one line of it."""
    text = path.read_text()
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    at = rng.randrange(len(lines))
    tree, what = change_tree(rng, json.loads(lines[at]))
    lines[at] = json.dumps(place.fill(tree))
    _replace(path, "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n" * (len(lines) > 1))
    return what


def change_yaml(rng: random.Random, place: Place, path: Path) -> str:
    tree, what = change_tree(rng, yaml.safe_load(path.read_text()))
    _replace(path, yaml.safe_dump(place.fill(tree)).encode("utf-8", "replace"))
    return what


def change_parquet(rng: random.Random, place: Place, path: Path) -> str:
    rows = rng.choice([0, 1, 1001, 70_000_000, MANY, 2**31 - 1])
    if rng.random() < 0.5:
        _replace(path, claim_rows(path.read_bytes(), rng.choice([rows, 2**40, 2**62])))
        return f"claims {rows:,} rows"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    repeat_file(path, rows)
    return f"holds {rows:,} rows"


def replace_node(rng: random.Random, place: Place, path: Path) -> str:
    """Put something else than a regular file there."""
    kind = rng.choice(["link", "same", "hard", "pipe", "folder", "sparse", "device", "socket", "gone", "dangling", "loop", "locked"])  # fmt: skip
    data = path.read_bytes()
    path.unlink()
    victim = place.victims / "victim.csv"
    if kind == "same":
        (place.victims / "same").write_bytes(data)
        path.symlink_to(place.victims / "same")
    elif kind == "hard":
        os.link(victim, path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(6 << 30)
    elif kind == "socket":
        here = os.open(path.parent, os.O_PATH)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
    elif kind == "locked":
        path.write_bytes(data)
        path.chmod(0)
    elif kind != "gone":
        target = {"link": victim, "device": "/dev/zero", "dangling": place.victims / "new", "loop": path}[kind]  # fmt: skip
        path.symlink_to(target)
    return kind


def plant(rng: random.Random, place: Place, run: Path) -> str:
    """Put something new into the folder, where a command will write or look."""
    name = rng.choice([".lock", "log.txt", "ledger.jsonl", "report.html", "audit.json", "gpu.json", "tmp", "stages", "train", "evaluate", "features", ".config.yaml.1.tmp"])  # fmt: skip
    path = run / name
    if path.is_dir() and not path.is_symlink():
        shutil.move(path, place.victims / "moved")
        path.symlink_to(place.victims / "moved", target_is_directory=True)
        return f"{name}/ moved behind a link"
    path.unlink(missing_ok=True)
    kind = rng.choice(["link", "hard", "pipe", "folder", "dangling", "device"])
    if kind == "hard":
        os.link(place.victims / "victim.csv", path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "file").write_text("x")
    else:
        path.symlink_to({"link": place.victims / "victim.csv", "dangling": place.victims / "new", "device": "/dev/zero"}[kind])  # fmt: skip
    return f"{name} is a {kind}"


def files_of(run: Path) -> list[Path]:
    """The files of a run by name; the report is left out where others are."""
    return sorted(p for p in run.rglob("*") if _is_plain(p) and p.stat().st_size)


READ = {
    "predict": ("config.yaml", "manifest.json", "golden", "features", "ingest", "train"),
    "report": ("config.yaml", "manifest.json", "evaluate", "ledger.jsonl", "features", "train"),
    "compare": ("config.yaml", "manifest.json", "evaluate", "ledger.jsonl"),
    "resume": ("config.yaml", "manifest.json", "ledger.jsonl", "stages"),
}
"""What a command looks at first, by the beginning of its name below the run."""


def alter_any(seed: str, command: str) -> Callable[[Place, Path], None]:
    """One to three changes, drawn by the seed, mostly of what the command reads."""
    begins = READ.get(command.split(maxsplit=1)[0], READ["predict"] + READ["report"])

    def alter(place: Place, run: Path) -> None:
        rng = random.Random(seed)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            kind = rng.random()
            if kind < 0.15:
                plant(rng, place, run)
                continue
            files = files_of(run)
            if rng.random() < 0.85:
                files = [p for p in files if p.relative_to(run).as_posix().startswith(begins)]
            wanted = {".json", ".jsonl"} if kind < 0.55 else {".yaml"} if kind < 0.6 else {".parquet"} if kind < 0.75 else None  # fmt: skip
            files = [p for p in files if wanted is None or p.suffix in wanted] or files
            path = rng.choice(files or files_of(run))
            if kind < 0.55:
                _attempt(change_json, flip_file, rng, place, path)
            elif kind < 0.6:
                _attempt(change_yaml, flip_file, rng, place, path)
            elif kind < 0.75:
                _attempt(change_parquet, flip_file, rng, place, path)
            elif kind < 0.9:
                flip_file(rng, place, path)
            else:
                replace_node(rng, place, path)

    return alter


def flip_file(rng: random.Random, place: Place, path: Path) -> str:
    _replace(path, flip(rng, path.read_bytes()))
    return "damaged"


def _attempt(change, otherwise, rng, place: Place, path: Path) -> None:
    """Change a file by its format; one that an earlier change has spoilt, by its bytes."""
    try:
        change(rng, place, path)
    except Exception:
        if not path.exists():
            path.write_bytes(b"x")
        otherwise(rng, place, path)


def generated(rng: random.Random, name: str) -> Case:
    """A command on a run that was altered at random, mostly resealed."""
    command = rng.choices(list(COMMANDS), [30, 10, 18, 12, 6, 4, 6, 4])[0]
    seed = f"{name}-{rng.random()}"
    seal = rng.random() < 0.85
    return altered(
        f"{name}: {command}, a run altered", command, alter_any(seed, command), seal=seal
    )


# -- named -----------------------------------------------------------------------------------------


def _many(name: str, rows: int = MANY) -> Callable[[Place, Path], None]:
    def alter(place: Place, run: Path) -> None:
        path = run / name
        data = path.read_bytes()
        _replace(path, data)
        repeat_file(path, rows)

    return alter


def _sparse(name: str) -> Callable[[Place, Path], None]:
    def alter(place: Place, run: Path) -> None:
        (run / name).unlink()
        with (run / name).open("wb") as file:
            file.truncate(6 << 30)

    return alter


def _node(name: str, kind: str) -> Callable[[Place, Path], None]:
    def alter(place: Place, run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(run / name)
        elif kind == "hard":
            os.link(place.victims / "victim.csv", run / name)
        else:
            (run / name).symlink_to(place.victims / "victim.csv")

    return alter


def _json(name: str, change: Callable[[Any], Any]) -> Callable[[Place, Path], None]:
    def alter(place: Place, run: Path) -> None:
        tree = json.loads((run / name).read_text())
        _replace(run / name, json.dumps(change(tree)).encode())

    return alter


def _put(path: str, value: Any) -> Callable[[Any], Any]:
    """A change of a tree: ``a.0.b`` becomes the value."""

    def change(tree: Any) -> Any:
        *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
        node = tree
        for part in parents:
            node = node[part]
        node[last] = value
        return tree

    return change


def named_runs() -> list[Case]:
    """The issue's cases 3, 4 and 5."""
    table = "features/tables/00-table.parquet"
    cases = [
        altered("predict: golden.parquet of 300 M rows", "predict", _many("golden.parquet"), statuses=REFUSED),
        altered("predict: a features table of 300 M rows", "predict", _many(table), statuses=REFUSED),
        altered("predict: a sparse model description of 6 GB", "predict", _sparse("train/xgboost.json"), statuses=REFUSED),
        altered("predict: a sparse model of 6 GB", "predict", _sparse("train/xgboost.ubj"), statuses=REFUSED),
        altered("compare: a sparse ledger of 6 GB", "compare", _sparse("ledger.jsonl"), statuses=REFUSED),
        altered("report: a sparse metrics file of 6 GB", "report", _sparse("evaluate/metrics.json"), statuses=REFUSED),
        altered("audit: predictions of 300 M rows", "audit", _many("evaluate/predictions.parquet")),
        altered("report: predictions of 300 M rows", "report", _many("evaluate/predictions.parquet")),
        altered("report: metrics with NaN", "report", _json("evaluate/metrics.json", _put("models.xgboost.test", {"roc_auc": float("nan")}))),
        altered("predict: a null name in the schema", "predict", _json("ingest/schema.json", _put("columns.0.name", None)), statuses=REFUSED),
    ]  # fmt: skip
    for name in (".lock", "ledger.jsonl", "log.txt"):
        for kind in ("hard", "pipe", "link"):
            cases.append(altered(f"resume: {name} is a {kind}", "resume", _node(name, kind), seal=False))  # fmt: skip
    for name in ("report.html", "audit.json"):
        for kind in ("hard", "pipe", "link"):
            cases.append(altered(f"report: {name} is a {kind}", "report", _node(name, kind), seal=False))  # fmt: skip
    for path, address in {"tcp": f"tcp://{FAR}:8786", "user": f"ws://127.0.0.1:x@{FAR}:8786"}.items():  # fmt: skip
        cases.append(altered(f"resume: a scheduler elsewhere, {path}", "resume", _cluster(address), statuses=REFUSED))  # fmt: skip
    return cases


def _cluster(address: str) -> Callable[[Place, Path], None]:
    def alter(place: Place, run: Path) -> None:
        tree = yaml.safe_load((run / "config.yaml").read_text())
        tree["cluster"] |= {"kind": address, "timeout": 1}
        _replace(run / "config.yaml", yaml.safe_dump(tree).encode())

    return alter
