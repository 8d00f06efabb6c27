"""`mrl migrate`: a stored table or index, cut to fewer dims."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrl.cli.contents import many
from mrl.cli.layouts import Shape
from mrl.cli.progress import bar
from mrl.cli.settings import Chosen, settings
from mrl.errors import InputError
from mrl.options import option
from mrl.vectors import Table
from mrl.vectors.migrating import Dtype

if TYPE_CHECKING:
    from mrl.retrieval import Index


@dataclass(frozen=True)
class Stored:
    """How a new table holds its vectors."""

    dtype: Dtype | None = option(
        None,
        "float16 for half the bytes, or float32. Without it: that of the old table. A row that float16 cannot hold is "
        "refused by number.",
    )


@settings(("A table", Stored, {}), ("An index", Shape, {}))
def migrate(
    where: Annotated[Path, typer.Argument(metavar="TABLE|INDEX", help="The folder of a table or of an index.")],
    dim: Annotated[int, typer.Option(help="How many dims are kept: one that was trained.")],
    out: Annotated[Path, typer.Option(help="The new table's or index's folder; it must not exist yet.")],
    untrained: Annotated[bool, typer.Option("--untrained", help="Allow a dim that was not trained.")] = False,
    *,
    chosen: Chosen,
) -> None:
    """Cut stored vectors to their first dims, without embedding them again; prints the new path.

    The old table or index stays as it is. Of an index deleted rows and engines stay behind, and a map it was built with
    goes on taking vectors of full width. Queries are cut by the same command. A table whose migration was stopped is
    continued by running it again.
    """
    from rich.filesize import decimal

    _check_free(out)
    old = _opened(where)
    given = {name.replace("_", "-") for name in chosen.given}
    if isinstance(old, Table):
        _refuse(given & {each.name for each in fields(Shape)}, f"{where} is a table; an index has these")
        before, after = _table(old, out, dim, untrained, chosen)
    else:
        _refuse(given & {each.name for each in fields(Stored)}, f"{where} is an index; say it with --reference")
        before, after = _index(old, out, dim, untrained, chosen)
    typer.echo(f"{decimal(before)} before, {decimal(after)} now", err=True)
    typer.echo(out)


def _check_free(out: Path) -> None:
    """ExistsError, before anything is read, if something is there but what a killed migration left."""
    from mrl.vectors.migrating import unfinished

    if out.exists() and not unfinished(out):
        from mrl.cli.index import check_free

        check_free(out)


def _opened(where: Path) -> Table | Index:
    """The table or the index. InputError for anything but a folder of one of these."""
    from mrl.disk import Folder
    from mrl.vectors.files import KIND

    if not where.is_dir():
        raise InputError(
            f"{where} is no folder of a table or an index; an array is cut in Python, by mrl.prefix(array, dim)"
        )
    try:
        Folder.open(where, KIND).close()
    except InputError:  # another kind of folder
        from mrl.retrieval import Index

        return Index.open(where)
    return Table.open(where)


def _refuse(options: set[str], why: str) -> None:
    if options:
        raise InputError(f"{', '.join(f'--{name}' for name in sorted(options))}: {why}")


def _table(old: Table, out: Path, dim: int, untrained: bool, chosen: Chosen) -> tuple[int, int]:
    """Cut a table; bytes before and after."""
    from mrl.vectors.migrating import migrate

    dtype: Any = Stored(**chosen.of(Stored)).dtype
    with bar() as told:
        new = migrate(old, out, dim, dtype=dtype, untrained=untrained, progress=told)
    typer.echo(f"{many(new.rows)}, the first {dim} of {old.card.width} dims", err=True)
    return old.bytes, new.bytes


def _index(old: Index, out: Path, dim: int, untrained: bool, chosen: Chosen) -> tuple[int, int]:
    """Cut an index; bytes before and after."""
    from mrl.cli.index import left_behind
    from mrl.retrieval.migrating import narrow_layout
    from mrl.vectors.migrating import narrow_card

    narrow_card(old.card, dim, untrained=untrained)  # refused before the layout is looked at
    layout = Shape(**chosen.of(Shape)).layout(narrow_layout(old.snapshot.layout, dim))
    with bar() as told:
        new = old.migrate(out, dim, layout, untrained=untrained, progress=told)
    said = f"{many(new.rows)}, the first {dim} of {old.card.width} dims, cut at {layout.cuts}"
    if old.snapshot.map is not None:
        said += f"; queries come with all {new.snapshot.raw_card().width} dims: the map {old.snapshot.map} takes these"
    typer.echo(said, err=True)
    for line in left_behind(old, new):
        typer.echo(line, err=True)
    return _bytes(old), _bytes(new)


def _bytes(index: Index) -> int:
    return sum(entry.bytes for entry in index.snapshot.folder.entries.values())
