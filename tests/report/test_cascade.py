"""A cascade's page: one file that loads nothing, with its figures, every level, and the groups at both ends."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from classify.made import separate, table, tied
from mrl.classify import Cascade
from mrl.classify.measured import measure
from mrl.errors import ExistsError
from mrl.promise import Estimate, Parts, Promise
from mrl.report.cascade import cascade_page, figures_of, headline
from mrl.report.cascade_figures import bars_of, calibration, ends, stops, tradeoff
from mrl.report.cascade_table import MOST, confusion_table, groups_table, levels_table
from mrl.report.cascade_writer import write_cascade
from mrl.report.figures import svg

PROMISE = Promise(
    "the cascade", "accuracy", 0.01, 0.95, Estimate(0, 0, 0), Parts(9, 9, 9), "a <b> & c", 1000, "x", 0.1, 0.0
)
KINDS = ["plant", "animal", "<thing>", "thing", "plant"] * 2


def made(head=None, **about):
    given = separate() if head is None else head
    path = [{"thresholds": [limit] * 3} for limit in (0.3, 0.5, 0.7, 0.9, None)]
    record = {"path": path, "greedy": {"thresholds": [0.5] * 3, "temperatures": [1.0] * 4}}
    usual = {"thresholds": (0.6, 0.7, 0.8), "promise": PROMISE, "record": record}
    return Cascade(given, table(1).card, given.nesting, **{**usual, **about})


@pytest.fixture(scope="module")
def asked():
    return table(1200, seed=3)


@pytest.fixture(scope="module")
def found(asked):
    camera = np.where(np.arange(1200) % 3, "left & right", "_up")
    return measure(made(), asked, {"camera": camera}, KINDS)


@pytest.fixture(scope="module")
def drawings(found):
    return {name: svg(each) for name, each in figures_of(found).items()}


@pytest.fixture(scope="module")
def plain(asked):
    """Nothing promised, no slices, no superclasses, no path, one classifier for all levels."""
    cascade = made(tied(), promise=None, record={})
    return cascade, measure(cascade, asked)


class Reader(HTMLParser):
    """The texts of a page; every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.texts = []

    def handle_starttag(self, name, attributes):
        if name != "meta":
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        pass

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)


def text_of(markup):
    reader = Reader()
    reader.feed(markup)
    assert not reader.open
    return " ".join(" ".join(reader.texts).replace("\u00a0", " ").replace("\u2011", "-").split())


def labels_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_page_says_what_was_measured(found, drawings):
    page = cascade_page(found, made(), drawings, where="my cascade")
    text = text_of(page)
    assert headline(found).replace("\u00a0", " ") in text
    assert PROMISE.sentence in text
    assert f"{found.cost.last:.1f} of 32" in text
    assert f"All dims multiplied: {found.cost.read:.1f}" in text
    assert f"{100 * found.oracle.accuracy:.1f} %" in text
    assert "mrl recheck 'my cascade' NEW_ROWS" in text
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<thing>" in text
    assert "<thing>" not in page


def test_the_headline():
    cascade, rows = made(), table(1200, seed=3)
    found = measure(cascade, rows)
    assert "less often than at full width" in headline(found)
    assert "fewer dims" in headline(found)
    never = measure(cascade.with_thresholds((np.inf,) * 3), rows)
    assert headline(never).endswith("exactly as often as at full width.")
    ahead = replace(found, lost=Estimate(-0.0125, -0.02, 0.0))
    assert "1.25 points more often than at full width" in headline(ahead)


def test_a_page_without_promise_slices_and_superclasses(plain):
    cascade, found = plain
    drawings = {name: svg(each) for name, each in figures_of(found).items()}
    text = text_of(cascade_page(found, cascade, drawings))
    assert "What is promised Nothing." in text
    assert "Superclasses" not in text
    assert "one classifier for all levels" in text
    assert "nothing is lost" in text_of(cascade_page(found, replace(cascade, rule="lossless"), drawings))


def test_notes_are_told(asked, drawings):
    odd = replace(asked, labels=np.where(asked.labels == 3, 50, asked.labels))
    found = measure(made(), odd)
    assert f"{found.notes[0]}." in text_of(cascade_page(found, made(), drawings))


def test_accuracy_against_dims(found, plain):
    fixed = [replace(row, run=f"FF-{row.dim}") for row in found.rows() if row.measure == "top-1"]
    drawn = tradeoff(found, fixed)
    assert labels_of(drawn) == [
        f"full width, {100 * found.full.mean:.1f} %",
        "oracle, level by level",
        "one level for all rows",
        "FF",
        f"cascade, {found.cost.last:.1f} dims",
        f"all its dims, {found.cost.read:.1f}",
        "greedy thresholds",
    ]
    lines = {line.get_label(): line.get_xydata() for line in drawn.axes[0].get_lines()}
    assert lines["one level for all rows"].tolist() == [[at.dim, 100 * at.accuracy.mean] for at in found.levels]
    assert lines["FF"].tolist() == lines["one level for all rows"].tolist()
    path = next(xy for xy in lines.values() if len(xy) == len(found.path))
    assert path.tolist() == [[point.last, 100 * point.accuracy] for point in sorted(found.path)]
    assert "greedy thresholds" not in labels_of(tradeoff(plain[1]))
    assert not any(label.startswith("all its dims") for label in labels_of(tradeoff(plain[1])))


def test_reliability_of_each_level(found):
    drawn = calibration(found)
    shown = [axes for axes in drawn.axes if axes.axison]
    assert len(shown) == len(found.levels)
    for axes, level in zip(shown, found.levels, strict=True):
        dots = axes.get_lines()[1].get_xydata()
        assert dots == pytest.approx(100 * np.array([each[:2] for each in level.reliability.bins]))
        assert axes.get_title(loc="left") == f"{level.dim} dims: {100 * level.reliability.error:.1f} % off"


def test_where_rows_stop(found):
    bars = list(bars_of(found))
    assert [bar.name for bar in bars[:3]] in (
        ["all rows", "left & right", "\u200b_up"],
        ["all rows", "\u200b_up", "left & right"],
    )
    assert [sum(bar.stopped) for bar in bars] == pytest.approx([1] * len(bars))
    order = found.classes.order().tolist()
    assert ends(found.classes) == [*order[:3], *order[-3:]]
    assert labels_of(stops(found)) == ["4", "8", "16", "32"]


def test_classes_of_few_rows_are_not_named(asked):
    rows = asked.only(np.concatenate([np.flatnonzero(asked.labels == 0)[:1], np.flatnonzero(asked.labels > 7)]))
    found = measure(made(), rows)
    assert [found.classes.names[each] for each in sorted(ends(found.classes))] == ["8", "9"]
    alone = measure(made(), asked.only(np.array([0])))
    assert ends(alone.classes) == []
    assert len(list(bars_of(alone))) == 1
    assert "all rows" not in text_of(groups_table(alone))


def test_tables(found):
    levels = text_of(levels_table(found))
    for level in found.levels:
        assert f"{100 * level.accuracy.low:.1f}\u2013{100 * level.accuracy.high:.1f}" in levels
    groups = text_of(groups_table(found))
    assert "left & right" in groups
    assert "classes: 6 of 10, those that stop earliest and latest" in groups
    kinds = found.superclasses
    share = 100 * kinds.answers[0, 0] / kinds.answers[0].sum()
    assert f"{share:.1f}" in text_of(confusion_table(kinds))


def test_only_the_largest_superclasses_are_in_the_table():
    names = tuple(f"kind {number}." for number in range(20))
    some = measure(made(tied(classes=20)), table(800, classes=20), superclasses=names).superclasses
    shown = text_of(confusion_table(some))
    assert sum(name in shown for name in names) == MOST


def test_one_level(asked):
    cascade = Cascade(separate(), asked.card, separate().nesting.__class__((32,)))
    found = measure(cascade, asked)
    drawings = {name: svg(each) for name, each in figures_of(found).items()}
    assert "exactly as often as at full width." in text_of(cascade_page(found, cascade, drawings))


def test_writing(found, tmp_path):
    assert write_cascade(found, made(), tmp_path / "page.html") == [tmp_path / "page.html"]
    with pytest.raises(ExistsError):
        write_cascade(found, made(), tmp_path / "page.html")
    written = write_cascade(found, made(), tmp_path / "folder")
    assert [path.name for path in written] == [
        "measured.json",
        *(
            f"{name}.{kind}"
            for kind in ("svg", "png")
            for name in ("accuracy-by-dims", "reliability", "stops-by-level")
        ),
        "report.html",
    ]
    assert written[-1].read_bytes() == (tmp_path / "page.html").read_bytes()
    assert json.loads(written[0].read_text())["count"] == 1200
