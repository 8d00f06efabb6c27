"""The command line: one verb, one file. stdout is data, stderr is talk; a refusal is one sentence and exit code 2."""

from __future__ import annotations

import sys

import typer

from mrl.cli.demo import demo
from mrl.cli.embed import embed
from mrl.cli.evaluate import evaluate
from mrl.cli.report import report
from mrl.cli.train import train
from mrl.errors import MrlError

app = typer.Typer(
    help="Nested embeddings: train them, measure every prefix, deploy them. Begin with `mrl demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (demo, train, embed, evaluate, report):
    app.command()(verb)


def main() -> None:
    """Run the command line; what `mrl` refuses is said on stderr without a traceback."""
    try:
        app()
    except MrlError as refusal:
        typer.echo(f"mrl: {refusal}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"mrl: cannot use {error.filename}: {error.strerror}; give another path", err=True)
        sys.exit(2)
    except ModuleNotFoundError as missing:
        extra = {"torch": "train", "PIL": "train", "sklearn": "demo", "scipy": "evaluate"}.get(missing.name or "")
        if extra is None:
            raise
        typer.echo(f"mrl: this needs {missing.name}, which is not installed: pip install 'mrl[{extra}]'", err=True)
        sys.exit(2)
