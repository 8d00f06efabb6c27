"""`mrl classify`: narrow heads first, stop when sure; one verb, one file."""

from __future__ import annotations

import typer

from mrl.cli.classify_evaluate import evaluate
from mrl.cli.classify_fit import fit
from mrl.cli.classify_predict import predict

classify = typer.Typer(help="Classify by narrow prefixes first, and stop when that is sure.", no_args_is_help=True)
for verb in (fit, predict, evaluate):
    classify.command()(verb)
