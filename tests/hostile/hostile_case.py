"""A case of the harness: what is made in a folder, the command line, and what it may touch."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

GOOD = "a,b,t,y\n" + "".join(f"{i * 7 % 60},{'xyz'[i % 3]},2024-01-{i % 28 + 1:02},{i % 2}\n" for i in range(60))  # fmt: skip
SIDE = "b,v\nx,1.5\ny,2.5\nz,3.5\n"
NEW = "a,b,t\n1,x,2024-01-01\n2,y,2024-01-02\n"
FAR = "10.99.0.2"
"""A host beyond the loopback, which nothing may try to reach."""


def good_tree(**data) -> dict:
    """A config that runs, as a tree; ``data`` are more keys of its section."""
    return {
        "data": {"path": "d.csv", "target": "y", **data},
        "models": {"xgboost": {"rounds": 3}, "forest": {"trees": 2}},
        "cluster": {"kind": "process", "dashboard": False},
        "refit": "never",
        "device": "cpu",
    }


@dataclass
class Place:
    """The folder of a case: ``work`` is the working directory, ``victims`` what nobody may touch."""

    root: Path
    attacker: int
    """The port on the loopback where only an attack leads."""
    store: int
    """The port of an HTTP server with good and hostile files."""
    done: Path
    """A finished run, not to be changed: `copy_run` copies it."""
    hosts: set[str] = field(default_factory=set)
    """Hosts, or ends of their names, that the config names as its store."""
    ports: set[int] = field(default_factory=set)
    """Ports on the loopback that it names as such."""

    def __post_init__(self) -> None:
        for name in ("work", "victims", "tmp", "home"):
            (self.root / name).mkdir(parents=True)
        (self.victims / "victim.csv").write_text(GOOD)
        (self.victims / "secret.txt").write_text("a,y\nthe secret,1\n" * 20)
        (self.victims / "victim.json").write_text("{}")
        (self.victims / "folder").mkdir()
        for name, text in {"d.csv": GOOD, "s.csv": SIDE, "n.csv": NEW}.items():
            (self.work / name).write_text(text)
        with zipfile.ZipFile(self.work / "z.zip", "w") as file:
            # With the time of now, two copies of a case would differ.
            file.writestr(zipfile.ZipInfo("x.csv", (2026, 1, 1, 0, 0, 0)), GOOD)
        self.write_config(good_tree())

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def victims(self) -> Path:
        return self.root / "victims"

    def write_config(self, tree, name="c.yaml") -> None:
        """Write a config: a tree, or its text."""
        text = tree if isinstance(tree, str) else yaml.safe_dump(tree, allow_unicode=True)
        (self.work / name).write_bytes(text.encode("utf-8", "surrogatepass"))

    def copy_run(self, name="done") -> Path:
        """Copy the finished run into the working directory, hard links and times kept."""
        copied: dict[tuple[int, int], Path] = {}
        target = self.work / name
        for at, _, files in os.walk(self.done):
            folder = target / Path(at).relative_to(self.done)
            folder.mkdir()
            for file in files:
                info = os.stat(os.path.join(at, file))
                key = (info.st_dev, info.st_ino)
                if key in copied:
                    os.link(copied[key], folder / file)
                else:
                    copied[key] = folder / file
                    copied[key].write_bytes(Path(at, file).read_bytes())
                    os.utime(copied[key], ns=(info.st_atime_ns, info.st_mtime_ns))
        inputs = self.done.parent
        for file in ("d.csv", "s.csv"):  # whose times the run's fingerprints have
            info = os.stat(inputs / file)
            os.utime(self.work / file, ns=(info.st_atime_ns, info.st_mtime_ns))
        return target

    def fill(self, value):
        """Replace ``{VICTIMS}``, ``{ATTACKER}``, … in a text, however deep."""
        if isinstance(value, dict):
            return {self.fill(key): self.fill(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.fill(one) for one in value]
        if not isinstance(value, str):
            return value
        words = {"VICTIMS": self.victims, "WORK": self.work, "ATTACKER": self.attacker, "STORE": self.store, "ROOT": self.root}  # fmt: skip
        for word, own in words.items():
            value = value.replace(f"{{{word}}}", str(own))
        return value


@dataclass(frozen=True)
class Case:
    """One command line on what a stranger gave."""

    name: str
    make: Callable[[Place], list[str]]
    """Writes the files; returns the arguments."""
    planted: str = ""
    """A function of `planted` in place of the command line: the harness's own tests."""
    statuses: frozenset[int] = frozenset({0, 2, 3, 4})
    seconds: int = 60
    """Of wall time, however busy the machine is."""


def run_config(name, tree, *more, command="plan", statuses=None) -> Case:
    """A command over a config; placeholders in it are filled in."""

    def make(place):
        filled = place.fill(tree)
        place.write_config(filled)
        if isinstance(filled, dict):
            name_stores(place, filled)
        if command == "audit-of-config":
            return audit_of_config(place, filled)
        out = ["--out", "run", "-q"] if command == "run" else []
        return [command, "c.yaml", *out, *map(place.fill, more)]

    return Case(name, make, statuses=statuses or Case.statuses)


def audit_of_config(place, filled) -> list[str]:
    """`audit` of a finished run that has this config, resealed."""
    from hostile_runs import reseal

    run = place.copy_run()
    (run / "config.yaml").write_text(yaml.safe_dump(filled))
    reseal(run)
    return ["audit", "done", "-q"]


STORES = {
    "s3": ("amazonaws.com",), "s3a": ("amazonaws.com",), "gs": ("googleapis.com", "metadata.google.internal", "169.254.169.254"),
    "az": ("windows.net", "microsoftonline.com", "169.254.169.254"), "http": (), "https": (),
}  # fmt: skip
STORES |= {"gcs": STORES["gs"], "abfs": STORES["az"], "abfss": STORES["az"]}
ENDPOINTS = ("endpoint_url", "endpoint", "account_host")


def name_stores(place: Place, tree: dict) -> None:
    """Note the stores that a config names: hosts of its URLs, and endpoints of their options."""
    data = tree.get("data")
    sources = [data] if isinstance(data, dict) else []
    for source in sources:
        tables = source.get("tables")
        if isinstance(tables, dict):
            sources += [table for table in tables.values() if isinstance(table, dict)]
        paths = source.get("path")
        for path in paths if isinstance(paths, list) else [paths]:
            name_store(place, path, source.get("storage_options"))


def name_store(place: Place, path, options=None) -> None:
    """Note the store of one URL."""
    if not isinstance(path, str) or "://" not in path:
        return
    protocol, _, rest = path.partition("://")
    protocol = protocol.lower()
    if protocol not in STORES or "::" in path:
        return
    place.hosts.update(STORES[protocol])
    urls = [path] if protocol.startswith("http") else []
    options = options if isinstance(options, dict) else {}
    client = options.get("client_kwargs")
    for given in (options, client if isinstance(client, dict) else {}):
        urls += [given[key] for key in ENDPOINTS if isinstance(given.get(key), str)]
    for url in urls if not protocol.startswith("http") else urls[:1]:
        host = url.partition("://")[2].split("/")[0].split("?")[0].rpartition("@")[2]
        name, _, port = host.partition(":")
        if name in ("127.0.0.1", "localhost") and port.isdigit():
            place.ports.add(int(port))
        elif name:
            place.hosts.add(name)
