from dataclasses import replace

import numpy as np
import pytest

from mrl.errors import ExistsError
from mrl.training import Opening, embed, embedding, from_arrays, open_data, train
from mrl.vectors import Table
from training.pictures import TINY, folder, stripes, tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(TINY, tiny(), tmp_path_factory.mktemp("runs") / "run", quiet=True)


def test_a_table_holds_raw_vectors_with_ids_labels_and_names(run, tmp_path):
    embed(run, tiny(seed=1), tmp_path / "table")
    table = Table.open(tmp_path / "table")
    np.testing.assert_allclose(table.vectors, run.encoder.encode(tiny(seed=1).images, raw=True), atol=1e-6)
    assert table.card == run.card
    assert table.labels.tolist() == tiny(seed=1).labels.tolist()
    assert table.ids.tolist() == list(range(48))
    assert table.label_names == ("fine", "middle", "wide")
    np.testing.assert_allclose(table.card.cut(table.vectors, 2), run.encoder.encode(tiny(seed=1).images, 2), atol=1e-6)


def test_a_run_may_be_given_by_its_path_and_the_work_is_told(run, tmp_path):
    done = []
    embed(str(run.path), tiny(), tmp_path / "table", batch_size=20, each=done.append)
    assert sum(done) == 48
    np.testing.assert_allclose(
        Table.open(tmp_path / "table").vectors, run.encoder.encode(tiny().images, raw=True), atol=1e-5
    )


def test_blocks_join(run, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 7)
    embed(run, tiny(), tmp_path / "table")
    np.testing.assert_allclose(
        Table.open(tmp_path / "table").vectors, run.encoder.encode(tiny().images, raw=True), atol=1e-5
    )


def test_labels_go_by_the_runs_names(run, tmp_path):
    images, labels = stripes(6)
    embed(run, from_arrays(images, labels, ("wide", "broad", "fine")), tmp_path / "table")
    table = Table.open(tmp_path / "table")
    assert table.label_names == ("fine", "middle", "wide", "broad")
    assert table.labels.tolist() == [2, 3, 0, 2, 3, 0]


def test_images_of_a_folder_are_called_by_their_paths(run, tmp_path):
    folder(tmp_path / "images", {"wide": 2, "fine": 1}, size=(20, 10), mode="RGB")
    data = open_data(tmp_path / "images", Opening.like(run.encoder.fit))
    table = embed(run, data, tmp_path / "table")
    assert table.ids.tolist() == ["fine/0.png", "wide/0.png", "wide/1.png"]
    assert table.labels.tolist() == [0, 2, 2]


def test_rows_without_labels_and_no_rows(run, tmp_path):
    assert embed(run, replace(tiny(), labels=None, classes=()), tmp_path / "unlabelled").labels is None
    assert embed(run.encoder, from_arrays(stripes(0)[0], None), tmp_path / "none").vectors.shape == (0, 4)


def test_nothing_is_overwritten(run, tmp_path):
    embed(run, tiny(), tmp_path / "table")
    with pytest.raises(ExistsError, match="already exists"):
        embed(run, tiny(), tmp_path / "table")
