"""What is chosen, what is said of it, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.advise import Bill, Choice, Terms, choose, held_out, yardstick
from mrl.advise.candidates import Candidate, Measured
from mrl.advise.selection import About, selected
from mrl.errors import CardError, DamagedError, ExistsError, InputError, NestingError
from mrl.promise import gap, gap_bound, p_value, split
from mrl.vectors import Held

CARD = Card("toy", 64, Nesting((8, 16, 32, 64)))
ABOUT = About("rows", "00", 1000, "1-NN", CARD, CARD)
LADDER = tuple(Candidate(dim, name) for name in ("float32", "int8") for dim in CARD.nesting.dims)


def pool(gaps, n=2000, seed=0):
    """Yes-or-no answers: right at the full width for four of five, and wrong at a candidate for `gap` more."""
    draws = np.random.default_rng(seed).random(n)
    return Measured((draws < 0.8) * 1.0, LADDER, np.stack([(draws < 0.8 - gap) * 1.0 for gap in gaps]))


def fading(rows, seed=0, width=64):
    """Vectors of a few classes whose later dims say less and less."""
    draws = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(5, width))
    labels = draws.integers(0, 5, rows)
    vectors = (centres[labels] + draws.normal(size=(rows, width))) / np.arange(1, width + 1)
    return Held.of(vectors.astype(np.float32), CARD, labels, f"rows{seed}")


@pytest.fixture(scope="module")
def two():
    return fading(1200), fading(900, 1)


def verdicts(choice):
    return {each.name: each.verdict for each in choice.findings}


def test_the_smallest_that_keeps_the_tolerance_is_chosen():
    found = selected(pool([0.3, 0.1, 0.02, 0, 0.3, 0.12, 0.004, 0]), ABOUT, Terms(tolerance=0.03))
    assert verdicts(found) == {
        "64 × float32": "no smaller",
        "32 × float32": "outdone",
        "16 × float32": "too far",
        "8 × float32": "too far",
        "64 × int8": "promised",
        "32 × int8": "chosen",
        "16 × int8": "too far",
        "8 × int8": "too far",
    }
    assert found.chosen.name == "32 × int8"
    assert found.queries == (400, 1200, 400)
    assert found.untold is None
    assert [each.bytes for each in found.findings] == [256, 128, 64, 64, 32, 32, 16, 8]


def test_the_figures_come_from_the_report_part_and_the_p_value_from_the_calibrate_part():
    seen, terms = pool([0.3, 0.1, 0.02, 0, 0.3, 0.12, 0.004, 0]), Terms(tolerance=0.03, seed=4)
    found = selected(seen, ABOUT, terms)
    _, calibrate, report = split(2000, 4, (0.2, 0.6, 0.2))
    for each in found.findings:
        c = LADDER.index(Candidate(each.dim, each.encoding))
        assert each.value == pytest.approx(seen.values[c, report].mean())
        assert each.gap == pytest.approx((seen.full - seen.values[c])[report].mean())
        assert each.low <= each.gap <= each.high
        if each.verdict in ("chosen", "promised"):
            losses = gap(seen.full[calibrate], seen.values[c][calibrate])
            assert each.p == p_value(losses, gap_bound(0.03), 1 - terms.confidence) <= 0.05
    assert found.full == pytest.approx(seen.full[report].mean())
    assert found.promise.lost.mean == pytest.approx(found.chosen.gap)
    assert found.promise.subject == "32 dims in int8"
    assert (found.promise.data, found.promise.rows, found.promise.digest) == ("rows", 1000, "00")


def test_where_nothing_keeps_it_the_full_width_stays():
    found = selected(pool([0.3, 0.2, 0.1, 0.1, 0.3, 0.2, 0.1, 0.1]), ABOUT, Terms())
    assert found.chosen is None
    assert found.promise is None
    assert str(found).startswith("stay at 64 × float32, 256 bytes a vector. 1-NN is 0.")
    assert "of nothing smaller can that be promised with 95 % confidence" in str(found)


def test_what_cannot_be_told_is_said_with_how_many_queries_would_do():
    found = selected(pool([0.3, 0.1, 0.05, 0, 0.3, 0.1, 0.006, 0], n=1000), ABOUT, Terms(tolerance=0.01))
    assert found.chosen.name == "64 × int8"
    assert verdicts(found)["32 × int8"] == "not shown"
    step = "not enough data to tell 32 × int8 from 64 × int8: 1,000 queries, about"
    assert f"{step} {found.untold.needed:,} would do" in str(found)
    assert found.untold.needed >= 1250
    # so many do
    more = selected(pool([0.3, 0.1, 0.05, 0, 0.3, 0.1, 0.006, 0], n=4 * found.untold.needed), ABOUT, Terms())
    assert more.chosen.name == "32 × int8"


def test_even_what_loses_nothing_needs_queries():
    found = selected(pool([0.0] * 8, n=200), ABOUT, Terms(tolerance=0.01))
    assert found.chosen is None
    assert found.untold.larger == "64 × float32"
    enough = selected(pool([0.0] * 8, n=found.untold.needed), ABOUT, Terms(tolerance=0.01))
    assert enough.chosen.name == "8 × int8"


def test_a_candidate_measured_beyond_the_tolerance_has_no_number_that_would_do():
    one = np.where(np.arange(1024) % 64, 1.0, 0.0)  # a gap of 1/64, in every part about so much
    found = selected(Measured(np.ones(1024), (Candidate(32, "int8"),), one[None]), ABOUT, Terms(tolerance=0.01))
    assert verdicts(found) == {"32 × int8": "not shown"}
    assert found.untold.needed is None
    assert str(found).splitlines()[1] == (
        "not enough data to tell 32 × int8 from 64 × float32: 1,024 queries, and its gap is too near the tolerance to "
        "say how many would do"
    )


def test_a_choice_says_what_it_costs_and_comes_back_from_its_file(tmp_path):
    found = selected(pool([0.3, 0.1, 0.05, 0, 0.3, 0.1, 0.006, 0]), ABOUT, Terms(tolerance=0.03))
    found = replace(found, bill=Bill(10**6, price=0.5), notes=("float16 is left out",))
    assert Choice.from_json(json.loads(json.dumps(found.to_json()))) == found
    found.save(tmp_path / "choice.json")
    assert Choice.load(tmp_path / "choice.json") == found
    assert found.to_json()["costs"]["chosen"]["bytes"] == 32 * 10**6
    lines = str(found).splitlines()
    assert lines[0].startswith("take 32 × int8, 32 bytes a vector. 1-NN is 0.")
    assert found.promise.sentence in lines[0]
    assert lines[1] == "float16 is left out"
    assert lines[-1] == "a month at 0.5 per GB: 0.02, not 0.13"
    with pytest.raises(ExistsError, match="already exists"):
        found.save(tmp_path / "choice.json")
    text = (tmp_path / "choice.json").read_text().replace('"chosen"', '"broken"', 1)
    (tmp_path / "choice.json").write_text(text)
    with pytest.raises(DamagedError, match=r"choice\.json"):
        Choice.load(tmp_path / "choice.json")
    with pytest.raises(InputError, match="cannot read a choice: 'queries'; give a file that `mrl choose --out` wrote"):
        Choice.from_json({})


# ------------------------------------------------------------------------------------------- from vectors


def test_vectors_are_measured_coded_and_chosen(two):
    rows, queries = two
    terms = Terms(tolerance=0.05)
    found = choose(rows, queries, yardstick(rows, queries, "1-NN"), terms)
    assert {each.dim for each in found.findings} == {8, 12, 16, 24, 32, 48, 64}
    assert {each.encoding for each in found.findings} == {"float32", "float16", "int12", "int8", "1bit"}
    assert not next(each for each in found.findings if each.dim == 12).trained
    assert found.chosen.bytes <= 16
    assert (found.measure, found.metric, found.width, found.rows) == ("1-NN", "cosine", 64, 1200)
    assert choose(rows, queries, yardstick(rows, queries, "1-NN"), terms) == found
    assert len(found.promise.digest) == 64
    for each in found.findings[:1]:
        assert (each.name, each.gap, each.verdict) == ("64 × float32", 0, "no smaller")


def test_neighbours_of_rows_held_out(two):
    rows, queries = held_out(two[0])
    found = choose(rows, queries, yardstick(rows, queries, "recall@10"), Terms(0.05, dims=Nesting((32, 64))))
    assert found.full == 1
    assert found.chosen.dim == 64
    assert sum(found.queries) == 240


def test_what_a_map_makes_is_stored_and_the_truth_stays_the_raw_full_width(two):
    rows, queries = two
    order = np.arange(64)[::-1]  # a map that puts what says least first
    turned = tuple(each.turned(each.vectors[:, order].copy(), replace(CARD, maps=("turn",))) for each in two)
    terms = Terms(0.05, dims=Nesting((8, 64)), encodings=("float32", "int8"))
    found = choose(rows, queries, yardstick(rows, queries, "recall@5"), terms, turned)
    assert found.full == 1
    assert verdicts(found)["8 × int8"] == "too far"
    assert found.chosen.name == "64 × int8"
    assert found.maps == ("turn",)
    assert found.promise.subject == "64 dims in int8 after turn"
    with pytest.raises(CardError, match="maps is"):
        choose(rows, queries, yardstick(rows, queries, "1-NN"), terms, (turned[0], queries))


def test_plain_vectors_get_a_ladder(two):
    plain = Card("plain", 64, Nesting((64,)))
    nested = replace(plain, nesting=Nesting((16, 64)))
    assert Terms().cuts(plain) == Nesting((8, 12, 16, 24, 32, 48, 64))
    assert Terms().cuts(Card("thin", 3, Nesting((3,)))) == Nesting((3,))
    assert Terms().cuts(nested) == Nesting((16, 40, 64))
    assert Terms(dims=Nesting((5,))).cuts(nested) == Nesting((5,))


def test_dims_that_a_map_was_not_fitted_for_are_refused():
    mapped = Card("mapped", 64, Nesting((16, 64)), maps=("linear:ab",))
    assert Terms(dims=Nesting((16, 30))).cuts(mapped) == Nesting((16, 30))
    assert Terms().cuts(replace(mapped, nesting=Nesting((64,)))) == Nesting((64,))
    with pytest.raises(NestingError, match="dim 4 cannot be read: this embedding was trained at 16,64"):
        Terms(dims=Nesting((4, 64))).cuts(mapped)


def test_what_float16_cannot_hold_is_left_out_and_noted(two):
    rows, queries = (each.turned(each.vectors * 1e6, CARD) for each in two)
    terms = Terms(dims=Nesting((64,)), encodings=("float16", "int8"))
    found = choose(rows, queries, yardstick(rows, queries, "1-NN"), terms)
    assert [each.name for each in found.findings] == ["64 × int8"]
    assert found.notes[0].startswith("float16 is left out: float16 holds numbers up to 65504")
    with pytest.raises(InputError, match="no encoding is left to choose from: float16 is left out"):
        choose(rows, queries, yardstick(rows, queries, "1-NN"), Terms(encodings=("float16",)))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"tolerance": 0.0}, r"tolerance must be > 0 and < 1, got 0\.0"),
        ({"tolerance": 1.0}, r"tolerance must be > 0 and < 1, got 1\.0"),
        ({"tolerance": float("nan")}, "tolerance must be > 0 and < 1, got nan"),
        ({"confidence": 1.0}, r"confidence must be ≥ 0\.5 and < 1, got 1\.0"),
        ({"confidence": 0.05}, r"confidence must be ≥ 0\.5 and < 1, got 0\.05"),
        ({"encodings": ("int4",)}, "unknown encoding 'int4'; known are 1bit, int8, int12, float16, float32"),
        ({"seed": -1}, "seed must be an integer ≥ 0, got -1"),
        ({"seed": 1.5}, r"seed must be an integer ≥ 0, got 1\.5"),
        ({"encodings": ()}, "there is no encoding to choose from; give at least one"),
    ],
)
def test_terms_that_cannot_be(values, text):
    with pytest.raises(InputError, match=text):
        Terms(**values)


def test_what_cannot_be_chosen_from_is_named(two):
    rows, queries = two
    stick = yardstick(rows, queries, "1-NN")
    with pytest.raises(NestingError, match="dims 8,128 need vectors of at least 128 dims, got 64"):
        choose(rows, queries, stick, Terms(dims=Nesting((8, 128))))
    few = stick.only(np.arange(30))
    with pytest.raises(InputError, match=r"30 queries leave 6, 18, 6 to tune, calibrate, report.*give at least 50"):
        choose(rows, queries, few)
    other = Held.of(queries.vectors, replace(CARD, fingerprint="other"), path="others")
    with pytest.raises(CardError, match="rows0 and others do not belong together: fingerprint"):
        choose(rows, other, stick)
    with pytest.raises(InputError, match="rows1 is empty; give vectors"):
        choose(rows, queries.only(np.arange(0)), stick)
    bad = rows.turned(rows.vectors.copy(), CARD)
    bad.vectors[5, 3] = np.nan
    with pytest.raises(InputError, match="rows 5 has a NaN or an Inf"):
        choose(bad, queries, stick)


# ------------------------------------------------------------------------------------------- what promises nothing


@pytest.mark.parametrize("full", [0.0, 0.004, 0.01, 0.02, 0.022])
def test_a_tolerance_that_lets_everything_go_chooses_nothing(full):
    right = (np.arange(5000) < full * 5000) * 1.0
    found = selected(Measured(right, LADDER, np.stack([right * 0] * 8)), ABOUT, Terms(tolerance=0.02))
    assert found.chosen is None
    assert found.promise is None
    assert set(verdicts(found).values()) == {"not tested", "no smaller"}
    assert "nothing was tested: on the tune part's 1,000 queries the full width itself has 1-NN = 0.0" in str(found)
    assert "not surely more than the 0.02 that may go" in str(found)
    assert "e+" not in str(found)
    assert Choice.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_copies_of_a_query_count_once(two):
    rows, queries = two
    some = queries.only(np.repeat(np.arange(300), 3))
    terms = Terms(0.1, dims=Nesting((16, 64)), encodings=("float32", "int8"))
    found = choose(rows, some, yardstick(rows, some, "recall@10"), terms)
    assert sum(found.queries) == 300
    assert found.notes == ("900 queries are 300 different vectors: copies count as one query, by their mean",)
    once = choose(rows, queries.only(np.arange(300)), yardstick(rows, queries.only(np.arange(300)), "recall@10"), terms)
    assert once.notes == ()
    few = queries.only(np.arange(900) % 40)
    with pytest.raises(InputError, match="900 queries are only 40 different vectors, and a promise needs 50; give"):
        choose(rows, few, yardstick(rows, few, "recall@10"), terms)


def test_a_group_of_copies_is_worth_its_mean():
    draws = np.random.default_rng(0)
    seen = Measured(draws.random(6), LADDER, draws.random((8, 6)))
    same = np.array([1, 0, 1, 2, 2, 2])
    found = seen.merged(same)
    for group in range(3):
        np.testing.assert_allclose(found.full[group], seen.full[same == group].mean())
        np.testing.assert_allclose(found.values[:, group], seen.values[:, same == group].mean(1))
    assert seen.merged(np.arange(6)[::-1]) is seen


def test_a_row_with_a_prefix_too_short_is_named_by_its_id(two):
    rows, queries = (each.turned(each.vectors.copy(), CARD) for each in two)
    rows.vectors[7, :8] = 1e-18
    mixed = rows.only(np.random.default_rng(0).permutation(len(rows)))
    stick = yardstick(mixed, queries, "1-NN")
    with pytest.raises(InputError, match=r"rows0: the first 8 dims of the row with id 7 have length 2\.8e-18 \(1 such"):
        choose(mixed, queries, stick, Terms(0.05))
    assert choose(mixed, queries, stick, Terms(0.05, dims=Nesting((16, 64)))).full > 0.5
    queries.vectors[5, :8] = 1e-18
    with pytest.raises(InputError, match="rows1: the first 8 dims of the row with id 5"):
        choose(two[0], queries, yardstick(two[0], queries, "1-NN"), Terms(0.05))


def test_queries_without_a_class_are_left_out_with_a_note(two):
    rows, queries = two
    queries = replace(queries, labels=np.where(np.arange(900) < 100, -1, queries.labels))
    found = choose(rows, queries, yardstick(rows, queries, "1-NN"), Terms(0.05, dims=Nesting((64,))))
    assert sum(found.queries) == 800
    assert found.notes == ("100 of 900 queries of rows1 have no class: left out",)
