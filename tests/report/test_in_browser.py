"""The page as a reader sees it: in Chromium, on a desk and on a phone."""

import json

import pytest
from browser import CHROMIUM, started, visit
from test_gpu_timeline import timeline
from test_page import hostile

from pipeline.report import page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")

QUESTIONS = {
    "overflow": "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    "spilled": """[...document.querySelectorAll("h1, h2, h3, p, dl, pre, summary, .scroll, .bars")]
        .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map((e) => e.outerHTML.slice(0, 80))""",
    "holders": "document.querySelectorAll('.chart').length",
    "empty": """(() => {
        const drawn = (root) => [...root.querySelectorAll("*")].some(
            (e) => (e.tagName === "CANVAS" && e.width > 250 && e.height > 200)
                || (e.shadowRoot && drawn(e.shadowRoot)));
        return [...document.querySelectorAll(".chart")].filter((e) => !drawn(e)).length;
    })()""",
    "scripts": "document.scripts.length",
    "hacked": "window.hacked === undefined ? 'no' : 'yes'",
}


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with started(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def check(seen, charts):
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
    assert seen.answers == {
        "overflow": 0, "spilled": [], "holders": charts, "empty": 0, "scripts": 3, "hacked": "no",
    }  # fmt: skip


@pytest.mark.parametrize("width", [1280, 390])
def test_a_binary_run_reads_well(fake_run, port, width):
    path = page.write_report(fake_run())
    check(visit(port, path, QUESTIONS, width=width, dark=width == 390), charts=4)


@pytest.mark.parametrize(("task", "charts"), [("multiclass", 4), ("regression", 3)])
def test_other_tasks_read_well_on_a_phone(fake_run, port, task, charts):
    classes = tuple(f"a rather long class name {i}" for i in range(23))
    path = page.write_report(fake_run(task, classes if charts == 4 else ()))
    check(visit(port, path, QUESTIONS, width=390), charts)


def test_hostile_names_run_nothing_and_break_nothing(fake_run, port):
    path = page.write_report(hostile(fake_run))
    check(visit(port, path, QUESTIONS, width=390), charts=4)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_gpus_time_line_reads_well(fake_run, port, width):
    run = fake_run()
    (run / "gpu.json").write_text(json.dumps(timeline(4)))
    check(visit(port, page.write_report(run), QUESTIONS, width=width), charts=9)
