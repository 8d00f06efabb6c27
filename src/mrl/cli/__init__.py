"""The command line: one verb, one file. stdout is data, stderr is talk; a refusal is one sentence and exit code 2."""

from __future__ import annotations

import sys

import typer

from mrl.cli.adapt import adapt
from mrl.cli.choose import choose
from mrl.cli.classify import classify
from mrl.cli.demo import demo
from mrl.cli.embed import embed
from mrl.cli.evaluate import evaluate
from mrl.cli.export import export
from mrl.cli.index import index
from mrl.cli.inspect import inspect
from mrl.cli.migrate import migrate
from mrl.cli.plan import plan
from mrl.cli.recheck import recheck
from mrl.cli.report import report
from mrl.cli.search import search
from mrl.cli.train import train
from mrl.errors import MrlError

EXTRAS = {  # which one brings a package
    **dict.fromkeys(("torch", "PIL"), "train"),
    **dict.fromkeys(("numba", "llvmlite", "pyarrow", "faiss", "threadpoolctl"), "search"),
    "h5py": "hdf5",
    "onnx": "onnx",
    "sklearn": "demo",
    "scipy": "evaluate",
}

INTERRUPTED = 130  # how a shell says Ctrl-C

app = typer.Typer(
    help="Nested embeddings: train them, measure every prefix, deploy them. Begin with `mrl demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (demo, train, embed, evaluate, report, inspect, choose, plan, search, recheck, migrate, export):
    app.command()(verb)
app.add_typer(adapt, name="adapt")
app.add_typer(index, name="index")
app.add_typer(classify, name="classify")


def main() -> None:
    """Run the command line; what `mrl` refuses is said on stderr without a traceback."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo("mrl: stopped", err=True)
        raise
    except MrlError as refusal:
        typer.echo(f"mrl: {refusal}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"mrl: cannot use {error.filename}: {error.strerror}; give another path", err=True)
        sys.exit(2)
    except ModuleNotFoundError as missing:
        extra = EXTRAS.get((missing.name or "").split(".")[0])
        if extra is None:
            raise
        typer.echo(f"mrl: this needs {missing.name}, which is not installed: pip install 'mrl[{extra}]'", err=True)
        sys.exit(2)
