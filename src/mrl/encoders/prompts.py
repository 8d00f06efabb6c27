"""Prompts: what is put before a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mrl.errors import InputError

_ALIKE = {"query": ("query",), "document": ("document", "passage", "corpus")}  # as sentence-transformers finds them


@dataclass(frozen=True)
class Prompts:
    """What is put before a text. texts: by name. default: the name of the one for texts of which nothing is said.
    pooled: whether its tokens take part in the pooling, or are only read."""

    texts: Mapping[str, str]
    default: str | None = None
    pooled: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", dict(self.texts))
        if self.default is not None and self.default not in self.texts:
            raise InputError(f"the default prompt {self.default!r} is none of {self._known}; name one of these")

    @property
    def _known(self) -> str:
        return ", ".join(sorted({*self.texts, *_ALIKE}))

    def named(self, name: str | None) -> str:
        """The text of a prompt. A model without its own for `query` or `document` puts nothing before these."""
        if name is None:
            return "" if self.default is None else self.texts[self.default]
        for alike in _ALIKE.get(name, (name,)):
            if alike in self.texts:
                return self.texts[alike]
        if name not in _ALIKE:
            raise InputError(f"there is no prompt named {name!r}; known are {self._known}")
        return ""


NO_PROMPTS = Prompts({})
