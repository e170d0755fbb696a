"""YAML text parsed into plain values, with a line and column for every mistake."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline.errors import ConfigError, shorten

MAX_VALUES = 250_000
"""Keys and values in one text, counting what an alias repeats each time."""
CHARS_PER_VALUE = 64
"""Characters of a scalar that count as one more value."""
MAX_DEPTH = 50
CSV_WORDS = ("true", "false", "missing", "header")
"""Keys of ``csv:`` that list words of the data files."""
TEXT_TAG = "tag:yaml.org,2002:str"
TAGS_WITHOUT_JSON = {f"tag:yaml.org,2002:{name}" for name in ("binary", "set", "omap", "pairs")}
"""Types of YAML that JSON, and so `config.yaml` and `plan.json`, cannot hold."""
FIXES = {
    "constructor": "write plain values without tags (words after an exclamation mark)",
    "another document": "remove the line ---, since one file holds one config",
    "undefined alias": "write texts that begin with * or & in quotes",
    "unhashable key": "write a plain word as the key",
    "twice": "keep one of them",
    "not a value": "quote it to make it a text",
}
"""Fix by a part of the problem's text."""
TAB_FIX = "indent with blanks, not tabs"
DEFAULT_FIX = (
    "check that place and the text just before it; quote texts that contain any of "
    ": # [ ] { } , * & in them"
)
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""LibYAML's loader if it is installed, because it is ten times as fast."""


def parse_yaml(text: str, what: str, *, words: bool = False) -> Any:
    """Parse one YAML document into plain values.

    Args:
        text: The document.
        what: Name of the source, for messages.
        words: True if the text is the value of a key in `CSV_WORDS`.

    Raises:
        ConfigError: The text is not YAML, is too large or too deep, repeats a key in a mapping, or
            has a value that does not fit its form or tag.
    """
    try:
        _check_size(text, what)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            mappings = _list_mappings(root)
            if words:
                _read_as_text(root)
            # Words come first: ``true`` and ``"true"`` are one key once both are texts.
            for mapping in mappings:
                _keep_csv_words(mapping)
            for mapping in mappings:
                _refuse_duplicate_keys(mapping)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        before = text.encode("utf-8", "replace")[: int(error.position)]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigError(
            f"{what}, line {line}, column {column}: the character "
            f"{shorten(chr(int(error.character)))} is not allowed in YAML",
            fix="remove it",
        ) from None
    except yaml.YAMLError as error:
        raise _describe_mistake(error, text, what) from None


def _check_size(text: str, where: str) -> None:
    """Check the depth and the number of values of a text before anything is built from it.

    Raises:
        ConfigError: The text is too large or too deep, or an alias contains itself.
        yaml.YAMLError: The text is not YAML.
    """
    sizes: dict[str, int] = {}  # by anchor, once its value has ended
    open_collections: list[tuple[int, str | None]] = []  # (size before it, its anchor)
    size = 0
    # Events come one at a time. LibYAML's loader instead recurses until the stack overflows.
    for event in yaml.parse(text, Loader=SafeLoader):
        size += 1
        if isinstance(event, yaml.ScalarEvent):
            weight = len(event.value) // CHARS_PER_VALUE
            size += weight
            sizes |= {event.anchor: 1 + weight} if event.anchor else {}
        if isinstance(event, yaml.CollectionStartEvent):
            open_collections.append((size, event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            before, anchor = open_collections.pop()
            sizes |= {anchor: size - before + 1} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for _, anchor in open_collections):
                raise ConfigError(
                    f"{where}: the alias *{event.anchor} contains itself",
                    fix="write the value out instead of the alias",
                )
            # An alias counts as much as what it repeats: a few lines could stand for gigabytes.
            size += sizes.get(str(event.anchor), 1)
        if size > MAX_VALUES:
            raise ConfigError(
                f"{where}: more than {MAX_VALUES:,} values, counting what aliases repeat each time",
                fix="write fewer keys and values, or fewer aliases",
            )
        if len(open_collections) > MAX_DEPTH:
            raise ConfigError(
                f"{where}: more than {MAX_DEPTH} levels", fix="nest lists and keys less deeply"
            )


def _describe_mistake(error: yaml.YAMLError, text: str, what: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "not YAML")
    fix = next((fix for part, fix in FIXES.items() if part in problem), DEFAULT_FIX)
    if mark is None:
        return ConfigError(f"{what}: {problem}", fix=fix)
    lines = text.split("\n")
    # LibYAML names a token that it did not expect, not the tab that is the reason.
    if mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        fix = TAB_FIX
    return ConfigError(
        f"{what}, line {mark.line + 1}, column {mark.column + 1}: {problem}", fix=fix
    )


def _list_mappings(root: yaml.Node) -> list[yaml.MappingNode]:
    """List every mapping below a node once, however many aliases lead to it."""
    mappings: list[yaml.MappingNode] = []
    pending, seen = [root], set[int]()
    while pending:
        node = pending.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            mappings.append(node)
            pending += [child for pair in node.value for child in pair]
        else:
            pending += node.value
    return mappings


def _keep_csv_words(mapping: yaml.MappingNode) -> None:
    """Read the words below a key ``csv`` as text, exactly as they are written.

    YAML 1.1 reads ``yes``, ``on``, ``1`` and ``null`` as other values, and ``true:`` as a boolean.
    """
    for key, value in mapping.value:
        if key.value == "csv" and isinstance(value, yaml.MappingNode):
            for option, listed in value.value:
                if option.value in CSV_WORDS:
                    option.tag = TEXT_TAG
                    # ``header`` is a boolean unless it lists the names.
                    if option.value != "header" or isinstance(listed, yaml.SequenceNode):
                        _read_as_text(listed)


def _read_as_text(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):  # missing: {only: [...]}
        for _, listed in node.value:
            _read_as_text(listed)
        return
    for word in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if isinstance(word, yaml.ScalarNode) and word.value:
            word.tag = TEXT_TAG


def _refuse_duplicate_keys(mapping: yaml.MappingNode) -> None:
    """Check that the keys of a mapping differ; YAML itself would silently take the last one."""
    # Checked on nodes, because the constructor mixes a mapping's own keys with those of ``<<``.
    first_line: dict[tuple[str, str], int] = {}
    for key, _ in mapping.value:
        name = (key.tag, str(key.value))
        if isinstance(key, yaml.ScalarNode) and name in first_line:
            problem = f"the key {shorten(key.value)} appears twice, first in line "
            raise _mistake_at(key, f"{problem}{first_line[name]}")
        first_line[name] = key.start_mark.line + 1


class _Loader(SafeLoader):  # type: ignore[misc]
    """A safe loader that builds only values of JSON and names the place of any other value."""

    yaml_constructors = {
        **{
            tag: constructor
            for tag, constructor in SafeLoader.yaml_constructors.items()
            if tag not in TAGS_WITHOUT_JSON
        },
        # A date stays a text: it may be a column's name, a class, or a constant of an op.
        "tag:yaml.org,2002:timestamp": SafeLoader.construct_scalar,
    }

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return the value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError) as error:
            # Examples are ``!!int x`` and an integer of 5,000 digits.
            raise _mistake_at(node, f"{shorten(node.value)} is not a value: {error}") from None


def _mistake_at(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
