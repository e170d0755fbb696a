import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from pipeline.errors import InputError
from pipeline.report import document, folder, page

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><img src=x onerror='window.hacked = 1'>",
    "<!-- <script>",
    '"><b>bold</b>',
    "{{ 7 * 7 }} {% raw %}",
    "$$\\LaTeX$$ &lt; &amp; é ☃ 日本語",
    "x" * 300,
]


class Elements(HTMLParser):
    """Counts start tags, and gathers the visible text and the scripts."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.scripts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        inside = self.scripts if self.tags and self.tags[-1] == "script" else self.text
        inside.append(data)


def parsed(html):
    found = Elements()
    found.feed(html)
    return found


def hostile(fake_run, task="multiclass"):
    classes = HOSTILE if task == "multiclass" else HOSTILE[:2]
    return fake_run(
        task, tuple(classes), names=HOSTILE, slice_values=(*HOSTILE, None), title=HOSTILE[0],
        target=HOSTILE[1], note=HOSTILE[1],
    )  # fmt: skip


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_every_text_from_the_data_is_escaped(fake_run, task):
    found = parsed(page.write_report(hostile(fake_run, task)).read_text(encoding="utf-8"))
    assert found.tags.count("script") == 3  # chart items, BokehJS, the page's own
    assert not {"img", "b"} & set(found.tags)
    shown = "".join(found.text)
    for text in HOSTILE:
        assert text in shown


def test_the_check_above_sees_a_page_that_is_not_escaped(fake_run, monkeypatch):
    run = hostile(fake_run)
    escaped = document.load_template("page.html")
    escaped.environment.autoescape = False
    unsafe = escaped.environment.from_string(document.read_asset("page.html"))
    monkeypatch.setattr(document, "load_template", lambda name: unsafe)
    with pytest.raises(AssertionError):
        found = parsed(page.render(folder.read_run_folder(run)))
        assert found.tags.count("script") == 3


def test_names_in_the_charts_cannot_close_their_script(fake_run):
    html = page.write_report(hostile(fake_run)).read_text(encoding="utf-8")
    block = re.search(
        r'<script type="application/json" id="chart-items">(.*?)</script>', html, re.S
    )
    assert "</script><img" in json.dumps(json.loads(block[1]))
    assert "<" not in block[1]


@pytest.mark.parametrize(
    ("task", "classes"),
    [("binary", ("no", "yes")), ("multiclass", ("a", "b", "c")), ("regression", ())],
)
def test_the_page_says_what_the_run_folder_says(fake_run, task, classes):
    path = page.write_report(fake_run(task, classes))
    assert path.name == "report.html"
    html = path.read_text(encoding="utf-8")
    shown = "".join(parsed(html).text)
    for text in (
        "arr_delay > 15", "14,000 train, 2,000 valid, 2,000 test", "no NVIDIA driver was found",
        "target_encode", "hour_sin_raw", "constant", "hour_sin has 3 missing values", "14.2 s", "s in these stages. Peak memory",
        "12 rows dropped: their target is missing", "3.2.0", "refitted on all rows",
        "python -m pipeline predict", "columns: month, day",
        "--out predictions.parquet", "baseline", "best",
    ):  # fmt: skip
        assert text in shown, text
    assert 1e6 < len(html) < 3e6
    assert '<meta name="viewport"' in html


def test_warnings_stand_above_the_metrics_with_their_fix(fake_run, monkeypatch):
    run = fake_run()
    monkeypatch.chdir(run.parent)
    html = page.write_report(run).read_text(encoding="utf-8")
    (box,) = re.findall(r'<div class="warnings">(.*?)</div>', html, re.S)
    assert html.index(box) < html.index("<h2>Metrics</h2>")
    evaluated, own = re.findall("<li>(.*?)</li>", box)
    assert evaluated.startswith("&lt;b&gt;too&lt;/b&gt; good<br>")
    assert f"Fix: python -m pipeline audit {run.name}<" in evaluated
    assert own == "hour_sin has 3 missing values"
    (run / "evaluate" / "warnings.json").unlink()
    (run / "manifest.json").unlink()
    html = page.write_report(run).read_text(encoding="utf-8")
    assert "too</b>" not in html and "these files may have been altered</li>" in html


def test_the_page_fetches_nothing(fake_run):
    html = page.write_report(fake_run()).read_text(encoding="utf-8")
    outside = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?\s*(?:https?:)?//", outside)
    policy = unescape(re.search(r'Content-Security-Policy" content="(.*?)"', html)[1])
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2


def test_sections_without_a_file_are_left_out(fake_run):
    run = fake_run()
    for name in ("manifest.json", "evaluate/metrics.json", "evaluate/curves.json",
                 "features/plan.json", "ingest/schema.json", "ledger.jsonl", "train/xgboost.json"):  # fmt: skip
        (run / name).unlink()
        html = page.write_report(run).read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", html)
    assert headings == ["Score new data", "Data, config and versions"]
    assert "has no manifest.json: these files may have been altered" in html
    assert "<script" not in html


def test_a_run_without_validation_rows_or_slices_has_a_page(fake_run):
    run = fake_run()
    curves = json.loads((run / "evaluate/curves.json").read_text())
    measured = json.loads((run / "evaluate/metrics.json").read_text())
    for model in curves["models"].values():
        del model["valid"], model["test"]["slices"]
        model["test"].update(points=None, calibration=[])
    for model in measured["models"].values():
        model["valid"] = dict.fromkeys(model["valid"])
    (run / "evaluate/curves.json").write_text(json.dumps(curves))
    (run / "evaluate/metrics.json").write_text(json.dumps(measured))
    fake_run.seal(run)
    html = page.write_report(run).read_text(encoding="utf-8")
    assert "Validation rows" not in html
    assert "ROC curve" not in html
    assert "Learning curve" in html


def test_the_ledger_may_know_less_or_more(fake_run):
    run = fake_run()
    (run / "ledger.jsonl").write_text(
        '{"event": "stopped by signal 15"}\n'
        '{"stage": "read", "asked": "auto", "device": "gpu", "reason": "H200", "seconds": 0.5,'
        ' "peak_device": 123456789, "h2d": 1000}\n'
        '{"stage": "train forest", "asked": "auto", "device": "cpu", "reason": "no cuML",'
        ' "seconds": 125, "note": "smaller samples"}\n'
    )
    fake_run.seal(run)
    shown = "".join(parsed(page.write_report(run).read_text(encoding="utf-8")).text)
    shown = re.sub(r"\s+", " ", shown)
    for text in (
        "stopped by signal 15", "read ran on gpu: H200", "train forest ran on cpu: no cuML",
        "123 MB", "1 kB", "2 min 05 s", "train forest: smaller samples",
    ):  # fmt: skip
        assert text in shown, text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        page.write_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "a: [1"),
        ("config.yaml", "[1, 2]"),
        ("manifest.json", "{"),
        ("manifest.json", "[]"),
        ("ledger.jsonl", '{"stage"'),
    ],
)
def test_a_damaged_file_is_named(fake_run, name, text):
    run = fake_run()
    (run / name).write_text(text)
    with pytest.raises(InputError, match=re.escape(name)):
        page.write_report(run)
    if name != "manifest.json":  # what a run wrote that ended in the middle
        (run / "manifest.json").unlink()
        with pytest.raises(InputError, match=re.escape(name)):
            page.write_report(run)


@pytest.mark.parametrize(
    "name", ["config.yaml", "ledger.jsonl", "ingest/schema.json", "features/plan.json",
             "evaluate/metrics.json", "evaluate/curves.json", "train/xgboost.json"],
)  # fmt: skip
def test_an_altered_or_removed_file_is_refused_by_name(fake_run, name):
    run = fake_run()
    (run / name).write_bytes((run / name).read_bytes() + b"\n")
    with pytest.raises(InputError, match=rf"{re.escape(name)} was altered after the run"):
        page.write_report(run)
    (run / name).unlink()
    with pytest.raises(InputError, match=re.escape(name)):
        page.write_report(run)
    assert not (run / "report.html").exists()


def test_a_file_that_the_manifest_does_not_list_is_refused(fake_run):
    run = fake_run()
    (run / "train" / "other.json").write_text("{}")
    with pytest.raises(InputError, match="other.json is not in the run's manifest"):
        page.write_report(run)


def test_the_command_quotes_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert page._quote_folder(tmp_path / "my run") == "'my run'"
    assert page._quote_folder(tmp_path.__class__("/elsewhere/run")) == "/elsewhere/run"
