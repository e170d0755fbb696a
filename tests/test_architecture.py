"""Who may import what, how long things may be, and what must not be there at all."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "pipeline"
MODULES = sorted(ROOT.rglob("*.py"))
LAYERS = [  # a module imports from its own row or from rows below it
    {"__main__", "cli", ""},
    {"audit", "parity", "bench", "tools", "doctor"},
    {"execution", "predict"},
    {"report"},
    {"evaluate"},
    {"features", "ingest", "train"},
    {"telemetry"},
    {"cluster", "memory", "expression", "artifacts", "matrix"},
    {"device"},
    {"schema", "console", "config"},
    {"errors", "versions"},
]
GPU_LIBRARIES = {"cudf", "cupy", "cuml", "rmm", "nvforest", "dask_cuda", "dask_cudf", "raft_dask",
                 "cugraph", "numba", "pylibcudf", "cuda"}  # fmt: skip
BANNED_MODULES = {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
BANNED_METHODS = {  # of frames: slow, or not in cuDF, or an expression run as code
    "query", "iterrows", "itertuples", "applymap", "to_pickle", "read_pickle", "qcut", "iteritems",
}  # fmt: skip
MODULE_LINES, FUNCTION_LINES = 330, 60


def name_of(path):
    return str(path.relative_to(ROOT))


@cache
def tree_of(path):
    return ast.parse(path.read_text())


def part_of(dotted):
    """The top-level part of the package: ``features`` for ``pipeline.features.op``."""
    return (dotted.split(".") + [""])[1]


def own_part(path):
    first = path.relative_to(ROOT).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(tree, *, at_run_time=True):
    """(line, dotted name) of every import; those for type checkers only are left out."""
    skipped = set()
    if at_run_time:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped |= {id(n) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.lineno, node.module
            if node.module in (
                "pipeline",
                "pipeline.device",
                "pipeline.features",
                "pipeline.ingest",
            ):
                yield from ((node.lineno, f"{node.module}.{a.name}") for a in node.names)


def row_of(part):
    return next(i for i, row in enumerate(LAYERS) if part in row)


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


def test_every_part_has_its_layer():
    assert {own_part(p) for p in MODULES} == set().union(*LAYERS)


@each_module
def test_imports_point_down(path):
    mine = own_part(path)
    for line, dotted in imports(tree_of(path)):
        if not dotted.startswith("pipeline"):
            continue
        theirs = part_of(dotted)
        if not theirs or theirs.startswith("__"):  # the version
            continue
        if (ROOT / theirs).exists() or (ROOT / f"{theirs}.py").exists():
            assert row_of(theirs) >= row_of(mine), f"{name_of(path)}:{line} imports {dotted}"


def refuse_circles(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' → '.join(error.args[1])}")


def test_parts_do_not_import_each_other_in_circles():
    graph = {}
    for path in MODULES:
        for _, dotted in imports(tree_of(path)):
            theirs = part_of(dotted) if dotted.startswith("pipeline.") else ""
            if theirs and theirs != own_part(path) and own_part(path):
                graph.setdefault(own_part(path), set()).add(theirs)
    refuse_circles(graph)


def dotted_name(path):
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(tree):
    """Our modules that a module imports, also within its functions."""
    found = {dotted for _, dotted in imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in found:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found & {dotted_name(path) for path in MODULES}


def test_modules_do_not_import_each_other_in_circles():
    packages = {dotted_name(path) for path in MODULES if path.name == "__init__.py"}
    refuse_circles(
        {
            dotted_name(path): imported_modules(tree_of(path)) - packages - {dotted_name(path)}
            for path in MODULES
        }
    )


@each_module
def test_gpu_libraries_stay_where_they_belong(path):
    inside = path.relative_to(ROOT).parts
    if inside[:2] == ("device", "gpu") or inside[0] == "cluster":
        return
    found = [
        (n, d)
        for n, d in imports(tree_of(path), at_run_time=False)
        if d.split(".")[0] in GPU_LIBRARIES
    ]
    assert found == []


@each_module
def test_the_gpu_modules_are_imported_by_the_choice_alone(path):
    inside = path.relative_to(ROOT).parts
    if inside[:2] == ("device", "gpu"):
        return
    for line, dotted in imports(tree_of(path)):
        if not dotted.startswith("pipeline.device.gpu"):
            continue
        top = [n.lineno for n in tree_of(path).body if isinstance(n, ast.Import | ast.ImportFrom)]
        assert line not in top, (
            f"{name_of(path)}:{line}: only inside a function, once a GPU is chosen"
        )


@each_module
def test_nothing_unpickles_or_runs_text(path):
    for line, dotted in imports(tree_of(path), at_run_time=False):
        assert dotted.split(".")[0] not in BANNED_MODULES, f"{name_of(path)}:{line}"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            assert text not in BANNED_CALLS, f"{name_of(path)}:{node.lineno} {text}"
            assert text not in (
                "yaml.load",
                "yaml.unsafe_load",
                "yaml.full_load",
            ) or "Safe" in ast.unparse(node)
            assert text not in ("os.system", "os.popen"), f"{name_of(path)}:{node.lineno}"
            assert not any(k.arg == "shell" for k in node.keywords), (
                f"{name_of(path)}:{node.lineno}"
            )
        if (
            isinstance(node, ast.Attribute) and ast.unparse(node) != "tree.query"
        ):  # SciPy's k-d tree
            assert node.attr not in BANNED_METHODS, f"{name_of(path)}:{node.lineno} .{node.attr}"


WRITERS = {  # of standard output and error: JSON, YAML, our own words
    "console/terminal.py", "console/signals.py", "cli/app.py", "cli/init.py", "cli/options.py",
}  # fmt: skip


@each_module
def test_what_people_read_is_made_visible_first(path):
    if name_of(path) in WRITERS:
        return
    for line, dotted in imports(tree_of(path)):
        assert dotted != "rich.console", (
            f"{name_of(path)}:{line}: pipeline.console.terminal.make_console"
        )
    for node in ast.walk(tree_of(path)):
        text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        assert text not in ("sys.stdout.write", "sys.stderr.write"), (
            f"{name_of(path)}:{node.lineno}: pipeline.console.terminal.print_stderr or print_stdout"
        )


IN_PLACE = {  # write to a folder that they have just made
    "tools/profile.py", "bench/process_meter.py", "ingest/sources/http_files.py",
}  # fmt: skip


@each_module
def test_files_are_written_beside_and_renamed(path):
    """`artifacts.written` and `artifacts.open_to_append`: nothing else may change a linked file."""
    if name_of(path) in IN_PLACE:
        return
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        text, modes = (
            ast.unparse(node.func),
            [a.value for a in node.args if isinstance(a, ast.Constant)],
        )
        writes = text.endswith((".write_text", ".write_bytes")) or (
            text.endswith("open")
            and any(set(str(m)) & set("wa+x") and len(str(m)) < 4 for m in modes)
        )
        allowed = (
            text.startswith("beside.")
            or "devnull" in ast.unparse(node)
            or (name_of(path) == "artifacts/files.py" and text == "open")
        )
        assert allowed or not writes, f"{name_of(path)}:{node.lineno} {ast.unparse(node)}"


PARSERS = {
    "split", "rsplit", "partition", "rpartition", "startswith", "endswith", "removeprefix",
    "removesuffix",
}  # fmt: skip


def stage_names(tree):
    """(line, what) wherever the name of a stage is put together or taken apart."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            if node.values[0].value in ("train ", "refit "):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            kind, _, model = node.value.partition(" ")
            if kind in ("train", "refit") and model in ("xgboost", "forest", "features"):
                yield node.lineno, node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            text = ast.unparse(node.func.value)
            if node.func.attr in PARSERS and text.rpartition(".")[2] in ("stage", "stage_id"):
                yield node.lineno, ast.unparse(node)


@each_module
def test_no_stage_name_is_parsed(path):
    """A stage is a `StageId`; its text is for the ledger, for files and for people."""
    if name_of(path) != "artifacts/stage_id.py":
        assert list(stage_names(tree_of(path))) == []


def frame_modules():
    """Modules that see a device's frames."""
    folders = ("features", "expression")
    return [p for p in MODULES if own_part(p) in folders] + [
        ROOT / "ingest" / "labels" / f"{n}.py" for n in ("assign", "split", "target")
    ]


@pytest.mark.parametrize("path", frame_modules(), ids=name_of)
def test_frame_code_has_no_row_loops(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("apply", "eval"), f"{name_of(path)}:{node.lineno} .{node.attr}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            assert "DataFrame" not in ast.unparse(node.args[1]) or path.name in ("state_io.py",), (
                f"{name_of(path)}:{node.lineno}: a frame may be cuDF's"
            )


@each_module
def test_modules_and_functions_are_short(path):
    lines = path.read_text().count("\n")
    assert lines <= MODULE_LINES, f"{name_of(path)} has {lines} lines"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[0]
            documented = ast.get_docstring(node) is not None
            takes_options = own_part(path) == "cli"  # as its parameters
            first = start.lineno if takes_options else node.lineno
            docstring = start.end_lineno - start.lineno + 1 if documented else 0
            length = node.end_lineno - first + 1 - docstring
            assert length <= FUNCTION_LINES, (
                f"{name_of(path)}:{node.lineno} {node.name}: {length} lines"
            )


def test_test_files_have_names_of_their_own():
    """pytest imports them by these names alone: of two, one is not collected."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py")]
    assert [n for n in set(names) if names.count(n) > 1 and n != "conftest.py"] == []


@each_module
def test_modules_say_what_they_are(path):
    assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "base"}


def test_the_checks_see_mistakes():
    source = "import cudf\nfrom pipeline.cli.app import app\nif TYPE_CHECKING:\n    import cupy\n"
    tree = ast.parse(source)
    assert [d for _, d in imports(tree)] == ["cudf", "pipeline.cli.app"]
    assert [d for _, d in imports(tree, at_run_time=False)] == ["cudf", "pipeline.cli.app", "cupy"]
    assert row_of("cli") < row_of("features") < row_of("device") < row_of("errors")
    parsed = 'f"train {m}"\n"refit features"\nentry.stage.endswith("xgboost")\n"train on"\n'
    assert [line for line, _ in stage_names(ast.parse(parsed))] == [1, 2, 3]
