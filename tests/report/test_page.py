import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mrl.report.figures import figures, svg
from mrl.report.grid import TO, count
from mrl.report.page import page
from mrl.report.series import best, series_of

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Document(HTMLParser):
    """The page as a browser would take it: every start and end tag, attributes, and the text of each cell."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.text, self.lines, self.styles = [], [], "", [], ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            self.styles += data
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.lines[-1][-1] += f"{data} "


def _page(rows, heading="A title"):
    return page(rows, heading, {plot: svg(drawn) for plot, drawn in figures(rows).items()})


@pytest.fixture(scope="module")
def source(rows):
    return _page(rows)


@pytest.fixture(scope="module")
def document(source):
    return Document(source)


def test_tags_are_balanced(document):
    assert document.open == []
    assert {tag for tag, _ in document.tags} >= {"html", "head", "title", "main", "h1", "figure", "svg", "table"}


def test_nothing_is_loaded(document):
    assert not {tag for tag, _ in document.tags} & {"script", "link", "img", "iframe", "object", "image", "a", "base"}
    addresses = {(name, value) for _, attrs in document.tags for name, value in attrs.items() if "://" in (value or "")}
    assert {name for name, _ in addresses} <= {"xmlns", "xmlns:xlink"}
    assert {value for _, attrs in document.tags for name, value in attrs.items() if name.endswith("href")}
    assert all(
        value.startswith("#") for _, attrs in document.tags for name, value in attrs.items() if name.endswith("href")
    )
    assert "url(" not in document.styles
    assert "@import" not in document.styles


def test_ids_are_unique_and_every_reference_has_its_target(source, document):
    ids = [attrs["id"] for _, attrs in document.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', source))
    assert {a or b for a, b in used} <= set(ids)


def test_every_row_is_in_the_table(rows, document):
    head = [cell.strip() for cell in document.lines[0]]
    cells, dim = {}, None
    for line in document.lines[1:]:
        if len(line) == len(head):
            dim, *line = line
        for name, cell in zip(head[2:], line[1:], strict=True):
            cells[line[0].split()[0], int(dim), name] = cell.split()
    for row in rows:
        cell = cells[series_of(row), row.dim, row.measure]
        assert cell[:2] == [f"{row.value * 100:.1f}", f"{row.low * 100:.1f}{TO}{row.high * 100:.1f}"]
        assert cell[2:] == ["probe"] * (row.method == "probe")
        assert cells[series_of(row), row.dim, "bytes per vector"] == [f"{row.bytes}"]
    assert cells["MRL", 64, "multiply-adds per query, linear"] == ["640"]
    assert cells["MRL", 64, "multiply-adds per query, neighbours"] == ["76.8", "k"]


def test_trained_and_read_dims_are_told_in_words_too(document):
    assert document.text.count(" only read, not trained") == 6
    assert document.text.count(" trained") >= 12


def test_the_best_values_are_bold(rows, source):
    bold = sorted(re.findall(r"<b>([\d.]+)</b>", source))
    assert bold == sorted(f"{row.value * 100:.1f}" for row in best(rows))


def test_headers_have_a_scope_and_figures_a_description(document):
    assert all(attrs.get("scope") in ("col", "row", "rowgroup") for tag, attrs in document.tags if tag == "th")
    drawings = [attrs for tag, attrs in document.tags if tag == "svg"]
    assert len(drawings) == 4
    assert all(attrs["role"] == "img" for attrs in drawings)
    assert drawings[1]["aria-label"].startswith(
        "Line chart: 1-NN accuracy against dims. MRL: 84.4 % at 8 dims, 93.9 % at 64 dims. MRL-E: "
    )
    assert "MRL (probe): 89.8 % at 12 dims" in drawings[0]["aria-label"]


def test_hostile_names_stay_text(rows):
    name = "</svg><script>alert('x')</script>\"'&amp;$x$"
    hostile = [replace(row, run=name if row.run == "MRL" else row.run, interval="<i>") for row in rows]
    hostile += [replace(row, measure='<u>"&', method="<s>") for row in hostile if row.measure == "1-NN"]
    document = Document(_page(hostile, heading=name))
    assert document.open == []
    assert not {tag for tag, _ in document.tags} & {"script", "i", "u", "s"}
    assert name in document.text
    assert "<i>: " in document.text


def test_names_that_look_like_markup_of_a_figure_stay_as_they_are(ladder):
    name = 'id="#0072b2'
    assert Document(_page(ladder(0.5, 0.6, run=name))).text.count(name) >= 5


def test_the_headline_is_the_heading(document):
    assert (
        "MRL keeps at least 98\u00a0% of its 64\u2011dim top\u20111 accuracy, 1\u2011NN accuracy and mAP@10 at"
        in document.text
    )
    assert "this describes them, and promises nothing about others" in document.text


def test_only_words_that_occur_are_explained(rows, document):
    assert "the paper's form" in document.text
    assert "Wilson score: top-1, top-5, 1-NN, 10-NN. Bootstrap over queries or pairs: mAP@10, P@10." in document.text
    assert "arXiv 2205.13147" in document.text
    few = Document(_page([row for row in rows if row.measure == "1-NN" and row.run == "MRL" and row.trained])).text
    for absent in ("probe", "interpolated", "the paper's form", "Fixed-feature", "best mean"):
        assert absent not in few


def test_a_report_without_a_nested_run_has_no_cards(rows):
    fixed = _page([row for row in rows if row.run.startswith("FF")])
    assert 'class="tile"' not in fixed
    assert "FF reaches 94.1\u00a0% top\u20111 accuracy at 64 dims." in fixed


def test_the_page_is_the_same_every_time(rows, source):
    assert _page(rows) == source


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (640, "640"), (76_800, "76.8 k"), (2_624_000_000, "2.624 G"), (10**16, "1e+04 T")]
)
def test_operations_are_counted_in_four_figures(number, text):
    assert count(number) == text
