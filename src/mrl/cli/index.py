"""`mrl index`: indexes built, changed, checked and copied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.columns import of_kind, read_ids, typed
from mrl.cli.contents import lines, many
from mrl.cli.layouts import Engines, Shape, check_engines, engine_name
from mrl.cli.progress import bar
from mrl.cli.settings import Chosen, settings
from mrl.cli.vectors import VECTORS, Beside, more_rows, rows, watched
from mrl.errors import DamagedError, InputError
from mrl.vectors import Described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mrl.card import Card
    from mrl.cli.columns import Ids
    from mrl.maps import Rotation
    from mrl.retrieval import Index, Layout
    from mrl.retrieval.engine import Engine
    from mrl.retrieval.engines import EngineAbout

index = typer.Typer(help="Build an index of vectors, change it, look into it.", no_args_is_help=True)

Where = Annotated[Path, typer.Argument(metavar="INDEX", help="The index's folder.")]
New = Annotated[Path, typer.Option(help="The new index's folder; it must not exist yet.")]
Named = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids; after -- if one begins with a minus.")]


@index.command("build")
@settings(
    ("Layout", Shape, {}), ("Engines", Engines, {}), ("Beside the vectors", Beside, {}), ("A file", Described, {})
)
def build(
    vectors: Annotated[Path, typer.Argument(help=f"{VECTORS}.")],
    out: New,
    turn: Annotated[
        str | None,
        typer.Option(
            "--map", help="Turn the vectors first: pca, fitted on a sample of them, or a map's file or folder."
        ),
    ] = None,
    *,
    chosen: Chosen,
) -> None:
    """Build an index; prints its path. Vectors are read in a stream, whatever their number."""
    from mrl.retrieval import BuildSpec, Index

    check_free(out)
    asked = Engines(**chosen.of(Engines)).asked
    source = rows(vectors, Described(**chosen.of(Described)), Beside(**chosen.of(Beside)))
    layout = Shape(**chosen.of(Shape)).layout(_standard(source.card))
    check_engines(asked, layout.cuts, source.count)
    spec = BuildSpec(layout, _map(turn))
    with bar() as told:
        made = Index.build(out, source, spec, told)
        for dim, engine in asked:
            made.add_engine(dim, engine, progress=told)
    typer.echo(f"{many(made.rows)}, cut at {made.snapshot.layout.cuts}", err=True)
    typer.echo(made.path)


def check_free(out: Path) -> None:
    """ExistsError, before anything is read, if something is there but what a killed build left."""
    from mrl.disk import Folder, absent
    from mrl.retrieval.blocks import OWNED

    if Folder.committed(out) or not Folder.begun(out, OWNED):
        absent(out)


def _standard(card: Card) -> Layout:
    from mrl.retrieval.building import default_layout

    return default_layout(card)


def _map(turn: str | None) -> Rotation | str | None:
    if turn is None or turn == "pca":
        return turn
    from mrl.maps import Rotation

    path = Path(turn)
    if not path.is_dir():
        return Rotation.load(path)
    from mrl.adapt import Map

    found = Map.load(path).documents
    if not isinstance(found, Rotation):
        raise InputError(
            f"an index turns vectors by a rotation, which keeps every full-width score, and {path} holds {found}; map "
            "the vectors first, with mrl adapt apply, and build the index of these"
        )
    return found


@index.command("add")
@settings(("Beside the vectors", Beside, {}))
def add(
    where: Where,
    vectors: Annotated[Path, typer.Argument(help=f"{VECTORS}.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put rows in the place of those with the same ids.")
    ] = False,
    *,
    chosen: Chosen,
) -> None:
    """Add rows, all of them or, if one cannot be stored, none; prints the index's path."""
    from mrl.retrieval import Index

    opened = Index.open(where)
    source = more_rows(vectors, opened, Beside(**chosen.of(Beside)))
    before = opened.rows
    with bar() as told:
        count = (opened.upsert if replace else opened.add)(watched(source, told))
    replaced = f", {before + count - opened.rows:,} in place of others" if replace else ""
    typer.echo(f"added {many(count)}{replaced}; {where} has {opened.rows:,}", err=True)
    typer.echo(where)


@index.command("delete")
def delete(
    where: Where,
    ids: Named = None,
    file: Annotated[
        Path | None,
        typer.Option("--ids", help="More ids: an .npy, a text with one a line, or a table's file with a column id."),
    ] = None,
) -> None:
    """Delete rows by id; ids that are not there are counted. Their bytes leave the disk with `compact`."""
    from mrl.retrieval import Index

    opened = Index.open(where)
    asked = [_ids(opened, typed(ids))] if ids else []
    asked += [_ids(opened, read_ids(file))] if file is not None else []
    if not asked:
        raise InputError("no ids were given; name some, or a file of them with --ids")
    counts = [opened.delete(some) for some in asked]
    missing = sum(map(len, asked)) - sum(counts)
    gone = f"{many(missing, 'id')} {'was' if missing == 1 else 'were'} not there"
    typer.echo(f"deleted {many(sum(counts))}, {gone}; {where} has {many(opened.rows)}", err=True)
    typer.echo(where)


def _ids(opened: Index, ids: Ids) -> Ids:
    return of_kind(ids, opened.snapshot.contents.strings, opened.path)


@index.command("compact")
@settings(("Engines", Engines, {}))
def compact(where: Where, *, chosen: Chosen) -> None:
    """Take deleted rows off the disk, join small blocks, build engines anew, and new ones; prints the path."""
    from mrl.retrieval import Index

    asked, opened = Engines(**chosen.of(Engines)).asked, Index.open(where)
    check_engines(asked, opened.snapshot.layout.cuts, opened.rows)
    with bar() as told:
        changed = opened.compact(told)
        new = [each for each in asked if not _complete(opened, *each)]
        for dim, engine in new:
            opened.add_engine(dim, engine, progress=told)
    built = f", with new engines {', '.join(engine_name(*each) for each in new)}" if new else ""
    typer.echo(f"{where} {'was compacted' if changed else 'was compact already'}, {many(opened.rows)}{built}", err=True)
    typer.echo(where)


def _complete(opened: Index, dim: int, engine: Engine) -> bool:
    """Whether there is such an engine, of all rows."""
    contents = opened.snapshot.contents
    return any(about.fits(dim, engine) and len(about.blocks) == len(contents.blocks) for about in contents.engines)


@index.command("verify")
def verify(where: Where) -> None:
    """Compare every file with its checksum. Exit code 1, and a line on stdout for each file, if some are damaged."""
    from rich.console import Console

    from mrl.retrieval import Index

    try:
        opened = Index.open(where)
        with Console(stderr=True).status("reading every file"):
            damaged = opened.verify()
    except DamagedError as error:
        damaged = [str(error)]
    for line in damaged:
        typer.echo(line)
    if damaged:
        raise typer.Exit(1)
    typer.echo(f"{where}: all {len(opened.snapshot.folder.entries):,} files are as they were committed", err=True)


@index.command("info")
def info(
    where: Where, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False
) -> None:
    """Print what is in an index: rows, cuts, encodings, map, engines, plan, payload, and the bytes of each."""
    import json

    from mrl.cli.contents import contents
    from mrl.retrieval import Index

    found = contents(Index.open(where).snapshot)
    typer.echo(json.dumps(found) if as_json else "\n".join(lines(found)))


@index.command("get")
def get(
    where: Where,
    ids: Named = None,
    vectors: Annotated[bool, typer.Option(help="Print the vectors too, as they were given.")] = True,
) -> None:
    """Print rows by id, one JSON line each: id, columns of the payload, vector."""
    import json

    from mrl.retrieval import Index

    opened = Index.open(where)
    found = opened.get(_ids(opened, typed(ids or [])))
    payload = [{}] * len(found.ids) if found.payload is None else found.payload.to_pylist()
    for name, columns, vector in zip(found.ids.tolist(), payload, found.vectors, strict=True):
        line = {"id": name, **columns, **({"vector": vector.tolist()} if vectors else {})}
        typer.echo(json.dumps(line, default=str))


@index.command("relayout")
@settings(("Layout", Shape, {}))
def relayout(where: Where, out: New, *, chosen: Chosen) -> None:
    """Copy an index with other cuts or encodings; prints the copy's path. Engines are not copied."""
    from mrl.retrieval import BuildSpec, Index

    opened = Index.open(where)
    spec = BuildSpec(Shape(**chosen.of(Shape)).layout(opened.snapshot.layout))
    with bar() as told:
        made = opened.relayout(out, spec, told)
    typer.echo(f"{many(made.rows)}, cut at {made.snapshot.layout.cuts}", err=True)
    for line in left_behind(opened, made):
        typer.echo(line, err=True)
    typer.echo(made.path)


def left_behind(opened: Index, made: Index) -> Iterator[str]:
    """What a copy in another layout does not have, and how it comes to have it."""
    for about in opened.snapshot.contents.engines:
        yield _anew(about, made)
    if opened.snapshot.contents.planned:
        yield f"what was planned was not copied, nor is anything promised of the copy; plan it: mrl plan {made.path}"


def _anew(about: EngineAbout, made: Index) -> str:
    """How an engine that was not copied is built in the copy, if it can be."""
    name = engine_name(about.dim, about.kind)
    if about.map:
        return f"the engine {name} after its own map {about.map} was not copied; mrl plan {made.path} builds such ones"
    if about.dim not in made.snapshot.layout.cuts.dims:
        return f"the engine {name} was not copied; {made.path} has no cut there"
    return f"the engine {name} was not copied; build it: mrl index compact {made.path} --engine {name}"


@index.command("copy")
def copy(where: Where, out: New) -> None:
    """Copy the newest state of an index, every file compared with its checksum; prints the copy's path."""
    from rich.console import Console

    from mrl.retrieval import Index

    with Console(stderr=True).status("copying"):
        made = Index.open(where).copy(out)
    typer.echo(made.path)
