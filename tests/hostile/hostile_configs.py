"""Configs that a stranger wrote: URLs, storage options, schedulers, paths, and odd values."""

from __future__ import annotations

import copy
import os
import random
import socket
from typing import Any

import yaml
from fsspec.registry import known_implementations
from hostile_case import FAR, STORES, Case, Place, good_tree, name_store, run_config
from test_every_value import ODD, TREES, places

REFUSED = frozenset({2})
PROTOCOLS = sorted({*known_implementations, *STORES, "dask", "zip", "simplecache"})
ALLOWED = {*STORES, "file", "local"}
ELSEWHERE = ("{VICTIMS}/victim.csv", "127.0.0.1:{ATTACKER}/x.csv", f"{FAR}:8786/x.csv", "x.csv", "u:p@127.0.0.1:{ATTACKER}/x.csv", "..", "")  # fmt: skip
WRAPPERS = ("simplecache", "filecache", "blockcache", "cached", "zip", "tar", "dir", "reference", "dask", "libarchive", "asyncwrapper")  # fmt: skip

# -- URLs ------------------------------------------------------------------------------------------


def url_tree(path: Any, options: Any = None, *, side: bool = False) -> dict:
    """A config whose data, or side table, lie there."""
    source = {"path": path, **({"storage_options": options} if options is not None else {})}
    if not side:
        return good_tree(**source)
    tree = good_tree(tables={"s": {**source, "keys": ["b"], "format": "csv"}})
    tree["features"] = [{"join": {"table": "s"}}, {"categorify": {"columns": ["b"]}}]
    return tree


DASK = {"client": f"ws://{FAR}:8786", "target_protocol": "file"}
OVERWRITE = {"zip": {"fo": "{VICTIMS}/victim.csv", "mode": "w"}}
DROP = {"simplecache": {"cache_storage": "{VICTIMS}/folder", "same_names": True}}


def named_urls() -> list[Case]:
    """The issue's own, by every command that reads a config, and their kin."""
    attacks = {
        "dask": ("dask://x.csv", DASK),
        "dask on the loopback": ("dask://x.csv", {"client": "tcp://127.0.0.1:{ATTACKER}"}),
        "zip opened for writing": ("zip://x.csv", OVERWRITE),
        "zip opened for writing, plainly": ("zip://x.csv", OVERWRITE["zip"]),
        "simplecache": ("zip://x.csv::simplecache::file://{WORK}/z.zip", DROP),
    }
    cases = []
    for name, (path, options) in attacks.items():
        for command in ("plan", "run", "audit-of-config"):
            cases.append(run_config(f"{command}: {name}", url_tree(path, options), command=command, statuses=REFUSED))  # fmt: skip
        cases.append(run_config(f"plan: {name}, side table", url_tree(path, options, side=True), statuses=REFUSED))  # fmt: skip
        cases.append(Case(f"resume: {name}", _resume_with(url_tree(path, options)), statuses=REFUSED))  # fmt: skip
        cases.append(Case(f"predict: {name}", _predict_url(path, options), statuses=REFUSED))
    return cases


def _resume_with(tree: dict):
    """`run --resume` of a folder whose config.yaml is this."""

    def make(place: Place) -> list[str]:
        run = place.copy_run()
        (run / "config.yaml").write_text(yaml.safe_dump(place.fill(tree)))
        return ["run", "--resume", "done", "-q"]

    return make


def _predict_url(path: str, options: Any):
    """`predict` of new data at the URL, through a run that has these options."""

    def make(place: Place) -> list[str]:
        from hostile_runs import reseal

        run = place.copy_run()
        tree = yaml.safe_load((run / "config.yaml").read_text())
        tree["data"]["storage_options"] = place.fill(options)
        (run / "config.yaml").write_text(yaml.safe_dump(tree))
        reseal(run)
        return ["predict", "done", place.fill(path), "--out", "o.csv", "-q"]

    return make


def allowed_protocols() -> list[Case]:
    """What the command line may not allow, and what an allowed protocol may not do."""
    never = ("dask", "zip", "simplecache", "filecache", "reference", "libarchive", "file::zip", "")
    cases = [
        run_config(f"plan: --allow-protocol {name!r}", url_tree(f"{name}://x.csv", DASK), "--allow-protocol", name, statuses=REFUSED)
        for name in never
    ]  # fmt: skip
    written = {"mode": "w"}, {"target_protocol": "file"}, {"fo": "{VICTIMS}/victim.csv"}
    cases += [
        run_config(f"plan: memory:// with {options}", url_tree("memory://x.csv", options), "--allow-protocol", "memory", statuses=REFUSED)
        for options in written
    ]  # fmt: skip
    tree = url_tree("zip://x.csv::memory://x.zip", {})
    cases.append(run_config("plan: a chain with an allowed protocol", tree, "--allow-protocol", "memory", statuses=REFUSED))  # fmt: skip
    for option in (f"client=ws://{FAR}:8786", "mode=w", "fo={VICTIMS}/victim.csv", "target_protocol=file", "cache_storage={VICTIMS}/folder"):  # fmt: skip
        cases.append(Case(f"predict: --storage-option {option}", _predict_option(option), statuses=REFUSED))  # fmt: skip
    return cases


def _predict_option(option: str):
    """`predict` of new data in an HTTP store, with an option of the command line."""

    def make(place: Place) -> list[str]:
        place.copy_run()
        place.ports.add(place.store)
        url = place.fill("http://127.0.0.1:{STORE}/good.csv")
        return ["predict", "done", url, "--out", "o.csv", "-q", "--storage-option", place.fill(option)]  # fmt: skip

    return make


def each_protocol() -> list[Case]:
    """Each protocol that fsspec knows, and each chain of them: refused, but for the named stores."""
    cases = []
    for name in PROTOCOLS:
        if name not in ALLOWED:
            cases.append(run_config(f"plan: {name}://", url_tree(f"{name}://127.0.0.1:{{ATTACKER}}/x.csv", {}), statuses=REFUSED))  # fmt: skip
    for name in WRAPPERS:
        tree = url_tree(f"{name}::http://127.0.0.1:{{ATTACKER}}/x.csv", {name: {"cache_storage": "{VICTIMS}/folder", "fo": "{VICTIMS}/victim.csv", "mode": "w"}})  # fmt: skip
        cases.append(run_config(f"plan: {name}::", tree, statuses=REFUSED))
    return cases


def random_url(rng: random.Random) -> tuple[Any, bool]:
    """A URL, and whether a config may name such a store."""
    protocol = rng.choice(PROTOCOLS)
    path = f"{protocol}://{rng.choice(ELSEWHERE)}"
    chained = rng.random() < 0.4
    if chained:
        form = rng.choice(["{0}::{1}", "{1}::{0}", "{0}://x.csv::{1}", "{0}://*::{1}::{0}://a", "{0}::{0}::{1}"])  # fmt: skip
        path = form.format(rng.choice(WRAPPERS), path)
    if rng.random() < 0.2:
        path = rng.choice([path.upper(), " " + path, path.replace("://", ":/"), path.replace("://", ":///"), path + "\n", "\t" + path])  # fmt: skip
    return path, protocol in ALLOWED and not chained


# -- storage options -------------------------------------------------------------------------------

KEYS = (
    "account_host", "account_key", "account_name", "account_url", "anon", "asynchronous", "auth", "auto_mkdir", "batch_size", "block_size",
    "cache_check", "cache_options", "cache_regions", "cache_storage", "cache_timeout", "cache_type", "check_connection", "client",
    "client_kwargs", "compression", "config_kwargs", "connect_timeout", "connection_string", "consistency", "credential",
    "default_block_size", "default_cache_type", "default_fill_cache", "encoded", "endpoint", "endpoint_url", "expand_user", "expiry_time",
    "fo", "fs", "get_client", "headers", "key", "listings_expiry_time", "local_file", "location_mode", "loop", "max_concurrency",
    "max_paths", "mode", "passwd", "path", "profile", "project", "protocol", "proxies", "proxy", "read_timeout", "ref_storage_args",
    "region", "remote_options", "remote_protocol", "request_timeout", "requester_pays", "requests_timeout", "s3_additional_kwargs",
    "same_names", "sas_token", "secret", "secure_serialize", "service_account", "session", "session_kwargs", "simple_links",
    "skip_instance_cache", "socket_timeout", "target_options", "target_protocol", "template_overrides", "tenant_id", "timeout", "token",
    "trust_env", "url", "use_listings_cache", "use_ssl", "username", "verify", "version_aware", "worker_options", "zip", "simplecache", "dask", "file", "s3",
)  # fmt: skip
"""Parameters of the constructors of fsspec's file systems, of their caches, and of their clients."""
ATTACK = "http://127.0.0.1:{ATTACKER}"
VALUES: list[Any] = [
    True, 0, -1, 1e308, "", "x", "${HOSTILE_SECRET}", ATTACK, f"http://{FAR}:8786", f"ws://{FAR}:8786", "tcp://127.0.0.1:{ATTACKER}",
    "{VICTIMS}/victim.json", "{VICTIMS}/folder", "file://{VICTIMS}/secret.txt", "simplecache", "dask", "cloud", "google_default",
    {"fo": "{VICTIMS}/victim.csv", "mode": "w"}, {"cache_storage": "{VICTIMS}/folder", "same_names": True},
    {"proxies": {"http": ATTACK, "https": ATTACK}}, {"http": ATTACK, "https": ATTACK}, {"proxy": ATTACK, "trust_env": True},
    {"token_uri": ATTACK, "client_id": "i", "client_secret": "${HOSTILE_SECRET}", "refresh_token": "${HOSTILE_SECRET}", "type": "authorized_user"},
    {"endpoint_url": "http://127.0.0.1:{STORE}", "verify": "{VICTIMS}/secret.txt"},
    {"client_kwargs": {"endpoint_url": ATTACK}}, {"headers": {"X-Auth": "${HOSTILE_SECRET}"}}, {"connector": "x"}, [[]], {"a": {"b": {"c": {}}}},
    "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=${HOSTILE_SECRET};BlobEndpoint=http://127.0.0.1:{ATTACKER}/a;", "!!python/object/apply:os.system [true]",
]  # fmt: skip
STORE_URLS = {
    "s3": ("s3://bucket/x.csv", {"endpoint_url": "http://127.0.0.1:{STORE}", "anon": True}),
    "gs": ("gs://bucket/x.csv", {"endpoint_url": "http://127.0.0.1:{STORE}", "token": "anon"}),
    "az": ("az://box/x.csv", {"account_name": "a", "anon": True}),
    "http": ("http://127.0.0.1:{STORE}/good.csv", {}),
    "local": ("d.csv", {}),
    "file": ("file://{WORK}/d.csv", {}),
}  # fmt: skip


def random_options(rng: random.Random) -> tuple[Any, dict]:
    """A store that could be the user's, with up to three options of a stranger's."""
    name = rng.choice(["s3", "gs", "az", "http", "http", "local", "local", "file"])
    path, options = STORE_URLS[name]
    options = dict(options)
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(KEYS)
        if key in ("endpoint_url", "endpoint", "account_host"):
            continue  # says where the store is
        value = copy.deepcopy(rng.choice(VALUES))
        if key == "client_kwargs" and isinstance(value, dict) and "endpoint_url" in value:
            continue
        options[key] = value
    return path, options


# -- schedulers ------------------------------------------------------------------------------------

KINDS = (
    f"ws://127.0.0.1:x@{FAR}:8786", f"tcp://127.0.0.1:x@{FAR}:8786", f"tcp://127.0.0.1@{FAR}:8786", f"tcp://localhost:8786@{FAR}:8786",
    f"tcp://{FAR}:8786", f"tls://{FAR}:8786", f"wss://{FAR}:8786", f"ucx://{FAR}:8786", f"ucxx://{FAR}:8786", f"tcp://[::ffff:{FAR}]:8786",
    "tcp://0x0a630002:8786", "tcp://174260226:8786", "tcp://10.99.2:8786", "tcp://127.0.0.1.evil.example:8786", "tcp://localhost.evil.example:8786",
    f"tcp://127.0.0.1#@{FAR}:8786", f"tcp://127.0.0.1\\@{FAR}:8786", f"tcp://127.0.0.1/@{FAR}:8786", f"tcp://127.0.0.1?@{FAR}:8786",
    f"tcp://127.0.0.1 {FAR}:8786", f"tcp://127.0.0.1:1,tcp://{FAR}:8786", f"tcp://{FAR}:8786#127.0.0.1", f"TCP://{FAR}:8786",
    f"inproc://{FAR}/1/1", f"tcp:////{FAR}:8786", f"tcp://127.0.0.1:80@[::ffff:{FAR}]:8786", "tcp://[fe80::1%25lo]:8786", "tcp://2130706433.:1",
    "tcp://user@127.0.0.1:{ATTACKER}", "ws://127.0.0.1:x@127.0.0.1:{ATTACKER}", f"tcp://[127.0.0.1]@{FAR}:8786", f"tcp://127.0.0.1%00.{FAR}:1",
    f"tcp://127。0。0。1@{FAR}:8786", "far.json", "file:far.json", "file:{WORK}/far.json", "{VICTIMS}/../work/far.json", f"ws://localhost:{FAR}@evil.example:1",
)  # fmt: skip


def scheduler(name: str, kind: str, command: str) -> Case:
    """A config that sends the run to a scheduler elsewhere; refused."""

    def make(place: Place) -> list[str]:
        (place.work / "far.json").write_text(f'{{"address": "tcp://{FAR}:8786", "type": "Scheduler", "id": "x", "workers": {{}}}}')  # fmt: skip
        tree = good_tree()
        tree["cluster"] = {"kind": place.fill(kind), "timeout": 1, "dashboard": False}
        place.write_config(tree)
        return [command, "c.yaml", *(["--out", "run", "-q"] if command == "run" else [])]

    return Case(name, make, statuses=REFUSED)


def each_scheduler() -> list[Case]:
    return [scheduler(f"run: cluster {kind}", kind, "run") for kind in KINDS]


# -- paths -----------------------------------------------------------------------------------------

PATHS = (
    "/dev/zero", "/dev/random", "/dev/full", "/dev/stdin", "/dev/null", "/dev/fd/0", "/proc/self/mem", "/proc/self/environ", "/proc/kmsg", "/proc/self/fd",
    "pipe.csv", "socket.csv", "loop.csv", "loop", "link.csv", "dir.csv", "deep/**/*.csv", "../../../../../../../../etc/passwd", "../victims", "~", "~root/x.csv",
    "x" * 5000, "a/" * 2000 + "x.csv", "|touch {VICTIMS}/x", "$(touch {VICTIMS}/x).csv", "`touch x`.csv", "; touch x", "-", "--out=x", "{VICTIMS}/folder",
    "\x1b]0;title\x07.csv", "a\nb.csv", "\u202ecsv.d", "sparse.csv", "d.csv\x00.parquet", "*" * 60, "[" * 60, "{a,b}.csv", "%s%n.csv", "sparse.parquet", "",
)  # fmt: skip


def hostile_files(place: Place) -> None:
    """The files that `PATHS` names."""
    work = place.work
    os.mkfifo(work / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(work, os.O_PATH)  # a socket's path may have 108 bytes
        sock.bind(f"/proc/self/fd/{here}/socket.csv")
        os.close(here)
    (work / "loop.csv").symlink_to("loop.csv")
    (work / "loop").mkdir()
    (work / "loop" / "again").symlink_to(work / "loop")
    (work / "link.csv").symlink_to(place.victims / "victim.csv")
    (work / "dir.csv").mkdir()
    for name in ("sparse.csv", "sparse.parquet"):
        with (work / name).open("wb") as file:
            file.truncate(6 << 30)


def odd_path(name: str, path: Any, where: str, command: str) -> Case:
    """A path as data, as a side table, as new data, or as the data of `init`."""

    def make(place: Place) -> list[str]:
        hostile_files(place)
        filled = place.fill(path)
        if where == "new":
            place.copy_run()
            return ["predict", "done", "--out", "o.csv", "-q", "--", filled]
        if where == "init":
            return ["init", "--target", "y", "--out", "new.yaml", "--", filled]
        tree = url_tree(filled, side=where == "side")
        tree["data"]["format"] = "csv" if str(path).endswith("csv") else "auto"
        place.write_config(tree)
        return [command, "c.yaml", *(["--out", "run", "-q"] if command == "run" else [])]

    return Case(name, make)


def each_path() -> list[Case]:
    places_of = ("data", "side", "new", "init")
    return [
        odd_path(f"path as {places_of[i % 4]}: {path[:60]!r}", path, places_of[i % 4], "plan")
        for i, path in enumerate(PATHS)
        if "\0" not in path or places_of[i % 4] in ("data", "side")
    ]


# -- any value of any key --------------------------------------------------------------------------

HOSTILE: list[Any] = [
    *ODD, *(path for path in PATHS if len(path) < 300), ATTACK, f"tcp://{FAR}:8786", "${HOSTILE_SECRET}", "{0.__class__.__mro__}", "%(x)s" * 9, "{{7*7}}", "__import__('os').system('true')",
    "(lambda: 1)()", "'; DROP TABLE x; --", "<script>alert(1)</script>", "=cmd|'/c calc'!A1", "\x1b[2J", "\ud800", "\0", "9" * 400, "1e400", "-1e400", "0x7fffffff", 2**31, 2**63 - 1, -(2**63),
    10**9, 10**12, [0] * 2000, {str(i): i for i in range(500)}, [{"join": {"table": "../x"}}], {"<<": {"a": 1}}, "!!python/object/apply:os.system ['true']", "re:(a+)+$", ".." * 50, "a" * 70_000,
]  # fmt: skip


def any_value(rng: random.Random, name: str, command: str) -> Case:
    """A config with every key of a section, one or two of them hostile."""
    section = rng.choice(sorted(TREES))
    tree = copy.deepcopy(TREES[section])
    said = []
    for _ in range(rng.choice([1, 1, 2])):
        own = [path for path in places(tree) if path[0] != "data" or section == "data"]
        path = rng.choice(own)
        value = copy.deepcopy(rng.choice(HOSTILE))
        node = tree
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
        said.append(f"{'.'.join(map(str, path))}: {value!r:.40}")

    def make(place: Place) -> list[str]:
        hostile_files(place)
        filled = place.fill(tree)
        cluster = filled.get("cluster")
        if section == "cluster":  # an address that is to be listened at
            place.hosts.add("listen")
        else:
            filled["cluster"] = {"dashboard": False}
        if isinstance(cluster, dict) and str(cluster.get("kind")).startswith(("gpus", "cores")):
            filled["cluster"] = "process"
        place.write_config(yaml.dump(filled, Dumper=Dumper))
        return [command, "c.yaml", *(["--out", "run", "-q"] if command == "run" else [])]

    return Case(f"{name}: {command}: {'; '.join(said)}", make)


class Dumper(yaml.SafeDumper):
    """Writes no aliases: the values are what is tested."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def generated(rng: random.Random, name: str, family: str) -> Case:
    """A case of one of this module's families."""
    command = rng.choices(["plan", "run", "audit-of-config"], [8, 1, 1])[0]
    if family == "url":
        path, allowed = random_url(rng)
        if rng.random() < 0.1:
            path = [path, "d.csv"]
        options = rng.choice([None, {}, DASK, OVERWRITE, DROP, {"mode": "w"}, {"fo": "{VICTIMS}/victim.csv", "mode": "w"}])  # fmt: skip
        side = rng.random() < 0.2
        return run_config(f"{name}: {command}: {path!r} {options}", url_tree(path, options, side=side), command=command)  # fmt: skip
    if family == "options":
        path, options = random_options(rng)
        return run_config(f"{name}: {command}: {path} {options}", url_tree(path, options), command=command)  # fmt: skip
    if family == "scheduler":
        kind = rng.choice(KINDS)
        if rng.random() < 0.5:
            at = rng.randrange(len(kind))
            kind = kind[:at] + rng.choice("@:/#?\\[]% .,") + kind[at + rng.randint(0, 1) :]
        case = scheduler(f"{name}: cluster {kind}", kind, rng.choice(["plan", "run", "run"]))
        return Case(case.name, case.make)
    if family == "path":
        where = rng.choice(["data", "side", "new", "init"])
        path = rng.choice([path for path in PATHS if "\0" not in path or where in ("data", "side")])
        return odd_path(f"{name}: {where} {path[:60]!r}", path, where, rng.choice(["plan", "plan", "run"]))  # fmt: skip
    return any_value(rng, name, "run" if rng.random() < 0.15 else "plan")


__all__ = [
    "allowed_protocols",
    "each_path",
    "each_protocol",
    "each_scheduler",
    "generated",
    "name_store",
    "named_urls",
]
