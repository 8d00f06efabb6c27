"""`mrl classify evaluate`: what a cascade keeps of the full width on labelled rows, and at what cost."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.classified import NAMES, Asked, Turning, asked, loaded
from mrl.cli.classify_groups import slices_of, superclasses_of
from mrl.cli.classify_paths import check_apart, check_new, check_page, check_there
from mrl.cli.classify_stages import stages
from mrl.cli.contents import many
from mrl.cli.settings import Chosen, settings
from mrl.cli.vectors import VECTORS, Reading, said
from mrl.errors import InputError
from mrl.options import option

if TYPE_CHECKING:
    from rich.table import Table

    from mrl.classify import Cascade
    from mrl.classify.measured import Measured
    from mrl.classify.slices import Groups as Slices
    from mrl.evaluation import Row

LEGEND = "of all: if all stopped here   off by: the confidence then   ~ not trained"
MOST = 5  # groups of a column that are named at each end


@dataclass(frozen=True)
class Groups:
    """Which groups are looked at apart."""

    slices: Path | None = option(
        None, "Columns that name groups of the rows: .csv, .parquet or .jsonl, in their order or by a column id."
    )
    superclasses: Path | None = option(
        None, "The superclass of each class: .csv, .parquet or .jsonl with the columns class and superclass."
    )

    def check(self) -> None:
        """InputError, before anything is read, for files that are not there."""
        for path, name in ((self.slices, "--slices"), (self.superclasses, "--superclasses")):
            if path is not None:
                check_there(path, name, "a .csv, .parquet or .jsonl")


@dataclass(frozen=True)
class Written:
    """What is written."""

    report: Path | None = option(
        None, "Draw what was measured here: one .html file, or a new folder with a page and its figures."
    )
    beside: Path | None = option(
        None, "Rows that `mrl evaluate --out` wrote, of other models such as FF ones, for the page's figure."
    )
    out: Path | None = option(None, "Write the accuracy of each level as rows here, .jsonl or .parquet, not to stdout.")

    def check(self, *, as_json: bool) -> None:
        """Raise, before anything is read, for what cannot be written."""
        from mrl.evaluation.rows import check_ending

        if self.beside is not None and self.report is None:
            raise InputError(f"--beside {self.beside} is for the page, and there is none; give --report page.html")
        if self.out is not None and as_json:
            raise InputError("--json prints everything, and --out writes rows; give one of them")
        check_apart(("--report", self.report), ("--out", self.out))
        if self.out is not None:
            check_ending(self.out)
            check_new(self.out, "--out")
        if self.report is not None:
            check_page(self.report)

    def rivals(self) -> list[Row]:
        """The rows beside, if there are any."""
        if self.beside is None:
            return []
        from mrl.evaluation.rows import read_rows

        check_there(self.beside, "--beside", "a file that mrl evaluate --out wrote")
        return read_rows(self.beside)


@settings(
    ("Groups", Groups, {}),
    ("Written", Written, {}),
    ("Vectors", Turning, NAMES),
    ("Beside the vectors", Reading, {}),
)
def evaluate(
    where: Annotated[Path, typer.Argument(metavar="CASCADE", help="The folder that `mrl classify fit` made.")],
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help=f"Labelled rows that the cascade has not seen. {VECTORS}.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything that was measured as one JSON object.")
    ] = False,
    *,
    chosen: Chosen,
) -> None:
    """Measure a cascade on labelled rows: accuracy against its full width, dims used and read, and who stops where.

    Rows that it was fitted on are left out. Prints a JSON line with the accuracy of each level.
    """
    from rich.console import Console

    groups, written = Groups(**chosen.of(Groups)), Written(**chosen.of(Written))
    groups.check()
    written.check(as_json=as_json)
    beside, turning, reading = written.rivals(), Turning(**chosen.of(Turning, NAMES)), Reading(**chosen.of(Reading))
    cascade, by = loaded(where), turning.map()
    with stages(f"reading {rows}") as told:
        new = asked(cascade, rows, reading, by)
        told(f"measuring {many(len(new.held))}")
        found = _measured(cascade, new, groups)
    for note in found.notes:
        said(note)
    Console(stderr=True).print(table(found))
    for line in sentences(found, cascade, recheck_command(where, rows, reading.labels, turning.by)):
        said(line)
    if written.report is not None:
        from mrl.report.cascade_writer import write_cascade

        at = {"where": str(where), "by": "" if turning.by is None else str(turning.by)}
        said(str(write_cascade(found, cascade, written.report, beside, **at)[-1]))
    _write(found, written.out, as_json=as_json)


def _measured(cascade: Cascade, new: Asked, groups: Groups) -> Measured:
    from mrl.classify.measured import measure

    slices = None if groups.slices is None else slices_of(groups.slices, new)
    kinds = None if groups.superclasses is None else superclasses_of(groups.superclasses, cascade.classifier)
    return measure(cascade, new.held, slices=slices, superclasses=kinds)


def _write(found: Measured, out: Path | None, *, as_json: bool) -> None:
    """The data: to stdout, or rows to a file."""
    from mrl.evaluation import write_rows

    if out is not None:
        write_rows(out, found.rows())
        typer.echo(out)
    elif as_json:
        typer.echo(json.dumps(found.to_json()))
    else:
        typer.echo("\n".join(json.dumps(asdict(row)) for row in found.rows()))


def recheck_command(where: Path, rows: Path, labels: Path | None, by: Path | None) -> str:
    """What asks these rows whether the promise is broken."""
    words = ["mrl", "recheck", str(where), str(rows)]
    words += [] if labels is None else ["--labels", str(labels)]
    words += [] if by is None else ["--map", str(by)]
    return shlex.join(words)


def sentences(found: Measured, cascade: Cascade, command: str) -> Iterator[str]:
    """What matters, for the terminal. command: of the re-check of these rows."""
    from mrl.classify.sentences import BETTING, beyond

    cost, oracle = found.cost, found.oracle
    yield f"{found.sentence[:-1]} ({BETTING})."
    if cascade.promise is not None:
        yield from beyond(found.lost, cascade.promise.tolerance, f"{command} tests it")
    more = "; reading the full width alone would cost less" if cost.read > cost.width else ""
    yield f"dims of {cost.width:,}: {cost.last:,.1f} by the last one used, {cost.read:,.1f} by all that were read{more}"
    yield (
        f"an oracle that knows the narrowest right level is right in {100 * oracle.accuracy:.2f} % at "
        f"{oracle.last:,.1f} dims, with the full width for rows that no level has right"
    )
    if found.superclasses is not None:
        yield f"the superclass is right in {100 * found.superclasses.cascade.mean:.2f} %"
    for groups in found.slices:
        yield _of_groups(groups)


def _of_groups(groups: Slices) -> str:
    """Those that stop first, and last."""
    order = groups.order().tolist()
    shown = order if len(order) <= 2 * MOST else [*order[:MOST], *order[-MOST:]]
    each = (f"{groups.names[n]} {groups.last[n]:,.1f} dims, {percent(groups.accuracy[n])}" for n in shown)
    rest = "" if len(shown) == len(order) else f" (and {len(order) - len(shown)} between)"
    return f"{groups.column}: {'; '.join(each)}{rest}"


def table(found: Measured) -> Table:
    """A line for each level, to be printed with Rich."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    legend = Text(LEGEND, no_wrap=True, overflow="ignore")
    made = Table(box=SIMPLE_HEAD, caption=legend, caption_justify="left", header_style="", pad_edge=False)
    made.collapse_padding = True
    for name in ("dim", "read", "stop here", "right of these", "of all", "95 %", "off by"):
        made.add_column(name, justify="right", no_wrap=True)
    for level in found.levels:
        mark, own = "" if level.trained else "~", level.among
        accuracy = level.accuracy
        made.add_row(
            f"{mark}{level.dim}",
            f"{level.read:,}",
            percent(level.stopped),
            "" if own is None else percent(own.mean),
            percent(accuracy.mean),
            f"{100 * accuracy.low:.1f} … {percent(accuracy.high)}",
            f"{level.reliability.error:.3f}",
        )
    return made


def percent(share: float) -> str:
    """`81.2 %`."""
    return f"{100 * share:.1f} %"
