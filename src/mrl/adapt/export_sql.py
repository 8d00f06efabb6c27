"""A linear map as a function of PostgreSQL with pgvector."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mrl.adapt.exporting import ExportSpec, Floats, linear_matrix
from mrl.disk import write
from mrl.errors import InputError
from mrl.maps import AnyMap

WIDEST = 16_000  # dims of pgvector's `vector`
LONGEST = 63  # bytes of a name in PostgreSQL, which cuts longer ones without a word

_FILE = """\
-- The map {turn}, {width} -> {dim} dims, compared by {metric}. Needs pgvector 0.7 or newer.
--
--   select {name}(embedding) from documents;
--   create index on documents using hnsw (({name}(embedding)::vector({dim})) {operators});
--   select * from documents order by {name}(embedding)::vector({dim}) {operator} {name}($1) limit 10;
--
-- A function that is there already is not replaced, for an index may have been made with it; drop it first.

begin;
create extension if not exists vector;

create function "{name}"(vectors vector) returns vector
    language plpgsql immutable strict parallel safe set search_path from current as $mrl$
begin
    return (
        select {images}
        from unnest('{matrix}'::vector[]) with ordinality as axes(axis, number)
    );
end
$mrl$;

comment on function "{name}"(vector) is 'mrl map {turn}, {width} -> {dim} dims, {metric}';
commit;
"""
_IMAGES = "array_agg(0 - (vectors <#> axis) order by number)::vector({dim})"  # <#> is the negative product; 0 − −0 is 0
_OPERATORS = {"cosine": ("vector_cosine_ops", "<=>"), "dot": ("vector_ip_ops", "<#>"), "l2": ("vector_l2_ops", "<->")}


def to_sql(turn: AnyMap, path: Path, spec: ExportSpec) -> Path:
    """Write a file for psql that makes the function `mrl_<name>_<dim>(vector) returns vector`; its path.

    The function gives the first dims of the image, for cosine rescaled to length 1 (a zero vector stays zero). It is
    immutable, with the matrix as a constant inside, so that indexes and generated columns may use it. The file has
    about 13 bytes per number, 0.9 MB at 1,024 x 64; there a row takes 0.3 ms, and a session's first one 20 ms.

    InputError for a residual map, and for widths or names that PostgreSQL does not take.
    """
    dim = spec.cut(turn)
    matrix = linear_matrix(turn, dim, "a function of SQL")
    if turn.width > WIDEST:
        raise InputError(
            f"pgvector has vectors of up to {WIDEST} dims, and {turn} takes {turn.width}; map them outside"
        )
    write(path, _text(turn, spec, matrix).encode())
    return path


def sql_name(turn: AnyMap, dim: int) -> str:
    """The function's name, such as `mrl_pca_64`. A map's name has small letters, digits and -, of which - becomes _."""
    name = f"mrl_{turn.name.replace('-', '_')}_{dim}"
    if len(name) > LONGEST:
        raise InputError(f"PostgreSQL has names of up to {LONGEST} letters, got {name}; give the map a shorter name")
    return name


def _text(turn: AnyMap, spec: ExportSpec, matrix: Floats) -> str:
    dim = matrix.shape[1]
    images = _IMAGES.format(dim=dim)
    operators, operator = _OPERATORS[spec.metric]
    return _FILE.format(
        turn=turn,
        width=turn.width,
        dim=dim,
        metric=spec.metric,
        name=sql_name(turn, dim),
        operators=operators,
        operator=operator,
        images=f"l2_normalize({images})" if spec.rescaled else images,
        matrix=_array(matrix),
    )


def _array(matrix: Floats) -> str:
    """The columns as an array of vectors, with as few digits as bring every float32 back."""
    rows = (",".join(np.format_float_scientific(x, trim="-", exp_digits=1) for x in column) for column in matrix.T)
    return "{" + ",\n".join(f'"[{row}]"' for row in rows) + "}"
