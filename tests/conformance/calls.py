"""Names and calls of libraries in a source text, held against the libraries that are installed.

What the text imports is followed through its dotted names and through variables that are one of
several such names; a call must bind to the signature. Values, and methods of what calls return, are
nobody's here: `columns.py` and `conformance.py` see to those of frames.
"""

import ast
import importlib
import inspect
from pathlib import Path


def wrong(text, libraries):
    """``line: what`` of each name that a library lacks and of each call that it would refuse."""
    tree = ast.parse(text)
    names = _imported(tree, libraries)
    names |= _chosen(tree, names)
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            for path in _paths(node, names):
                if _object(path) is MISSING:
                    found.append(f"{node.lineno}: {path} does not exist")
        if isinstance(node, ast.Call):
            for path in _paths(node.func, names):
                found += _unbound(node, path)
    return sorted(set(found))


def followed(text, libraries):
    """The names of the libraries that calls in the text use: what `wrong` looks at."""
    tree = ast.parse(text)
    names = _imported(tree, libraries)
    names |= _chosen(tree, names)
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {path for function in calls for path in _paths(function, names)}


def _imported(tree, libraries):
    """``{name in the text: [dotted path]}``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in libraries:
                    top = alias.name.split(".")[0]
                    found[alias.asname or top] = [alias.name if alias.asname else top]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in libraries:
            for alias in node.names:
                found[alias.asname or alias.name] = [f"{node.module}.{alias.name}"]
    return found


def _chosen(tree, names):
    """Variables that are one name, or one of two (``A if … else B``)."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            options = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            paths = [path for option in options for path in _paths(option, names)]
            if paths and len(paths) == len(options):
                found[node.targets[0].id] = paths
    return found


def _paths(node, names):
    """The dotted paths that an expression may be; none where it is no name of a library's."""
    rest = []
    while isinstance(node, ast.Attribute):
        rest.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return []
    return [".".join([path, *rest]) for path in names.get(node.id, ())]


MISSING = object()


def _object(path):
    parts = path.split(".")
    found = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(found, part) and inspect.ismodule(found):
            try:
                importlib.import_module(".".join(parts[:i]))
            except ImportError:
                return MISSING
        found = getattr(found, part, MISSING)
        if found is MISSING:
            return MISSING
    return found


def _signature(found):
    """Of a function or class; of compiled ones what the stub beside them says, or None."""
    try:
        return inspect.signature(found)
    except (TypeError, ValueError):
        module = inspect.getmodule(found)
    stub = Path(getattr(module, "__file__", None) or "").parent / (
        f"{getattr(module, '__name__', '').rpartition('.')[2]}.pyi"
    )
    tree = ast.parse(stub.read_text()).body if stub.is_file() else []
    body = next((n for n in tree if getattr(n, "name", "") == found.__name__), None)
    if isinstance(body, ast.ClassDef):
        body = next((n for n in body.body if getattr(n, "name", "") == "__init__"), None)
    return None if body is None else _of_stub(body.args)


def _of_stub(args):
    plain = [a for a in args.args if a.arg != "self"]
    kinds = inspect.Parameter
    made = [kinds(a.arg, kinds.POSITIONAL_OR_KEYWORD) for a in plain]
    for i in range(1, len(args.defaults) + 1):
        made[-i] = made[-i].replace(default=None)
    return inspect.Signature(made)


def _unbound(call, path):
    signature = _signature(_object(path))
    if signature is None:  # compiled code that does not tell, or no such name
        return []
    given = [a for a in call.args if not isinstance(a, ast.Starred)]
    named = {k.arg: None for k in call.keywords if k.arg}
    whole = len(given) == len(call.args) and all(k.arg for k in call.keywords)
    try:
        (signature.bind if whole else signature.bind_partial)(*given, **named)
    except TypeError as error:
        return [f"{call.lineno}: {path}{signature}: {error}"]
    return []
