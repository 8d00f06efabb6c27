"""What the README.md of a model says once a map was appended."""

from __future__ import annotations

import re

from mrl.adapt.exporting import ExportSpec
from mrl.maps import AnyMap, Linear, Residual

_FRONT = re.compile(r"\A---\n.*?^---\n", re.DOTALL | re.MULTILINE)
_NEW = "---\nlibrary_name: sentence-transformers\npipeline_tag: sentence-similarity\n---\n"


def with_map(text: str, name: str, turn: AnyMap, spec: ExportSpec) -> str:
    """The text with a chapter about the map before everything that is read. name: of the folder."""
    front = _FRONT.match(text)
    head, rest = (front[0], text[front.end() :]) if front else (_NEW if not text else "", text)
    return "\n".join([head, _chapter(name, turn, spec), rest.lstrip("\n")]).lstrip("\n")


def _chapter(name: str, turn: AnyMap, spec: ExportSpec) -> str:
    dim, dims = spec.cut(turn), spec.dims(turn)
    at = dims[len(dims) // 2] if dims else dim
    rescaled = ", normalize_embeddings=True" if spec.rescaled else ""
    return f"""\
## A map was appended

The vectors of this model are those of the model below, mapped so that their first coordinates are embeddings too.
Vectors made without the map, or with another one, cannot be compared with these.

- Map: `{turn}`, {_form(turn)}
- Width: {turn.width} dims before, {dim} after
- Fitted dims: {", ".join(map(str, dims)) or "not said"}
- Compared by {spec.metric}{", so a prefix is rescaled to length 1 after it was cut" if spec.rescaled else ""}

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{name}", truncate_dim={at})
vectors = model.encode(["a text", "another"]{rescaled})
```
"""


def _form(turn: AnyMap) -> str:
    if isinstance(turn, Residual):
        return "a linear map and one hidden layer beside it"
    return "a linear map" if isinstance(turn, Linear) else "a rotation: scores at the full width stay what they were"
