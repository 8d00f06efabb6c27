"""The README.md of an exported encoder: what it is, how it is read at each dim, and what was measured there."""

from __future__ import annotations

from collections.abc import Sequence

from mrl.encoders.text import TextEncoder
from mrl.evaluation.rows import Row

_HEADER = """\
---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- sentence-similarity
- feature-extraction
- matryoshka
---
"""


def model_card(encoder: TextEncoder, name: str, rows: Sequence[Row] = ()) -> str:
    """The text of the file. name: of the folder. rows: one line of the table per dim, one column per measure."""
    parts = [_HEADER, f"# {encoder.card.model}\n", _about(encoder), "## How it is read\n", _reading(encoder, name)]
    if rows:
        parts += ["## Measured\n", _table(rows)]
    return "\n".join(parts)


def _about(encoder: TextEncoder) -> str:
    card = encoder.card
    compared = {
        "cosine": "compared by cosine, so a vector is rescaled to length 1 after it was cut",
        "dot": "compared by their dot product, and not rescaled",
        "l2": "compared by their Euclidean distance, and not rescaled",
    }[card.metric]
    lines = [
        "A text encoder whose vectors are nested (Matryoshka Representation Learning, arXiv 2205.13147): their first",
        "coordinates are embeddings too.\n",
        f"- Width: {card.width} dims",
        f"- Trained dims: {', '.join(map(str, card.nesting.dims))}",
        f"- Prefixes are {compared}",
        f"- Texts of up to {encoder.max_length} tokens; longer ones are cut",
        *(f"- Prompt `{name}`: {text!r}" for name, text in encoder.prompts.items() if text),
        f"- Fingerprint: `{card.fingerprint}`\n",
    ]
    return "\n".join(lines)


def _reading(encoder: TextEncoder, name: str) -> str:
    dims = encoder.card.nesting.dims
    dim = dims[len(dims) // 2]
    rescaled = ", normalize_embeddings=True" if encoder.card.metric == "cosine" else ""
    why = "; it cuts after the last module, so the prefix is rescaled again" if rescaled else ""
    return f"""\
At any of the trained dims, here {dim}, with sentence-transformers{why}:

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{name}", truncate_dim={dim})
vectors = model.encode(["a text", "another"]{rescaled})
```

With mrl, which gives the same vectors:

```python
from mrl.encoders import load

encoder = load("{name}")
vectors = encoder.encode(["a text", "another"], {dim})
```
"""


def _table(rows: Sequence[Row]) -> str:
    """A line per dim, a column per measure, and of several runs or methods each its own; with 95 % intervals."""
    columns = list(dict.fromkeys((row.run, row.measure, row.method) for row in rows))
    plain = len({measure for _, measure, _ in columns}) == len(columns)
    heads = [measure if plain else f"{run}: {measure} ({method})" for run, measure, method in columns]
    found = {(row.dim, (row.run, row.measure, row.method)): row for row in rows}
    trained = {row.dim: row.trained for row in rows}
    lines = [["dim", *heads], ["---:"] * (len(heads) + 1)]
    for dim in sorted(trained):
        cells = [_cell(found.get((dim, column))) for column in columns]
        lines.append([f"{dim}" if trained[dim] else f"{dim} (not trained)", *cells])
    head = "Means over the queries, with their 95 % intervals.\n"
    return "\n".join([head, *("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)]) + "\n"


def _cell(row: Row | None) -> str:
    return "" if row is None else f"{row.value:.4f} ({row.low:.4f} to {row.high:.4f})"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
