import pytest

from mrl.disk import MANIFEST
from mrl.encoders import load
from mrl.errors import DamagedError, StorageError
from mrl.training import Run, train
from mrl.training.run import LOG
from training.pictures import TINY, tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(TINY, tiny(), tmp_path_factory.mktemp("runs") / "run", quiet=True)


def copied(run, target):
    target.mkdir()
    for path in run.path.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_run_says_what_it_is(trained):
    run = Run.open(trained.path)
    assert run.spec == TINY
    assert run.classes == ("fine", "middle", "wide")
    assert run.epoch == 2
    assert run.card == run.encoder.card == load(run.path).card
    assert (run.card.metric, run.card.normalised, run.card.width, str(run.card.nesting)) == ("cosine", False, 4, "2,4")
    assert run.verify() == 2


def test_only_the_newest_epoch_is_kept(trained):
    names = {"encoder-00000006.safetensors", "head-00000006.safetensors", MANIFEST, LOG}
    before = {".lock", "manifest-00000002.json"}
    assert {path.name for path in trained.path.iterdir()} == names | before


@pytest.mark.parametrize("name", ["encoder-00000006.safetensors", "head-00000006.safetensors", MANIFEST])
def test_every_flipped_byte_is_found_and_its_file_named(trained, tmp_path, name):
    target = copied(trained, tmp_path / "run")
    whole = (target / name).read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 20)):
        (target / name).write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(DamagedError, match=name):
            Run.open(target).verify()
        if not name.startswith("head"):
            with pytest.raises(DamagedError, match=name):
                load(target)


def test_a_missing_file_is_named(trained, tmp_path):
    target = copied(trained, tmp_path / "run")
    (target / "head-00000006.safetensors").unlink()
    with pytest.raises(DamagedError, match=r"head-00000006\.safetensors is missing"):
        _ = Run.open(target).head


def test_a_log_line_cut_short_is_left_out(trained, tmp_path):
    target = copied(trained, tmp_path / "run")
    whole = (target / LOG).read_bytes()
    (target / LOG).write_bytes(whole[:-5])
    assert Run.open(target).log == trained.log[:-1]


def test_nothing_committed(tmp_path):
    with pytest.raises(StorageError, match="nothing was committed there"):
        Run.open(tmp_path)
