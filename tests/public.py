"""Where public data lie that some tests read."""

import os
from pathlib import Path

import pytest


def data(name, file):
    """A file of a data set: in $MRL_DATA, or in shared/data beside the repository."""
    path = Path(os.environ.get("MRL_DATA") or Path(__file__).parents[2] / "shared" / "data") / name / file
    if not path.exists():
        pytest.skip(f"{path} is missing; set MRL_DATA to the folder that holds {name}")
    return path
