import doctest
import json
import re
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrl.retrieval.engine
import mrl.retrieval.plan
import oracles
from mrl.errors import DamagedError, InputError, StorageError
from mrl.retrieval.engine import CODES, HNSW, IVF, RaBitQ, Scan, engine_text, of_build, parse_engine
from mrl.retrieval.plan import Plan, Stage, StageCost

ENCODINGS = ("1bit", "int8", "int12", "float16", "float32", "reference")  # coarsest first
counts = st.integers(1, 999)
engines = (
    st.sampled_from([Scan(), RaBitQ()])
    | st.builds(HNSW, st.integers(2, 99), counts, counts, st.sampled_from(CODES[:-1]))
    | st.builds(IVF, counts, counts, st.sampled_from(CODES))
)


@st.composite
def plans(draw):
    seen = draw(st.sets(st.tuples(st.integers(1, 4096), st.integers(0, 5)), min_size=1, max_size=6))
    keeps = sorted(draw(st.lists(st.integers(1, 10**6), min_size=len(seen), max_size=len(seen))), reverse=True)
    first = draw(engines)
    stages = [
        Stage(dim, keep, ENCODINGS[place], first if i == 0 else Scan())
        for i, ((dim, place), keep) in enumerate(zip(sorted(seen), keeps, strict=True))
    ]
    return Plan(tuple(stages), draw(st.sampled_from(["", "pca:ab12cd34ef56", "jl-2:0"])))


# ------------------------------------------------------------------------------------------------- forms


def shape(plan):
    return [(stage.dim, stage.keep) for stage in plan.stages]


def test_the_paper_forms():
    assert shape(Plan.single(1024)) == [(1024, 10)]
    assert shape(Plan.adaptive(16, 2048, keep=200, k=10)) == [(16, 200), (2048, 10)]
    funnel = Plan.funnel(start=32, dims=(64, 128, 256, 512, 1024), lists=(200, 100, 50, 25, 10), k=5)
    assert shape(funnel) == [(32, 200), (64, 100), (128, 50), (256, 25), (512, 10), (1024, 5)]
    assert Plan.funnel(16, dims=(32, 64, 128, 256, 2048)).dims == (16, 32, 64, 128, 256, 2048)


def test_a_funnel_reranks_list_i_at_dim_i():
    dims, lists = (64, 128, 256), (200, 100, 50)
    costs = Plan.funnel(32, dims, lists, k=10).cost(10_000)
    assert [cost.candidates for cost in costs] == [10_000, *lists]
    assert [cost.paper_macs for cost in costs[1:]] == [k * dim for k, dim in zip(lists, dims, strict=True)]


def test_a_funnel_with_a_list_too_few_is_refused():
    with pytest.raises(InputError, match="a funnel has a list for every re-rank, got 2 dims and 3 lists"):
        Plan.funnel(8, dims=(16, 32), lists=(30, 20, 10))


@pytest.mark.parametrize("value", [Scan(), HNSW(), Stage(1, 1), Plan.single(1)], ids=lambda v: type(v).__name__)
def test_plans_and_their_parts_are_values(value):
    assert value == replace(value)
    assert hash(value) == hash(replace(value))
    with pytest.raises(FrozenInstanceError):
        value.m = 3


def test_build_knobs_and_query_knobs_are_told_apart():
    assert of_build(HNSW(ef=10)) == of_build(HNSW(ef=99)) == HNSW()
    assert of_build(HNSW(m=8, ef_construction=50, ef=10)) == HNSW(m=8, ef_construction=50)
    assert of_build(IVF(lists=8, probes=3, codes="1bit")) == IVF(lists=8, codes="1bit")


# ------------------------------------------------------------------------------------------------- refusals

FIRST = Stage(64, 100, "int8")


@pytest.mark.parametrize(
    ("stages", "said"),
    [((), "a plan needs at least one Stage, got (); Plan.single(1024) is the shortest"),
     (("64:100",), "a plan needs at least one Stage, got ('64:100',)"),
     ((FIRST, Stage(32, 10)), "dims must not fall from stage to stage, got 64:100@int8 and then 32:10; put the narrow"),
     ((FIRST, FIRST), "stage 64:100@int8 sees no more than 64:100@int8 before it; give it more dims or a finer encod"),
     ((FIRST, Stage(64, 10, "1bit")), "stage 64:10@1bit sees no more than 64:100@int8 before it"),
     ((FIRST, Stage(128, 101)), "stage 128:101 cannot keep more than the 100 of 64:100@int8 before it; lower its keep"),
     ((FIRST, Stage(128, 10, engine=HNSW())), "stage 128:10/hnsw re-ranks a list, which only a scan does")],
)  # fmt: skip
def test_stages_that_make_no_plan_are_refused(stages, said):
    with pytest.raises(InputError, match=re.escape(said)):
        Plan(stages)


def test_the_same_dim_in_a_finer_encoding_is_a_stage():
    assert Plan((FIRST, Stage(64, 100, "float16"), Stage(64, 10))).dims == (64,)


@pytest.mark.parametrize("value", [0, -1, 1.0, "8", None, True])
@pytest.mark.parametrize("name", ["dim", "keep"])
def test_counts_are_integers_of_at_least_1(name, value):
    with pytest.raises(
        InputError, match=re.escape(f"{name} of a stage must be an integer of at least 1, got {value!r}")
    ):
        Stage(**{"dim": 8, "keep": 10, name: value})


def test_parts_out_of_range_are_refused():
    with pytest.raises(
        InputError, match="unknown encoding 'int4' in a stage; known are 1bit, int8, int12, float16, float32, ref"
    ):
        Stage(8, 10, "int4")
    with pytest.raises(
        InputError, match=re.escape("the engine of a stage is Scan(), HNSW(), IVF() or RaBitQ(), got 'hnsw'")
    ):
        Stage(8, 10, engine="hnsw")
    with pytest.raises(InputError, match="m of an HNSW must be an integer of at least 2, got 1"):
        HNSW(m=1)
    with pytest.raises(InputError, match="lists of an IVF must be an integer of at least 1, got 'many'"):
        IVF(lists="many")
    with pytest.raises(InputError, match="codes of an HNSW are float32, float16, int8, got '1bit'"):
        HNSW(codes="1bit")
    for odd in ("pca", "PCA:12", "pca:xyz", "pca:", None, 7):
        with pytest.raises(InputError, match="map must be a map's name such as pca:ab12cd34ef56, or empty, got"):
            Plan((FIRST,), odd)


# ------------------------------------------------------------------------------------------------- k


def test_the_same_plan_with_another_k():
    plan = Plan.adaptive(16, 2048, keep=200, k=10)
    assert plan.at_k(200) == Plan.adaptive(16, 2048, keep=200, k=200)
    assert Plan.single(16, 10).at_k(5000) == Plan.single(16, 5000)
    said = "16:200 → 2048:10 cannot give k = 201 results: its last stage gets 200 candidates; ask for at most 200, or"
    with pytest.raises(InputError, match=re.escape(said)):
        plan.at_k(201)
    with pytest.raises(InputError, match="k must be an integer of at least 1, got 0"):
        plan.at_k(0)


# ------------------------------------------------------------------------------------------------- text and JSON


@given(plans())
def test_text_and_object_round_trip(plan):
    assert Plan.parse(plan.spec) == plan == Plan.parse(str(plan))
    assert Plan.parse(plan.spec.replace(",", ">")) == plan == Plan.parse(f" {plan.spec.replace(',', ' , ')} ")
    assert re.fullmatch(r"[A-Za-z0-9:,@/+=_-]+", plan.spec), "no character that a shell takes for its own"


@pytest.mark.parametrize(
    ("text", "plan"),
    [("32:200,64:100,1024:10", Plan((Stage(32, 200), Stage(64, 100), Stage(1024, 10)))),
     ("64:200@int8,1024:10", Plan((Stage(64, 200, "int8"), Stage(1024, 10)))),
     ("128:200/hnsw+ef=64+m=16,1024:10", Plan((Stage(128, 200, engine=HNSW(m=16, ef=64)), Stage(1024, 10)))),
     ("128:200@1bit/hnsw", Plan((Stage(128, 200, "1bit", HNSW()),))),
     ("64:50/ivf+codes=int8+lists=99+probes=3", Plan((Stage(64, 50, engine=IVF(99, 3, "int8")),))),
     ("64:50/rabitq,128:5", Plan((Stage(64, 50, engine=RaBitQ()), Stage(128, 5)))),
     ("pca:ab12cd34ef56,32:200", Plan((Stage(32, 200),), "pca:ab12cd34ef56"))],
)  # fmt: skip
def test_the_text_form(text, plan):
    assert Plan.parse(text) == plan


def test_what_is_printed_says_encoding_and_engine():
    plan = Plan((Stage(32, 200, "int8", HNSW(ef=99)), Stage(1024, 10)), "pca:ab12cd34ef56")
    assert str(plan) == "pca:ab12cd34ef56 → 32:200@int8/hnsw+ef=99 → 1024:10"


@pytest.mark.parametrize("text", ["", "32", "32:", "32:200,", "32:200 64:10", "a:g", "32:200/", "-8:1", "٣:1",
                                  "32:200/IVF", "32:200/hnsw(ef=3)", "8:1,pca:ab"])  # fmt: skip
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(
        InputError, match=r"cannot read a stage from '.*'; write dim:keep, as in 32:200, or 32:200@int8/h"
    ):
        Plan.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("8:5/lsh", "unknown engine 'lsh' in 'lsh'; known are hnsw, ivf, rabitq"),
     ("8:5/hnsw+nprobe=3", "cannot read the knob 'nprobe=3' in 'hnsw+nprobe=3'; write name=value, its knobs are m, "),
     ("8:5/hnsw+m", "cannot read the knob 'm' in 'hnsw+m'; write name=value"),
     ("8:5/rabitq+m=3", "cannot read the knob 'm=3' in 'rabitq+m=3'; write name=value, it has none"),
     ("8:5/ivf+codes=int4", "codes of an IVF are float32, float16, int8, 1bit, got 'int4'"),
     ("8:5/hnsw+m=1", "m of an HNSW must be an integer of at least 2, got 1")],
)  # fmt: skip
def test_what_is_no_engine_is_refused(text, said):
    with pytest.raises(InputError, match=re.escape(said)):
        Plan.parse(text)


@given(engines)
def test_an_engines_text_round_trips(engine):
    assert parse_engine(engine_text(engine)) == parse_engine(engine_text(engine, whole=True)) == engine


def test_a_map_alone_is_no_plan():
    with pytest.raises(InputError, match="a plan needs at least one Stage"):
        Plan.parse("pca:ab12cd34ef56")


@given(plans())
def test_json_round_trip(plan):
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_json_has_every_knob_so_that_new_defaults_change_no_old_plan():
    plan = Plan.single(8, engine=HNSW())
    assert plan.to_json() == {
        "format": "mrl-plan", "version": 1, "map": "",
        "stages": ["8:10/hnsw+codes=float16+ef=64+ef_construction=200+m=32"],
    }  # fmt: skip


GOOD = Plan.adaptive(16, 64).to_json()


@pytest.mark.parametrize(
    ("document", "said"),
    [({**GOOD, "version": 2},
      "a plan says format 'mrl-plan' and version 1, got 'mrl-plan' 2; write these, or install a newer mrl"),
     ({**GOOD, "format": "mrl-card"}, "got 'mrl-card' 1"), ({"stages": ["8:1"]}, "got None None"),
     ({**GOOD, "colour": 1, "age": 2}, "unknown fields age, colour in a plan; install a newer mrl"),
     ({**GOOD, "stages": "8:1"}, 'a list of texts such as ["32:200", "1024:10"], got \'8:1\''),
     ({**GOOD, "stages": [8]}, "got [8]"), ({**GOOD, "stages": ["8"]}, "cannot read a stage from '8'"),
     ({key: GOOD[key] for key in ("format", "version", "map")}, "got None"),
     ({**GOOD, "map": 3}, "map must be a map's name")],
)  # fmt: skip
def test_json_that_is_no_plan_is_refused(document, said, tmp_path):
    with pytest.raises(InputError, match=re.escape(said)):
        Plan.from_json(document)
    (tmp_path / "plan").write_text(json.dumps(document))
    with pytest.raises(InputError, match=rf"/plan holds no plan: .*{re.escape(said)}"):
        Plan.load(tmp_path / "plan")


def test_a_saved_plan_is_sealed_and_one_written_by_hand_is_read_too(tmp_path):
    plan = Plan.parse("pca:ab12cd34ef56,64:200@int8/hnsw,1024:10")
    plan.save(tmp_path / "saved")
    assert '"sha256"' in (tmp_path / "saved").read_text()
    assert Plan.load(tmp_path / "saved") == plan
    (tmp_path / "by hand").write_text('{"format": "mrl-plan", "version": 1, "stages": ["32:200", "64:10"]}')
    assert Plan.load(tmp_path / "by hand") == Plan.adaptive(32, 64)


def test_a_sealed_plan_that_changed_is_refused(tmp_path):
    Plan.adaptive(16, 64).save(tmp_path / "plan")
    raw = (tmp_path / "plan").read_bytes()
    (tmp_path / "plan").write_bytes(raw.replace(b"16:200", b"32:200"))
    with pytest.raises(
        DamagedError, match=r"/plan is damaged: .*, or, if you changed it on purpose, remove its sha256"
    ):
        Plan.load(tmp_path / "plan")
    for position in range(len(raw)):
        (tmp_path / "plan").write_bytes(oracles.flipped(raw, position, position % 7))
        with pytest.raises((DamagedError, InputError)):
            Plan.load(tmp_path / "plan")


@pytest.mark.parametrize("content", [b"", b"[]", b"[1]", b"3", b"{", b"\xff"])
def test_a_file_that_is_no_json_is_refused(tmp_path, content):
    (tmp_path / "plan").write_bytes(content)
    with pytest.raises(InputError, match="/plan holds no plan"):
        Plan.load(tmp_path / "plan")
    with pytest.raises(StorageError, match=r"cannot read .*absent"):
        Plan.load(tmp_path / "absent")


# ------------------------------------------------------------------------------------------------- cost


def test_the_paper_numbers():
    """PAPER: 20.5 M for 16 dims of ImageNet-1K, 0.41 M for re-ranking 200 at 2048; 2.6 G and 8.6 G at full width."""
    first, second = Plan.adaptive(16, 2048, keep=200, k=10).cost(1_281_167)
    assert first == StageCost(1_281_167, False, 20_498_672, 20_498_672, 68)
    assert second == StageCost(200, True, 200 * (2048 - 16), 200 * 2048, (2048 - 16) * 4 + 4)
    assert second.bytes == 200 * 8132
    assert sum(cost.paper_macs for cost in Plan.single(2048).cost(1_281_167)) == pytest.approx(2.62e9, rel=0.01)
    assert sum(cost.paper_macs for cost in Plan.single(2048).cost(4_202_000)) == pytest.approx(8.61e9, rel=0.01)
    funnel = Plan.funnel(16, dims=(32, 64, 128, 256, 2048)).cost(1_281_167)
    assert sum(cost.paper_macs for cost in funnel) / 1e6 == pytest.approx(20.54, abs=0.01)


@given(plans(), st.integers(1, 10**7))
def test_costs_are_the_sums_that_anyone_can_do(plan, rows):
    candidates, start, before = rows, 0, None
    for stage, cost in zip(plan.stages, plan.cost(rows), strict=True):
        exact = before is not None and before.engine == Scan()
        held = exact and ENCODINGS.index(resolved(before)) >= ENCODINGS.index(resolved(stage))
        start = before.dim if held else 0
        assert cost.continues == held
        if stage.engine == Scan():
            assert (cost.candidates, cost.macs) == (candidates, candidates * (stage.dim - start))
            assert (cost.paper_macs, cost.bytes) == (candidates * stage.dim, candidates * cost.bytes_each)
        else:
            assert (cost.candidates, cost.macs, cost.paper_macs, cost.bytes) == (None,) * 4
        bits = {"1bit": 1, "int8": 8, "int12": 12, "float16": 16, "float32": 32}[resolved(stage)]
        assert cost.bytes_each == -(-(stage.dim - start) * bits // 8) + 4
        candidates, before = min(rows, stage.keep), stage


def resolved(stage):
    return stage.encoding.replace("reference", "float32")


@pytest.mark.parametrize(
    ("text", "continues", "bytes_each"),
    [("64:200@int8,1024:10", [False, False], [68, 4100]), ("64:200@float32,128:50@int8", [False, True], [260, 68]),
     ("64:200@float32,128:50@int8,256:9", [False, True, False], [260, 68, 1028]),
     ("64:200@1bit,256:9@1bit", [False, True], [12, 28]), ("9:200@1bit", [False], [6]),
     ("64:200/hnsw,128:50,256:9", [False, False, True], [260, 516, 516]),
     ("64:200@float16,64:10", [False, False], [132, 260]), ("64:200@float32,128:10", [False, True], [260, 260])],
)  # fmt: skip
def test_what_is_coarser_or_approximate_is_not_continued(text, continues, bytes_each):
    costs = Plan.parse(text).cost(1000)
    assert [cost.continues for cost in costs] == continues
    assert [cost.bytes_each for cost in costs] == bytes_each


def test_the_reference_may_differ_from_segment_to_segment():
    record = {64: "float32", 1024: "float16"}
    costs = Plan.parse("64:200,256:20,1024:10@reference").cost(1000, record)
    assert [cost.continues for cost in costs] == [False, True, True]
    assert [cost.bytes_each for cost in costs] == [260, 192 * 2 + 4, 768 * 2 + 4]
    assert Plan.single(256).cost(9, record)[0].bytes_each == 64 * 4 + 192 * 2 + 4
    after_half = Plan.parse("64:200@float16,256:20").cost(9, record)[1]
    assert (after_half.continues, after_half.bytes_each) == (False, 64 * 4 + 192 * 2 + 4)
    assert Plan.parse("64:200@float16,256:20").cost(9, "float16")[1].continues


@pytest.mark.parametrize("reference", ["int4", "reference", {}, {512: "float32"}, {1024: "int4"}])
def test_a_reference_that_does_not_reach_is_refused(reference):
    said = f"reference needs one of 1bit, int8, int12, float16, float32 for all 1024 dims, got {reference!r}"
    with pytest.raises(InputError, match=re.escape(said)):
        Plan.single(1024).cost(10, reference)


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="rows must be an integer of at least 1, got 0"):
        Plan.single(8).cost(0)


def test_the_examples():
    for module in (mrl.retrieval.plan, mrl.retrieval.engine):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed
