"""An inspection's report: one page that loads nothing, whose figures agree in their colours."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.advise.inspect import inspect
from mrl.advise.look import Look
from mrl.errors import ExistsError
from mrl.evaluation import read_rows
from mrl.report.inspection import figures_of, short, shown
from mrl.report.inspection_writer import energy_figure, write_inspection
from mrl.report.look import colour, look
from mrl.report.series import Curve, encoded_of, series
from mrl.vectors import Held

WIDTH = 32


@pytest.fixture(scope="module")
def found():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, 500)
    vectors = np.random.default_rng(1).normal(size=(4, WIDTH))[labels] + draws.normal(size=(500, WIDTH))
    vectors[7] = np.nan
    every = Held.of(vectors.astype(np.float32), Card("a <b> & c", WIDTH, Nesting((WIDTH,))), labels, "rows")
    return inspect(every, look=Look())


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory):
    written = write_inspection(tmp_path_factory.mktemp("report") / "out", found)
    assert written[-1].name == "report.html"
    assert all(path.stat().st_size for path in written)
    return written[-1].parent


class Balanced(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_says_what_was_found_and_loads_nothing(found, folder):
    text = (folder / "report.html").read_text()
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert "a &lt;b&gt; &amp; c: 500 vectors of 32 dims, float32. 99 queries asked." in text
    assert "<b> & c" not in text
    assert not re.search(r'(src|href)="(?!#)', text)
    assert text.count("<figure>") == 4
    assert text.count("<li>") == len(found.findings) + len(found.notes)
    for tile in ("Vectors", "Length", "Trained to nest?", "Intrinsic dimension", "Mean cosine of two rows", "Hubs"):
        assert f"<h3>{tile}</h3>" in text
    assert "NaN or Inf: 1 (row 7)" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_rows_and_facts_are_beside_it(found, folder):
    assert tuple(read_rows(folder / "rows.jsonl")) == found.rows
    facts = json.loads((folder / "facts.json").read_text())
    assert set(facts) == {"model", "facts", "contrasts", "notes", "findings"}
    names = {path.name for path in folder.iterdir()}
    for figure in ("1-nn-by-dim", "recall-10-by-dim", "1-nn-by-bytes", "energy-by-dim"):
        assert {f"{figure}.svg", f"{figure}.png"} <= names


def test_nothing_is_overwritten(found, folder):
    with pytest.raises(ExistsError):
        write_inspection(folder, found)


def test_vectors_of_which_nothing_can_be_measured_have_a_page(tmp_path):
    rows = Held.of(np.full((3, 4), np.nan, np.float32), Card("bad", 4, Nesting((4,))))
    text = write_inspection(tmp_path / "out", inspect(rows))[-1].read_text()
    assert "Nothing can be measured." in text
    assert "<figure>" not in text


def test_against_dims_stand_floats_alone_against_bytes_everything(found):
    dims, _, bytes_ = figures_of(found)
    assert {row.run for row in shown(found.rows, dims)} == {"as they are", "PCA"}
    assert len({row.run for row in shown(found.rows, bytes_)}) == 10
    assert (dims.measure, bytes_.measure) == ("1-NN", "1-NN")
    whole, fewer = short(found)
    assert {row.run for row in fewer} == {
        f"{run}, {bits}" for run in ("as they are", "PCA") for bits in ("int8", "1bit")
    }
    assert {row.measure for row in whole} == {"1-NN", "recall@10"}


def test_encodings_of_a_run_share_its_colour_and_differ_in_their_lines(found):
    names = series(found.rows)
    assert len({colour(names, name) for name in names}) == 2
    for base in ("as they are", "PCA"):
        own = [name for name in names if encoded_of(names, name) == base]
        assert len({colour(names, name) for name in own}) == 1
        lines = [str(look(names, Curve(name, "1-NN", "neighbours", ()))["linestyle"]) for name in own]
        assert len(set(lines)) == len(own) == 5
    assert encoded_of(["a, int8"], "a, int8") == "a, int8"  # of nothing that is there
    assert encoded_of(["a", "a, b"], "a, b") == "a, b"


def test_energy_is_drawn_as_it_is(found):
    energy = found.facts.energy
    plain, pca = energy_figure(energy).axes[0].lines
    np.testing.assert_allclose(plain.get_ydata(), np.array(energy.plain) * 100)
    np.testing.assert_allclose(pca.get_ydata(), np.array(energy.pca) * 100)
    assert list(plain.get_xdata()) == list(energy.cuts)
