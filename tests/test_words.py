"""The words and sentences that must not come back into names, docstrings, messages and docs.

Lists what is wrong in files or folders: ``python tests/test_words.py pipeline/train README.md``.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Names that say nothing to a reader who knows the field, or that have a better-known word.
NAMES = frozenset(
    """
    held let_go give_back sealed kept basis rung climbed ladder gang together crossing alone proposal
    reopened settle settled tally rowset built looked counted opened closed advanced written linked
    published discarded told said heard goes_on fell found own made known
    """.split()  # noqa: SIM905 - a table of words
)
CLASSES = frozenset(["Doing", "Kept", "Work", "Read", "Choice", "Outcome", "Decision", "Record"])
MODULES = frozenset(
    """
    held sealed session keys known gang together lost serial passes meters crossing bus words
    constants ranges proof look facts alone single proposal reopened sides cells bounds rates
    figures chain series encoding texts settled stores content storage tally
    """.split()  # noqa: SIM905 - a table of words
)

PROSE = {
    r"\b(told|tells?|telling)\b": "say, log, report or print",
    r"\b(is|are|be|was|were) said\b|\bsaid\b": "reported, named, stated",
    r"\bheard\b": "received",
    r"\bmend(s|ed|ing)?\b": "fix, repair",
    r"\b(un)?settl(e|es|ed|ing)\b": "resolve, infer, decide",
    r"\brungs?\b|\bladders?\b|\bclimb(s|ed|ing)?\b": "fallback level, fall back",
    r"\bjudg(e|es|ed|ing)\b": "check, decide, validate",
    r"\blet(s|ting)? go\b": "release",
    r"\bg(ive|ives|iven|ave|iving) back\b": "release, return",
    r"\b(go|goes|went|gone|going) on\b": "resume, continue",
    r"\b(know|knows|known) of\b": "is aware of; rewrite",
    r"(?<!there )\b(is|are|was|were) no (?!longer\b|more than\b|less than\b|fewer than\b)": "is not a",
    r"\bheld\b(?![- ]out)": "persisted, stored, kept in memory",
    r"\bsealed\b": "manifest",
    r"\b(done|made|read|fitted|trained) again\b": "recomputed, reread, refitted",
    r"\bst(and|ands|ood) against\b": "is unresolved",
    r"\blook(s|ed|ing)? (at|for|into|like)\b": "inspect, check, search",
    r"\bcrossings?\b": "transfer",
    r"\b(bytes?|B|ms|s|seconds?|minutes?|ns|[µu]s|rows?|times|values?) an? "
    r"(row|block|second|partition|column|worker|process|tree|feature|hour|day|run|file)\b": "per",
}  # fmt: skip
# Sentences that begin with these have no head: name the thing.
HEADLESS = re.compile(
    r"(?:^|(?<=[.;:] )|(?<=[.]\n))\s*(Of|Those|Whose|From there|That|What)\b[^?]*?(?:[.;:]|$)"
)
FIRST = re.compile(r"(Of|That|Those|What|Whose|Whether|Which|Where|How|If|By|From|To|For)\b")

Finding = tuple[int, str, str]


def prose_of_python(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, text, is a docstring) of docstrings, comments and messages of more than a word."""
    tree = ast.parse(text)
    documented: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for child in node.body:
                value = child.value if isinstance(child, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    documented.add(id(value))
                    yield value.lineno, value.value, True
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documented
            and " " in node.value.strip()
        ):
            yield node.lineno, node.value, False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# "), False


def names_of_python(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of what a module defines: functions, classes, parameters, variables."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def without_code(text: str) -> str:
    """Blank out code, of Markdown and of docstrings, keeping the lines."""
    blank = lambda match: re.sub(r"[^\n]", " ", match[0])  # noqa: E731
    text = re.sub(r"^(```|~~~).*?^\1", blank, text, flags=re.S | re.M)
    text = re.sub(r"``[^`]+``|`[^`\n]+`", lambda match: "x" * len(match[0]), text)
    return re.sub(r"https?://\S+", blank, text)


def check_prose(text: str) -> Iterator[Finding]:
    """Yield (line from 0, what, instead) of the words that must not come back."""
    text = without_code(text)
    for pattern, instead in PROSE.items():
        for match in re.finditer(pattern, text, re.IGNORECASE if pattern[:2] != r"\b(" else 0):
            yield text.count("\n", 0, match.start()), match[0], instead


def check_sentences(text: str) -> Iterator[Finding]:
    """Yield (line from 0, what, instead) of sentences without a head."""
    text = without_code(text)
    for match in HEADLESS.finditer(text):
        sentence = " ".join(match[0].split())
        yield text.count("\n", 0, match.start()), sentence[:60], "name the thing first"


def check_python(text: str) -> Iterator[Finding]:
    """Yield (line, what, instead) of a module."""
    for line, name in names_of_python(text):
        bare = name.strip("_").lower()
        if bare in NAMES or name in CLASSES:
            yield line, name, "a name for what it holds or does (house.md section 3)"
    for line, prose, is_docstring in prose_of_python(text):
        for at, what, instead in check_prose(prose):
            yield line + at, what, instead
        if is_docstring:
            for at, what, instead in check_sentences(prose):
                yield line + at, what, instead
            if FIRST.match(prose.strip()):
                yield line, prose.strip().split("\n")[0][:60], "an imperative verb or a noun phrase"


def check_markdown(text: str) -> Iterator[Finding]:
    """Yield (line, what, instead) of a page."""
    for at, what, instead in check_prose(text):
        yield at + 1, what, instead
    for paragraph in re.finditer(r"(?:^(?![#|]).+\n?)+", without_code(text), re.M):
        start = text.count("\n", 0, paragraph.start())
        for at, what, instead in check_sentences(re.sub(r"^[-*] ", "", paragraph[0])):
            yield start + at + 1, what, instead


def check_file(path: Path) -> list[str]:
    """Return the findings of a file, one line each."""
    text = path.read_text()
    findings: Iterable[Finding]
    if path.suffix == ".py":
        findings = check_python(text)
        if path.stem in MODULES:
            findings = chain([(1, path.stem, "a name for what the module holds")], findings)
    elif path.suffix == ".md":
        findings = check_markdown(text)
    else:
        comments = "\n".join(line.partition("#")[2] for line in text.split("\n"))
        findings = ((at + 1, what, instead) for at, what, instead in check_prose(comments))
    where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return [f"{where}:{line}: {what!r}: {instead}" for line, what, instead in sorted(findings)]


def texts(tops: list[str]) -> list[Path]:
    """Return the tracked files below ``tops`` that hold prose."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *tops],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")  # fmt: skip
    return [ROOT / name for name in listed if name.endswith((".py", ".md", ".yaml"))]


CHECKED = [
    "pipeline", "benchmarks", "conf", "data", "docker", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md",
    "SECURITY.md", "tests/README.md",
]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [p for p in texts(CHECKED) if p.is_file()],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_words_stay_away(path):
    assert check_file(path) == []


def test_help_is_free_of_them():
    # Imported here, because as a program this file runs without the package on its path.
    from click.testing import CliRunner

    from pipeline.cli.app import app
    from pipeline.cli.usage import build_command

    group = build_command(app)
    for name in (None, *group.commands):
        shown = CliRunner().invoke(group, [*([name] if name else []), "--help"])
        assert shown.exit_code == 0 and len(shown.output) > 200
        text = " ".join(shown.output.split())
        assert [what for _, what, _ in check_prose(text)] == [], name


def test_the_check_sees_mistakes():
    module = '"""What it does.\n\nOf all rows, one is told.\n"""\ndef settled(found):\n    """Whether."""\n'
    assert len(list(check_python(module))) == 7
    page = "# Of rows\n\nThose are `told` of.\n\n```\ntold\n```\n\n5 bytes a row.\n"
    assert [what for _, what, _ in check_markdown(page)] == ["bytes a row", "Those are xxxxxx of."]
    assert not list(check_markdown("There is no GPU. What is a fold? 5 bytes per row.\n"))


if __name__ == "__main__":
    for shown in texts(sys.argv[1:] or CHECKED):
        print(*check_file(shown), sep="\n", end="\n" if check_file(shown) else "")
