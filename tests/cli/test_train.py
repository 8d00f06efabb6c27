import os
import subprocess
import sys

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mrl.cli.train import parse_size, parse_weights, train
from mrl.errors import InputError, NestingError
from mrl.training import Run
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
    assert parse_weights("2,1, 0.5") == (2.0, 1.0, 0.5)
    assert parse_weights(None) is None
    with pytest.raises(InputError, match="cannot read level weights from '2,x'; write one number per dim"):
        parse_weights("2,x")


@pytest.mark.parametrize("module", ["mrl.cli.train", "mrl.cli.embed"])
def test_torch_is_imported_only_when_a_verb_runs(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def test_sizes_and_widths_out_of_reach_are_refused():
    for text in ("0x0", "8x0", "3000x3000"):
        with pytest.raises(InputError, match="4 to 512 pixels a side"):
            parse_size(text)
    with pytest.raises(InputError, match="width must be"):
        raise invoke("absent", "--out", "run", "--dims", "8..100000000000").exception
