"""A map applied in a stream: the product of all, in any number of goes, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapt import applier
from adapt.applier import BLOCK, CARD, OUT, ROWS, WIDTH, Times, contents, go_on, written
from mrl import Card, Nesting, Table
from mrl.adapt.applying import Stored, apply_stream
from mrl.disk import Device, using
from mrl.disk.device import device
from mrl.errors import CardError, ExistsError, InputError, StorageError
from mrl.maps import Rotation, mapped_card
from mrl.vectors import open_vectors
from replay import replay
from vectors.written import WRITERS, ids, labels, vectors


class Unflushed(Device):
    """What these tests write need not outlive them; `replay` records with a device of its own, and kills flush."""

    def flush(self, file):
        file.flush()

    def flush_folder(self, path):
        pass


@pytest.fixture(autouse=True)
def quick():
    with using(Unflushed()):
        yield


@pytest.fixture
def source(tmp_path):
    return open_vectors(written(tmp_path))


class Stops(Times):
    """The same map, which is interrupted at one row of a source."""

    def __init__(self, source, row):
        super().__init__()
        self.last = source.held().vectors[row]

    def apply(self, vectors):
        if (vectors == self.last).all(axis=1).any():
            raise KeyboardInterrupt
        return super().apply(vectors)


@pytest.mark.parametrize("name", ["plain.npy", "fixed.parquet", "stream.arrow", "plain.h5", "plain.fvecs", "table"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_product_comes_with_its_ids_and_labels(name, dtype, tmp_path):
    v = vectors(30, WIDTH)
    named = WRITERS[name](tmp_path / name, v)
    source = open_vectors(tmp_path / name)
    table = apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored(dtype, 7))
    assert (table.card, table.finished, table.vectors.dtype) == (CARD, True, np.dtype(dtype))
    np.testing.assert_allclose(table.vectors, (v @ Times().matrix).astype(dtype), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(table.ids, ids(30) if named else np.arange(30))
    assert table.label_names == source.label_names
    if source.labelled:
        np.testing.assert_array_equal(table.labels, labels(30))
    else:
        assert table.labels is None


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(0, 40), block=st.integers(1, 50))
def test_every_block_size_gives_the_same_rows(rows, block, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("blocks")
    source = open_vectors(written(tmp, rows))
    told = []
    table = apply_stream(
        source, Times(), tmp / "out", CARD, stored=Stored(block=block), told=lambda *words: told.append(words)
    )
    held = source.held()
    np.testing.assert_allclose(table.vectors, held.vectors @ Times().matrix, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(table.ids, held.ids)
    assert told == [("rows", min(done, rows), rows) for done in range(0, rows + block, block)]


def test_a_rotation_is_applied_in_float32(tmp_path):
    turn = Rotation(np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)))[0], name="random")
    v = vectors(50, WIDTH)
    np.save(tmp_path / "v.npy", v)
    source = open_vectors(tmp_path / "v.npy")
    table = apply_stream(source, turn, tmp_path / "out", mapped_card(source.card, turn))
    np.testing.assert_array_equal(table.vectors, turn.apply32(v))
    np.testing.assert_allclose(table.vectors @ table.vectors.T, v @ v.T, atol=1e-4)


def test_rows_that_are_left_out_do_not_come_along(tmp_path):
    v = vectors(30, WIDTH)
    v[[3, 20]] = np.nan
    np.save(tmp_path / "v.npy", v)
    source = open_vectors(tmp_path / "v.npy", drop_bad="yes")
    for row, resumed in ((13, False), (25, True)):
        with pytest.raises(KeyboardInterrupt):
            apply_stream(source, Stops(source, row), tmp_path / "out", CARD, stored=Stored(block=6), resume=resumed)
    table = apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored(block=6), resume=True)
    assert table.ids.tolist() == [row for row in range(30) if row not in (3, 20)]
    with pytest.raises(InputError, match=r"row 3 has a NaN or an Inf \(2 in all are such\)"):
        apply_stream(open_vectors(tmp_path / "v.npy"), Times(), tmp_path / "other", CARD)
    assert not (tmp_path / "other").exists()


# ---------------------------------------------------------------------------------------------------- interruptions


@settings(max_examples=8, deadline=None)
@given(stops=st.lists(st.integers(0, 39), min_size=1, max_size=4))
def test_interruptions_change_no_byte(stops, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("stopped")
    source = open_vectors(written(tmp, 40))
    apply_stream(source, Times(), tmp / "once", CARD, stored=Stored(block=9))
    for row in sorted(stops):
        try:
            apply_stream(source, Stops(source, row), tmp / "often", CARD, stored=Stored(block=9), resume=True)
        except KeyboardInterrupt:
            continue
    apply_stream(source, Times(), tmp / "often", CARD, stored=Stored(block=9), resume=True)
    assert contents(tmp / "often") == contents(tmp / "once")


def check_kills(root, kills, longest, seed):
    """Kill at random moments until one table after another is done."""
    path, draws = written(root), np.random.default_rng(seed)
    go_on(path, root / "once")
    want, ended, out = contents(root / "once"), [], root / "often-0"
    command = [sys.executable, applier.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        while ended.count("killed") < kills:
            worker.stdin.write(f"{path} {out} {draws.uniform(0, longest)}\n")
            worker.stdin.flush()
            ended.append(worker.stdout.readline().strip())
            if ended[-1] == "done":
                assert contents(out) == want
                out = root / f"often-{len(ended)}"
        worker.stdin.close()
    assert set(ended) <= {"killed", "done"}
    go_on(path, out)
    assert contents(out) == want


def test_kills_change_no_byte(tmp_path):
    check_kills(tmp_path, kills=3, longest=0.4, seed=1)


@pytest.mark.slow
def test_many_kills_change_no_byte(tmp_path):
    check_kills(tmp_path, kills=40, longest=1.0, seed=2)


def test_a_crash_at_any_moment_loses_no_block_that_was_told(tmp_path):
    """Every moment of what is written, as a disk that forgets may leave it: the same call ends in the same bytes."""
    source = open_vectors(written(tmp_path, 5))
    apply_stream(source, Times(), tmp_path / "once", CARD, stored=Stored(block=3))
    want = contents(tmp_path / "once")

    def work(path):
        def told(_, done, of):
            device().acknowledge(done)

        apply_stream(source, Times(), path / "out", CARD, stored=Stored(block=3), told=told)
        yield 5

    def check(path, done):
        if done:
            assert Table.open(path / "out", unfinished=True).rows >= done
        apply_stream(source, Times(), path / "out", CARD, stored=Stored(block=3), resume=True)
        assert contents(path / "out") == want

    assert replay(work, check, tmp_path) > 40


# ---------------------------------------------------------------------------------------------------- refusals


def begun(source, out, block=BLOCK, blocks=3):
    """A table that was left after so many blocks."""
    with pytest.raises(KeyboardInterrupt):
        apply_stream(source, Stops(source, block * blocks), out, CARD, stored=Stored(block=block))
    assert Table.open(out, unfinished=True).rows == block * blocks


def test_nothing_is_overwritten(source, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ExistsError, match="already exists and is not overwritten"):
            apply_stream(source, Times(), tmp_path / "full", CARD, resume=resume)
    begun(source, tmp_path / "out")
    with pytest.raises(ExistsError, match="out already exists and is not overwritten; go on with --resume, or choose"):
        apply_stream(source, Times(), tmp_path / "out", CARD)


def test_another_map_is_refused(source, tmp_path):
    begun(source, tmp_path / "out")
    other = Card("mapped", OUT, Nesting((4, OUT)), maps=("linear:ba9876543210",))
    with pytest.raises(CardError, match="do not belong together: maps is"):
        apply_stream(source, Times(), tmp_path / "out", other, stored=Stored(block=BLOCK), resume=True)
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match=r"the rows of .*out from 10 on are not those of .*v.npz under this map"):
        apply_stream(source, Times(seed=1), tmp_path / "out", CARD, stored=Stored(block=BLOCK), resume=True)
    assert contents(tmp_path / "out") == before


def test_another_source_is_refused(source, tmp_path):
    begun(source, tmp_path / "out")
    for folder, rows, seed, why in (
        ("short", 14, 0, "out has 15 rows, and .*v.npz has 14; go on with the source that it was begun with"),
        ("other", ROWS, 1, "out from 10 on are not those of"),
    ):
        (tmp_path / folder).mkdir()
        other = open_vectors(written(tmp_path / folder, rows, seed))
        with pytest.raises(InputError, match=why):
            apply_stream(other, Times(), tmp_path / "out", CARD, stored=Stored(block=BLOCK), resume=True)
    done = apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored(block=BLOCK), resume=True)
    again = apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored(block=BLOCK), resume=True)
    assert (done.rows, again.rows) == (ROWS, ROWS)
    (tmp_path / "long").mkdir()
    longer = open_vectors(written(tmp_path / "long", ROWS + 1))
    with pytest.raises(InputError, match=f"out has {ROWS} rows, and is finished, and .* has {ROWS + 1}"):
        apply_stream(longer, Times(), tmp_path / "out", CARD, stored=Stored(block=BLOCK), resume=True)


def test_other_labels_are_refused(tmp_path):
    """Wherever they differ: an earlier row's, all names, or that there are none."""
    v, own = vectors(ROWS, WIDTH), np.arange(ROWS) % 2
    np.save(tmp_path / "v.npy", v)

    def labelled(labels):
        if labels is None:
            return open_vectors(tmp_path / "v.npy")
        np.save(tmp_path / "labels.npy", labels)
        return open_vectors(tmp_path / "v.npy", labels=tmp_path / "labels.npy")

    named, early = np.array(["ant", "bee"])[own], np.r_[1, own[1:]]
    for number, (first, others) in enumerate(((own, (early, None)), (named, (np.array(["ant", "cow"])[own], own)))):
        begun(labelled(first), out := tmp_path / f"out{number}")
        for other in others:
            with pytest.raises(
                InputError, match=r"the labels of .*out. are not those of .*v.npy; go on with the labels"
            ):
                apply_stream(labelled(other), Times(), out, CARD, stored=Stored(block=BLOCK), resume=True)
        done = apply_stream(labelled(first), Times(), out, CARD, stored=Stored(block=BLOCK), resume=True)
        np.testing.assert_array_equal(done.labels, own)
    begun(labelled(None), tmp_path / "bare")
    with pytest.raises(InputError, match=r"the labels of .*bare are not those of"):
        apply_stream(labelled(own), Times(), tmp_path / "bare", CARD, stored=Stored(block=BLOCK), resume=True)


def test_a_tables_prompt_comes_along(tmp_path):
    sources = []
    for name, prompt in (("asked", "query: "), ("other", "passage: ")):
        with Table.create(tmp_path / name, Card("texts", WIDTH, Nesting((WIDTH,))), prompt=prompt) as writer:
            writer.add(vectors(ROWS, WIDTH))
        sources.append(open_vectors(tmp_path / name))
    begun(sources[0], tmp_path / "out")
    with pytest.raises(InputError, match=r"holds vectors of texts behind the prompt 'query: ', got 'passage: '"):
        apply_stream(sources[1], Times(), tmp_path / "out", CARD, stored=Stored(block=BLOCK), resume=True)
    done = apply_stream(sources[0], Times(), tmp_path / "out", CARD, stored=Stored(block=BLOCK), resume=True)
    assert (done.prompt, done.rows) == ("query: ", ROWS)


def test_another_way_to_store_is_refused(source, tmp_path):
    begun(source, tmp_path / "out")
    with pytest.raises(InputError, match=r"out has 15 rows, which are no whole blocks of 4; give the block it was"):
        apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored(block=4), resume=True)
    with pytest.raises(InputError, match="out has float32 vectors, got float16; go on with float32"):
        apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored("float16", BLOCK), resume=True)
    for wrong in ({"dtype": "int8"}, {"block": 0}):
        with pytest.raises(InputError):
            Stored(**wrong)


def test_a_map_of_other_widths_is_refused(source, tmp_path):
    with pytest.raises(CardError, match="the map makes vectors of width 5, the card says 8; give the map's own card"):
        apply_stream(source, Times(out=5), tmp_path / "out", CARD)
    narrow = Rotation(np.eye(4), name="none")
    with pytest.raises(InputError, match=r"takes floats of shape \(..., 4\)"):
        apply_stream(source, narrow, tmp_path / "out", CARD)
    assert not (tmp_path / "out").exists()


def test_what_float16_cannot_hold_is_refused_by_row(tmp_path):
    v = vectors(30, WIDTH)
    v[17] *= 1e6
    np.save(tmp_path / "v.npy", v)
    source = open_vectors(tmp_path / "v.npy")
    largest = np.abs(v[17] @ Times().matrix).max()
    with pytest.raises(InputError) as refusal:
        apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored("float16", 4))
    assert str(refusal.value) == (
        f"row 17, id 17, is mapped to values up to {largest:.1e}, and float16 holds 6.6e+04; store float32, or rescale "
        "the vectors"
    )
    assert Table.open(tmp_path / "out", unfinished=True).rows == 16
    assert apply_stream(source, Times(), tmp_path / "wide", CARD).rows == 30
    v[17] = 3e38 * np.sign(Times().matrix[:, 0])
    np.save(tmp_path / "v.npy", v)
    with pytest.raises(
        InputError, match=r"row 17, id 17, is mapped to values up to inf, and float32 holds 3.4e\+38; r"
    ):
        apply_stream(open_vectors(tmp_path / "v.npy"), Times(), tmp_path / "far", CARD)


def test_what_the_disk_refuses_ends_it(source, tmp_path):
    """An error of the thread that writes comes out of the call."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def told(_, done, of):
        if done == 2 * BLOCK:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    try:
        with pytest.raises(StorageError, match=r"cannot write .*000002\.vectors\.npy"):
            apply_stream(source, Times(), tmp_path / "out", CARD, stored=Stored(block=BLOCK), told=told)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Table.open(tmp_path / "out", unfinished=True).rows == 2 * BLOCK


def test_without_the_extra_for_threads_it_is_one_thread(tmp_path):
    written(tmp_path, 20)
    code = (
        "import sys; sys.modules['numba'] = None\n"
        f"sys.path.insert(0, {applier.__file__.rsplit('/', 2)[0]!r})\n"
        "from pathlib import Path; from adapt.applier import go_on\n"
        f"go_on(Path({str(tmp_path / 'v.npz')!r}), Path({str(tmp_path / 'alone')!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    go_on(tmp_path / "v.npz", tmp_path / "many")
    np.testing.assert_array_equal(Table.open(tmp_path / "alone").vectors, Table.open(tmp_path / "many").vectors)
