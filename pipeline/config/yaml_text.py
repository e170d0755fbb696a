"""The text of a config as a tree of plain values: YAML, with the place of each mistake."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline.config.yaml_size import SafeLoader, check_size
from pipeline.errors import ConfigError, shorten

FIXES = {
    "constructor": "write plain values: YAML's tags (words after an exclamation mark) are not read",
    "another document": "one file holds one config: remove the line ---",
    "undefined alias": "a text that begins with * or & needs quotes",
    "unhashable key": "a key is a word",
    "twice": "keep one of them",
    "no value": "write it in quotes to have a text",
}
"""By what the problem says."""
TABS = "indent with blanks, not tabs"
QUOTES = "look there and just before it; texts that hold any of : # [ ] { } , * & need quotes"


def parse_yaml(text: str, what: str, *, words: bool = False) -> Any:
    """The tree in a YAML text.

    Args:
        text: one document.
        what: it is, for messages.
        words: the text is the value of a key of `CSV_WORDS`.

    Raises:
        ConfigError: not YAML, too large or too deep; a key stands twice in a mapping; a value is
            not of the type that its form or tag says.
    """
    try:
        check_size(text, what)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            _keep_words(node, words=words)  # first: it makes one key of true and "true"
            _refuse_doubles(node)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        before = text.encode("utf-8", "replace")[: int(error.position)]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigError(
            f"{what}, line {line}, column {column}: the character "
            f"{shorten(chr(int(error.character)))} may not stand in YAML",
            fix="remove it",
        ) from None
    except yaml.YAMLError as error:
        raise _explained(error, text, what) from None


def _explained(error: yaml.YAMLError, text: str, what: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "not YAML")
    fix = next((fix for word, fix in FIXES.items() if word in problem), QUOTES)
    if mark is None:
        return ConfigError(f"{what}: {problem}", fix=fix)
    lines = text.split("\n")
    if mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        fix = TABS
    return ConfigError(
        f"{what}, line {mark.line + 1}, column {mark.column + 1}: {problem}", fix=fix
    )


def _refuse_doubles(root: yaml.Node | None) -> None:
    """Checks that the keys of each mapping differ: of two the same, YAML itself takes the last.

    Done before anything is constructed, which puts what ``<<`` merges among a mapping's own keys.
    """
    todo, seen = [root] if root is not None else [], set[int]()
    while todo:
        node = todo.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if not isinstance(node, yaml.MappingNode):
            todo += node.value
            continue
        first: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            todo += [key, value]
            name = (key.tag, str(key.value))
            if isinstance(key, yaml.ScalarNode) and name in first:
                problem = f"the key {shorten(key.value)} stands here twice, first in line "
                raise _mistake(f"{problem}{first[name]}", key)
            first[name] = key.start_mark.line + 1


CSV_WORDS = ("true", "false", "missing", "header")
"""Keys of ``csv:`` that list words of the files."""


def _keep_words(root: yaml.Node | None, *, words: bool) -> None:
    """Make texts of the words under ``csv:`` as they are written.

    YAML 1.1 reads ``yes``, ``on``, ``1`` and ``null`` as other values, and ``true:`` as a boolean
    key. A word that is not in a list is left as it is under ``header``, which may be a boolean.
    """
    if root is not None and words:
        _to_texts(root)
    todo, seen = [root] if root is not None else [], set[int]()
    while todo:
        node = todo.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if not isinstance(node, yaml.MappingNode):
            todo += node.value
            continue
        for key, value in node.value:
            todo.append(value)
            if key.value == "csv" and isinstance(value, yaml.MappingNode):
                for inner, listed in value.value:
                    if inner.value in CSV_WORDS:
                        inner.tag = TEXT
                        if inner.value != "header" or isinstance(listed, yaml.SequenceNode):
                            _to_texts(listed)


TEXT = "tag:yaml.org,2002:str"


def _to_texts(node: yaml.Node) -> None:
    for word in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if isinstance(word, yaml.ScalarNode) and word.value:
            word.tag = TEXT


NOT_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("binary", "set", "omap", "pairs")}
"""Types of YAML that JSON, and so `config.yaml` and `plan.json`, do not have."""


class _Loader(SafeLoader):  # type: ignore[misc]
    """The safe loader for JSON's values, which names the place of a value that is none.

    What looks like a date stays the text that it is: a column's name, a class, an op's constant.
    """

    yaml_constructors = {
        **{tag: made for tag, made in SafeLoader.yaml_constructors.items() if tag not in NOT_PLAIN},
        "tag:yaml.org,2002:timestamp": SafeLoader.construct_scalar,
    }

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError) as error:
            # 2026-02-30, !!int x, an integer of 5,000 digits
            raise _mistake(f"{shorten(node.value)} is no value: {error}", node) from None


def _mistake(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
