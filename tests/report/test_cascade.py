"""A cascade's page: one file that loads nothing, with its figures, every level, and the groups at both ends."""

import json
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from classify.made import separate, table, tied
from mrl.classify import Cascade, Prototypes
from mrl.classify.measured import measure
from mrl.classify.sentences import promised
from mrl.errors import ExistsError
from mrl.promise import Estimate, Parts, Promise
from mrl.report.cascade import cascade_page, figures_of, headline
from mrl.report.cascade_figures import bars_of, calibration, ends, oracle, stops, tradeoff
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
    assert promised(PROMISE) in text
    assert f"{found.cost.last:.1f} of 32" in text
    assert f"All dims multiplied: {found.cost.read:.1f}" in text
    assert f"{100 * found.oracle.accuracy:.1f} %" in text
    assert "mrl recheck 'my cascade' NEW_ROWS --labels NEW_LABELS" in text
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<thing>" in text
    assert "<thing>" not in page


def page_of(cascade, found, **about):
    return text_of(cascade_page(found, cascade, {name: svg(each) for name, each in figures_of(found).items()}, **about))


def test_commands_are_complete(asked, plain, tmp_path):
    cascade, found = plain
    text = page_of(cascade, found, where="c")
    assert "mrl classify predict c VECTORS From Python. from mrl.classify import Cascade" in text
    assert "mrl recheck" not in text  # nothing is promised
    mapped = replace(made(), card=replace(made().card, maps=("pca:123",)))
    text = page_of(mapped, found, where="c")
    assert "MAP is the folder of the map pca:123; a table that went through it needs no --map." in text
    assert "mrl classify predict c VECTORS --map MAP " in text
    assert "vectors = Map.load('MAP').apply(vectors)" in text
    assert text.endswith("mrl recheck c NEW_ROWS --labels NEW_LABELS --map MAP")
    assert page_of(mapped, found, where="c", by="my map").endswith("--labels NEW_LABELS --map 'my map'")


def test_the_commands_from_python_run(plain, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain[0].save("c")
    told = cascade_page(plain[1], plain[0], dict.fromkeys(figures_of(plain[1]), "<svg></svg>"), where="c")
    code = unescape(next(part for part in told.split("<code>") if "import Cascade" in part).split("</code>")[0])
    *lines, last = code.splitlines()
    names = {"vectors": asked.vectors}
    exec("\n".join(lines), names)
    assert eval(last, names).tolist() == plain[0].predict(asked.vectors).labels.tolist()


def test_a_loss_beyond_the_promise_is_said(found, drawings):
    cascade = made()
    for lost, why in (
        (
            Estimate(0.03, 0.02, 0.04),
            "3.00 points are lost here, more than the 1 promised and, with 95 % confidence, not",
        ),
        (Estimate(0.03, 0.001, 0.04), "3.00 points are lost here, more than the 1 promised; by chance that may be, as"),
    ):
        text = text_of(cascade_page(replace(found, lost=lost), cascade, drawings))
        assert why in text
        assert "mrl recheck tests it on new labelled rows." in text
    kept = replace(found, lost=Estimate(0.009, -0.1, 0.2))
    assert "points are lost here" not in text_of(cascade_page(kept, cascade, drawings))
    assert "points are lost here" not in text_of(cascade_page(found, made(promise=None), drawings))


def test_what_keep_means(asked):
    vectors, labels = asked.vectors[:300], asked.labels[:300]
    nearest = Prototypes(separate().nesting, vectors, labels, metric=asked.card.metric)
    rest = asked.only(np.arange(300, 1200))
    path = {"path": (), "greedy": {"thresholds": [0.5] * 3, "temperatures": [1.0] * 4}}
    for head, keep, kind, what in (
        (nearest, 20, "the class of the nearest of 300 prototypes (1-NN)", "prototypes"),
        (Prototypes.means(vectors, labels, nearest.nesting), 3, "the class of the nearest mean", "prototypes"),
        (separate(), 3, "a classifier for each level", "classes"),
    ):
        cascade = made(head, keep=keep, record=path)
        text = page_of(cascade, measure(cascade, rest))
        assert f", {kind}; rows stop by" in text
        assert f"Only the best {keep} {what} of the first level go on: the levels, the oracle and the vote" in text
        assert "The greedy thresholds are without that." in text
        one = {"prototypes": "prototype", "classes": "class"}[what]
        assert f"32 dims and every {one}, asked about every row; the last level has only those that are kept." in text
    for keep in (None, 10):
        cascade = made(keep=keep)
        text = page_of(cascade, measure(cascade, rest))
        assert "The last level, 32 dims, asked about every row." in text
        assert "of the first level go on" not in text


def test_the_oracle_is_that_of_the_paper_everywhere(found, drawings):
    """Rows that no level has right count at the full width: in the page's tile, in the figure, and in what is said."""
    text = text_of(cascade_page(found, made(), drawings))
    assert f"If the narrowest right level were known, at {found.oracle.last:.1f} dims." in text
    end = oracle(found)[-1]
    assert (end.last, end.accuracy) == pytest.approx((found.oracle.last, found.oracle.accuracy))
    assert [point.last <= level.dim for point, level in zip(oracle(found), found.levels, strict=True)] == [True] * 4
    assert oracle(found)[0] == (found.levels[0].dim,) * 2 + (pytest.approx(found.oracle.first[0]),)


def test_more_dims_than_the_full_width_are_said_to_be(asked):
    cascade = made(thresholds=(1.1, 1.1, 1.1))
    found = measure(cascade, asked)
    assert found.cost.read_share > 1
    assert "; the full width alone would cost less." in page_of(cascade, found)
    assert "cost less" not in page_of(made(), measure(made(), asked))


def test_one_is_not_several(asked):
    found = measure(made(), asked.only(np.array([0])))
    text = page_of(made(), found)
    assert ": 1 row, 10 classes. Levels 4, 8, 16, 32, a classifier for each level" in text
    assert "\u2264 1 point With 95 % confidence" in text


def test_titles_of_levels_do_not_touch_dots(found):
    drawn = calibration(found)
    drawn.canvas.draw()
    for axes in drawn.axes:
        if axes.axison:
            (_, top), radius = axes.transData.transform((100, 100)), 3.4 * drawn.dpi / 72
            titles = [axes.title, axes._left_title]
            lowest = min(title.get_window_extent().y0 for title in titles if title.get_text())
            assert top + radius < lowest


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
