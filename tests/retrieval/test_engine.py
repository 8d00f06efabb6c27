"""Engines as values: text and knobs go there and back, and what cannot be one is refused in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrl.errors import InputError
from mrl.retrieval.engine import CODES, HNSW, IVF, RaBitQ, Scan, engine_text, of_build, parse_engine

COUNTS = st.integers(1, 10**17)
ENGINES = st.one_of(
    st.just(Scan()),
    st.just(RaBitQ()),
    st.builds(HNSW, COUNTS.filter(lambda m: m >= 2), COUNTS, COUNTS, st.sampled_from(CODES[:-1])),
    st.builds(IVF, COUNTS, COUNTS, st.sampled_from(CODES)),
)


@given(ENGINES, st.booleans())
def test_text_goes_there_and_back(engine, whole):
    assert parse_engine(engine_text(engine, whole=whole)) == engine


@given(ENGINES)
def test_build_knobs_alone_tell_files_apart(engine):
    built = of_build(engine)
    assert of_build(built) == built
    assert type(built) is type(engine)
    names = {HNSW: ("m", "ef_construction", "codes"), IVF: ("lists", "codes")}.get(type(engine), ())
    assert all(getattr(built, name) == getattr(engine, name) for name in names)
    assert getattr(built, "ef", 64) == 64
    assert getattr(built, "probes", 8) == 8


def test_the_whole_text_names_every_knob():
    assert engine_text(HNSW(), whole=True) == "hnsw+codes=float16+ef=64+ef_construction=200+m=32"
    assert engine_text(IVF(), whole=True) == "ivf+codes=float16+lists=256+probes=8"
    assert [engine_text(each, whole=True) for each in (RaBitQ(), Scan())] == ["rabitq", ""]


def test_integers_of_numpy_are_integers():
    engine = HNSW(np.int64(16), ef=np.uint8(7))
    assert (engine, type(engine.m), type(engine.ef)) == (HNSW(16, ef=7), int, int)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("annoy", "unknown engine 'annoy' in 'annoy'; known are hnsw, ivf, rabitq"),
        ("annoy+m=3", r"unknown engine 'annoy' in 'annoy\+m=3'; known are"),
        ("hnsw+n=3", r"cannot read the knob 'n=3' in 'hnsw\+n=3'; write name=value, its knobs are m, ef_construction"),
        ("hnsw+", r"cannot read the knob '' in 'hnsw\+'; write name=value"),
        ("hnsw+m", "cannot read the knob 'm' in"),
        ("hnsw+m=", "cannot read the knob 'm=' in"),
        ("hnsw+m=1234567890123456789", "cannot read the knob 'm=1234567890123456789' in"),
        ("rabitq+m=3", r"cannot read the knob 'm=3' in 'rabitq\+m=3'; write name=value, it has none"),
        ("hnsw+ef=8+ef=9", r"the knob ef stands twice in 'hnsw\+ef=8\+ef=9'; give it once"),
        ("hnsw+m=1", "m of an HNSW must be an integer of at least 2, got 1"),
        ("hnsw+ef=many", "ef of an HNSW must be an integer of at least 1, got 'many'"),
        ("ivf+probes=0", "probes of an IVF must be an integer of at least 1, got 0"),
        ("hnsw+codes=1bit", "codes of an HNSW are float32, float16, int8, got '1bit'"),
        ("ivf+codes=8", "codes of an IVF are float32, float16, int8, 1bit, got 8"),
    ],
)
def test_what_is_no_engine_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        parse_engine(text)


@pytest.mark.parametrize(
    "make", [lambda: HNSW(True), lambda: HNSW(16.0), lambda: IVF(lists=-1), lambda: IVF(probes=None)]
)
def test_knobs_are_integers(make):
    with pytest.raises(InputError, match="must be an integer of at least"):
        make()
