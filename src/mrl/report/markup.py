"""HTML that cannot forget to escape: text becomes Markup only through `tag`, which escapes it."""

from __future__ import annotations

from html import escape


class Markup(str):
    """HTML that is safe as it is."""


def tag(name: str, *content: str, **attributes: str) -> Markup:
    """`<name attributes>content</name>`; content that is no Markup is escaped, `_` in attribute names becomes `-`."""
    words = [name, *(f'{key.strip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())]
    return Markup(f"<{' '.join(words)}>{join(*content)}</{name}>")


def join(*content: str) -> Markup:
    """All of it in order, what is no Markup escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in content))
