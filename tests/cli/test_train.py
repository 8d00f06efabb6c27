import os
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mrl.cli.data import parse_size
from mrl.cli.settings import numbers
from mrl.cli.train import train
from mrl.encoders.spec import EncoderSpec
from mrl.errors import InputError, NestingError, StorageError
from mrl.training import Checkpoints, PairSpec, Run, TrainSpec
from mrl.training.run import RunWriter
from training.pictures import folder, stripes


def invoke(*arguments):
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def made(path, n=24, seed=0):
    images, labels = stripes(n, seed)
    np.savez(path, images=images, labels=labels, classes=["fine", "middle", "wide"])
    return path


def test_a_run_from_arrays_with_validation(tmp_path):
    data, held_out, out = made(tmp_path / "a.npz"), made(tmp_path / "b.npz", seed=1), tmp_path / "run"
    extra = ("--level-weights", "2,1", "--clip", 1)
    result = invoke(
        data, "--out", out, "--validate", held_out, "--dims", "2,4", "--epochs", 1, "--head", "mrl-e", *extra
    )
    assert result.exit_code == 0
    assert result.stdout == f"{out}\n"
    assert "24 images, 3 classes, 8 x 8 x 1" in result.stderr
    run = Run.open(out)
    assert (run.spec.head, str(run.spec.nesting), run.spec.epochs) == ("mrl-e", "2,4", 1)
    assert (run.spec.level_weights, run.spec.clip) == ((2.0, 1.0), 1.0)
    assert set(run.log[-1]["validation"]) == {"2", "4"}


def test_a_run_from_folders_with_a_corrupt_file_and_a_class_of_its_own(tmp_path):
    folder(tmp_path / "a", {"x": 3, "y": 3}, size=(20, 10))
    folder(tmp_path / "b", {"x": 1, "z": 1}, size=(30, 30), mode="RGB")
    (tmp_path / "a" / "x" / "1.png").write_bytes(b"broken")
    arguments = (
        tmp_path / "a",
        "--out",
        tmp_path / "run",
        "--validate",
        tmp_path / "b",
        "--dims",
        "2..4",
        "--epochs",
        1,
    )
    with pytest.raises(InputError, match=r"cannot decode .*x/1\.png.*skip_corrupt"):
        raise invoke(*arguments).exception
    result = invoke(*arguments, "--skip-corrupt", "--size", "12x9")
    assert result.exit_code == 0
    assert "skipped 1 files that cannot be decoded: x/1.png" in result.stderr
    assert "1 classes that the run does not know: z" in result.stderr
    assert Run.open(tmp_path / "run").encoder.fit.size == (12, 9)


def test_settings_are_checked_before_any_data_are_read(tmp_path):
    with pytest.raises(NestingError, match="strictly increasing"):
        raise invoke(tmp_path / "absent", "--out", tmp_path / "run", "--dims", "8,4").exception
    with pytest.raises(InputError, match="unknown head 'slim'"):
        raise invoke(tmp_path / "absent", "--out", tmp_path / "run", "--head", "slim").exception


def test_sizes_are_height_by_width():
    assert parse_size("64x48") == (64, 48)
    assert parse_size(None) is None
    for text in ("64", "64x", "x48", "64*48", "6.5x8"):
        with pytest.raises(InputError, match=r"cannot read a size from .*; write height x width, as 64x48"):
            parse_size(text)


def test_level_weights_are_one_number_per_dim():
    assert numbers("2,1, 0.5", "level weights") == (2.0, 1.0, 0.5)
    assert numbers(None, "level weights") is None
    with pytest.raises(InputError, match="cannot read level weights from '2,x'; write one number per dim"):
        numbers("2,x", "level weights")


@pytest.mark.parametrize("module", ["mrl.cli.train", "mrl.cli.embed"])
def test_torch_is_imported_only_when_a_verb_runs(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def test_sizes_and_widths_out_of_reach_are_refused():
    for text in ("0x0", "8x0", "5000x5000"):
        with pytest.raises(InputError, match="4 to 4096 pixels a side"):
            parse_size(text)
    with pytest.raises(InputError, match="width must be"):
        raise invoke("absent", "--out", "run", "--dims", "8..100000000000").exception


def test_every_setting_is_an_option_of_its_own_type(tmp_path):
    extra = (
        *("--optimizer", "sgd", "--lr", 0.05, "--schedule", "linear", "--accumulate", 2, "--norm", "group"),
        *("--every-steps", 1, "--keep", 3, "--select-dim", 4, "--patience", 5, "--window", 7, "--precision", "float64"),
    )
    data, held_out, out = made(tmp_path / "a.npz"), made(tmp_path / "b.npz", seed=1), tmp_path / "run"
    result = invoke(data, "--out", out, "--validate", held_out, "--dims", "2,4", "--epochs", 1, *extra)
    assert result.exit_code == 0, result.exception
    spec = Run.open(out).spec
    assert (spec.optimizer, spec.lr, spec.schedule, spec.accumulate, spec.window) == ("sgd", 0.05, "linear", 2, 7)
    assert spec.encoder == EncoderSpec(norm="group")
    assert spec.checkpoints == Checkpoints(every_steps=1, keep=3, select_dim=4, patience=5)


def test_every_field_that_can_be_set_is_explained_in_the_help():
    said = " ".join(invoke("--help").stdout.split())
    for kind, left_out in (
        (TrainSpec, {"nesting", "encoder", "pairs", "checkpoints"}),
        (PairSpec, set()),
        (EncoderSpec, set()),
        (Checkpoints, set()),
    ):
        for field in fields(kind):
            assert field.name in left_out or f"--{field.name.replace('_', '-')}" in said, field.name


def interrupted(*arguments):
    """Train until the third state is committed."""
    committed, real = [], RunWriter.commit

    def commit(self, *args, **kwargs):
        real(self, *args, **kwargs)
        committed.append(1)
        if len(committed) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunWriter, "commit", commit)
        return invoke(*arguments)


def test_a_run_goes_on_from_what_its_folder_says(tmp_path):
    folder(tmp_path / "a", {"x": 9, "y": 9}, size=(20, 10))
    folder(tmp_path / "b", {"x": 3, "y": 3}, size=(20, 10))
    settings = (tmp_path / "a", "--validate", tmp_path / "b", "--dims", "2,4", "--epochs", 4, "--batch-size", 6)
    assert interrupted(*settings, "--out", tmp_path / "run", "--size", "10x8").exit_code != 0
    assert not Run.open(tmp_path / "run").finished
    result = invoke("--out", tmp_path / "run", "--resume", "--workers", 2)
    assert result.exit_code == 0, result.exception
    whole = invoke(*settings, "--out", tmp_path / "whole", "--size", "10x8")
    assert whole.exit_code == 0
    assert Run.open(tmp_path / "run").card == Run.open(tmp_path / "whole").card


def test_a_run_goes_on_where_its_data_moved(tmp_path):
    data = made(tmp_path / "a.npz")
    interrupted(data, "--out", tmp_path / "run", "--dims", "2,4", "--epochs", 4)
    data.rename(tmp_path / "b.npz")
    with pytest.raises(StorageError, match=r"a\.npz"):
        raise invoke("--out", tmp_path / "run", "--resume").exception
    assert invoke(tmp_path / "b.npz", "--out", tmp_path / "run", "--resume").exit_code == 0
    assert Run.open(tmp_path / "run").finished


def test_what_cannot_be_resumed(tmp_path):
    data = made(tmp_path / "a.npz")
    with pytest.raises(InputError, match="say which images or texts to train on"):
        raise invoke("--out", tmp_path / "run", "--resume").exception
    interrupted(data, "--out", tmp_path / "run", "--dims", "2,4", "--epochs", 4)
    with pytest.raises(InputError, match="keeps its settings, got --epochs; leave them out"):
        raise invoke("--out", tmp_path / "run", "--resume", "--epochs", 9).exception
    with pytest.raises(InputError, match="started without validation data; leave --validate out"):
        raise invoke("--out", tmp_path / "run", "--resume", "--validate", data).exception
    with pytest.raises(InputError, match="was trained on other data"):
        raise invoke(made(tmp_path / "b.npz", seed=1), "--out", tmp_path / "run", "--resume").exception
    for extra in (["--skip-corrupt"], ["--size", "8x8"], ["--dims", "2"], ["--tune", "head"]):
        with pytest.raises(InputError, match=f"keeps its settings, got {extra[0]}; leave them out"):
            raise invoke("--out", tmp_path / "run", "--resume", *extra).exception
    with pytest.raises(InputError, match="say which images or texts to train on"):
        raise invoke("--out", tmp_path / "other").exception


def test_one_command_line_begins_a_run_and_goes_on_with_it(tmp_path):
    data = made(tmp_path / "a.npz")
    words = ("--out", tmp_path / "run", "--resume", "--every-steps", 1, "--keep", 2)
    assert invoke(data, *words, "--dims", "2,4", "--epochs", 2).exit_code == 0
    assert len(Run.open(tmp_path / "run").states) == 2
    assert invoke(data, *words).exit_code == 0


def test_what_decides_no_weight_may_be_given_anew(tmp_path):
    data = made(tmp_path / "a.npz")
    interrupted(data, "--out", tmp_path / "run", "--dims", "2,4", "--epochs", 4, "--batch-size", 12)
    assert invoke("--out", tmp_path / "run", "--resume", "--every-steps", 1, "--keep", 3).exit_code == 0
    assert len(Run.open(tmp_path / "run").states) == 3


def test_options_that_could_not_take_effect_are_refused(tmp_path):
    data = made(tmp_path / "a.npz")
    with pytest.raises(InputError, match="--count is the length of a stream; give --stream too"):
        raise invoke(data, "--out", tmp_path / "run", "--count", 9).exception
    with pytest.raises(InputError, match="is what is trained on; name other data, or a --validate-split"):
        raise invoke(data, "--validate", data, "--out", tmp_path / "run").exception
    (tmp_path / "names.txt").write_text("a\n\nb\n")
    with pytest.raises(InputError, match=r"names\.txt:2 has no name"):
        raise invoke(data, "--out", tmp_path / "run", "--classes", tmp_path / "names.txt").exception
