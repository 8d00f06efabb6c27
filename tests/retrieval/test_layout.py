import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrl import Nesting
from mrl.errors import InputError, NestingError
from mrl.retrieval import Layout
from mrl.retrieval.encodings import BITS, ENCODINGS, OF_RECORD
from retrieval import made


@st.composite
def layouts(draw):
    cuts = Nesting(tuple(sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=4)))))
    reference = tuple(draw(st.sampled_from(OF_RECORD)) for _ in cuts.dims)
    beside = tuple(
        tuple(draw(st.sets(st.sampled_from([name for name in ENCODINGS if BITS[name] < BITS[record]]))))
        for record in reference
    )
    return Layout(cuts, reference, beside)


@given(layouts())
def test_layouts_survive_their_json(layout):
    assert Layout.from_json(layout.to_json()) == layout


@given(layouts(), st.sampled_from(ENCODINGS))
def test_a_segment_is_read_as_asked_or_as_its_coarser_reference_or_not_at_all(layout, encoding):
    for level, dim in enumerate(layout.cuts.dims):
        assert layout.reading(dim, "reference") == layout.reference[: level + 1]
        there = [encoding in layout.encodings(i) for i in range(level + 1)]
        coarser = [BITS[layout.reference[i]] < BITS[encoding] for i in range(level + 1)]
        if all(a or b for a, b in zip(there, coarser, strict=True)):
            expected = [encoding if a else layout.reference[i] for i, a in enumerate(there)]
            assert layout.reading(dim, encoding) == tuple(expected)
        else:
            with pytest.raises(InputError, match=f"not as {encoding}; use one of these"):
                layout.reading(dim, encoding)


@given(layouts())
def test_bytes_per_row_are_counted_by_hand(layout):
    by_hand = 0
    for level, (start, stop) in enumerate(layout.cuts.segments):
        for name in layout.encodings(level):
            by_hand += -(-(stop - start) * BITS[name] // 8)
    assert layout.bytes_per_row() == by_hand


def test_coarser_copies_are_kept_up_to_their_cut():
    layout = Layout.of(Nesting((8, 16, 32)), "float32", {"int8": 16, "1bit": 32})
    assert layout.beside == (("int8", "1bit"), ("int8", "1bit"), ("1bit",))
    assert layout.encodings(1) == ("float32", "int8", "1bit")
    assert layout.segment(2) == "16-32"
    assert layout.level(32) == 2


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: made.layout((8, 16), "int8"),
         "the reference encoding of a segment is float16 or float32, got 'int8'; coarser ones lie beside it"),
        (lambda: made.layout((8, 16), "float16", {"float32": 8}),
         "segment 0-8 is stored as float16; float32 beside it adds nothing: name a coarser encoding"),
        (lambda: made.layout((8, 16), "float16", {"float16": 8}), "float16 beside it adds nothing"),
        (lambda: made.layout((8, 16), beside={"int4": 8}),
         "unknown encoding 'int4'; known are 1bit, int8, int12, float16, float32"),
        (lambda: made.layout((8, 16)).reading(8, "int8"),
         "segment 0-8 of this index is stored as float32, not as int8; use one of these, or make a copy that has it: "
         "mrl index relayout INDEX --out NEW --beside int8"),
        (lambda: made.layout((8, 16), beside={"int8": 8}).reading(16, "int8"),
         "segment 8-16 of this index is stored as float32"),
        (lambda: made.layout((8, 16)).reading(8, "int4"), "unknown encoding 'int4'"),
    ],
)  # fmt: skip
def test_encodings_that_cannot_be_are_refused(make, text):
    with pytest.raises(InputError, match=re.escape(text)):
        make()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: made.layout((8, 16), beside={"int8": 12}), "int8 up to 12 dims needs a cut there; the cuts are 8,16"),
        (lambda: made.layout((8, 16)).level(12),
         "this index is cut at 8,16, not at 12; search at one of these dims, or make a copy that has the cut: "
         "mrl index relayout INDEX --out NEW --cuts 8,12,16"),
        (lambda: made.layout((8, 16)).reading(4, "reference"), "mrl index relayout INDEX --out NEW --cuts 4,8,16"),
    ],
)  # fmt: skip
def test_cuts_that_are_not_there_are_refused(make, text):
    with pytest.raises(NestingError, match=re.escape(text)):
        make()


def test_a_dim_beyond_the_width_has_no_copy_to_offer():
    with pytest.raises(
        NestingError, match=re.escape("this index is cut at 8,16, not at 32; search at one of these dims")
    ) as refused:
        made.layout((8, 16)).level(32)
    assert "relayout" not in str(refused.value)
