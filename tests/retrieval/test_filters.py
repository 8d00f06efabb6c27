import doctest
import operator
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrl.retrieval.filters
from mrl.errors import InputError
from mrl.retrieval.filters import Compare, IsNull, Joined, Not, mask, parse

SIGNS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
TABLE = pa.table(
    {"price": [5, 20, None, 40], "brand": ["a", "b", "c", None], "sold": [True, False, None, True],
     "list price": [1.5, None, 3.0, float("nan")], "id": [7, 8, 9, 10]}
)  # fmt: skip


def row_by_row(node, row):
    """The slow twin: one row, a dict, in plain Python."""
    match node:
        case Joined("and", parts):
            return all(row_by_row(part, row) for part in parts)
        case Joined("or", parts):
            return any(row_by_row(part, row) for part in parts)
        case Not(part):
            return not row_by_row(part, row)
        case IsNull(column):
            return row[column] is None
        case Compare(column, "in", values):
            return row[column] is not None and row[column] in values
        case Compare(column, sign, value):
            return row[column] is not None and SIGNS[sign](row[column], value)


# ------------------------------------------------------------------------------------------------- the law

whole = st.integers(-(2**53), 2**53) | st.integers(-3, 3)
real = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.0, 1e300, float("inf")])
words = st.sampled_from(["", "a", "b", "é", "it's", 'say "so"', "a\\b", "a and b", "\n"])
KINDS = {
    "whole": (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), whole | real),
    "small": (pa.int8(), st.integers(-128, 127), whole | real),
    "real": (pa.float64(), real | st.just(float("nan")), whole | real),
    "single": (pa.float32(), st.floats(width=32) | st.integers(-3, 3).map(float), whole | real),
    "word": (pa.string(), words, words),
    "large word": (pa.large_string(), words, words),
    "coded": (pa.dictionary(pa.int32(), pa.string()), words, words),
    "flag": (pa.bool_(), st.booleans(), st.booleans()),
    "nothing": (pa.null(), st.none(), whole | real | words | st.booleans()),
}


def written(value):
    if isinstance(value, bool):
        return str(value).lower()
    return "1e999" if value == float("inf") else repr(value)


def named(column):
    return f'[["{column}"]]' if " " in column else column


@st.composite
def comparisons(draw):
    column = draw(st.sampled_from(sorted(KINDS)))
    values = KINDS[column][2]
    sign, name = draw(st.sampled_from([*SIGNS, "in", "not in", "is", "turned", "chain", "alone"])), named(column)
    if sign in ("in", "not in"):
        listed = draw(st.lists(values if column != "nothing" else whole, max_size=4))
        return f"{name} {sign} [{', '.join(map(written, listed))}]"
    if sign == "is":
        return f"{name} {draw(st.sampled_from(['is null', 'is not null', 'is None']))}"
    if sign == "alone":
        return draw(st.sampled_from(["flag", "not flag"]))
    value, other = written(draw(values)), written(draw(values))
    return {"turned": f"{value} <= {name}", "chain": f"{value} < {name} <= {other}"}.get(sign, f"{name} {sign} {value}")


filters = st.recursive(
    comparisons(),
    lambda inner: st.builds("({} and {})".format, inner, inner) | st.builds("({} or {})".format, inner, inner)
    | st.builds("not ({})".format, inner),
    max_leaves=5,
)  # fmt: skip


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 8))
    columns = {}
    for name, (kind, values, _) in KINDS.items():
        listed = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        plain = pa.array(listed, kind.value_type if isinstance(kind, pa.DictionaryType) else kind)
        columns[name] = plain.dictionary_encode() if isinstance(kind, pa.DictionaryType) else plain
    table = pa.table(columns)
    cut = draw(st.integers(0, rows))
    return pa.concat_tables([table[:cut], table[cut:]])


@given(tables(), filters)
def test_a_mask_equals_the_row_by_row_evaluation(table, text):
    found = parse(text)
    mask = found.mask(table)
    assert (mask.dtype, mask.shape) == (bool, (table.num_rows,))
    assert mask.tolist() == [row_by_row(found.tree, row) for row in table.to_pylist()]


# ------------------------------------------------------------------------------------------------- the language


@pytest.mark.parametrize(
    ("text", "rows"),
    [("price < 20", [0]), ("price <= 20", [0, 1]), ("20 < price", [3]), ("price != 20", [0, 3]), ("price == 20.0", [1]),
     ("5 <= price < 40", [0, 1]), ("price in [5, 40]", [0, 3]), ("price not in (5, 40)", [1]), ("price in []", []),
     ("price is null", [2]), ("price is not null", [0, 1, 3]), ("price is None", [2]), ("not price < 20", [1, 2, 3]),
     ("brand == 'a' or brand == \"b\"", [0, 1]), ("brand in ['a', 'c'] and not sold", [2]), ("sold", [0, 3]),
     ("sold == false", [1]), ("sold == True", [0, 3]), ('[["list price"]] > 1', [0, 2]), ("id in [7, 10]", [0, 3]),
     ('[["list price"]] != 3', [0, 3]), ('[["list price"]] is null', [1]), ("price > -1", [0, 1, 3]),
     ("  price\n> 20  ", [3]), ("(brand == 'é' or\n brand == 'b') and price > 1", [1])],
)  # fmt: skip
def test_which_rows_pass(text, rows):
    assert np.flatnonzero(mask(text, TABLE)).tolist() == rows
    assert str(parse(text).text) == text


def test_what_is_understood():
    assert parse("3 < x").tree == parse("x > 3").tree == Compare("x", ">", 3)
    assert parse("1 < x <= 5").tree == Joined("and", (Compare("x", ">", 1), Compare("x", "<=", 5)))
    assert parse("x").tree == parse("x == true").tree == parse('[["x"]]').tree == Compare("x", "==", True)
    assert parse("x not in [1]").tree == Joined("and", (Not(IsNull("x")), Not(Compare("x", "in", (1,)))))


def test_the_columns_are_told():
    assert parse('b > 1 and not (id in [3] or [["a b"]] is null) and b < 5').columns == ("b", "id", "a b")


def test_integers_are_compared_exactly():
    table = pa.table({"n": [2**53, 2**53 + 1, 2**63 - 1, -(2**63)]})
    assert mask(f"n == {2**53 + 1}", table).tolist() == [False, True, False, False]
    assert mask(f"n > {float(2**53)}", table).tolist() == [False, True, True, False]
    assert mask(f"n in [{2**53 + 1}, -{2**63}, 0.5]", table).tolist() == [False, True, False, True]
    assert mask("n < 0.5", table).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("expression", "rows"),
    [(pc.field("price") > 10, [1, 3]), (pc.field("brand").isin(["a"]), [0]), (pc.field("sold"), [0, 3]),
     (~(pc.field("price") > 10), [0]), (pc.scalar(True), [0, 1, 2, 3])],
)  # fmt: skip
def test_an_expression_of_pyarrow_will_do(expression, rows):
    assert np.flatnonzero(mask(expression, TABLE)).tolist() == rows
    assert mask(expression, TABLE[:0]).tolist() == []


def test_rows_stay_in_their_order_in_many_chunks():
    table = pa.concat_tables([pa.table({"n": np.arange(start, start + 1000)}) for start in range(0, 200_000, 1000)])
    odd = np.arange(200_000) > 123_456
    assert (mask(pc.field("n") > 123_456, table) == odd).all()
    assert (mask("n > 123456", table) == odd).all()


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_filter_is_refused(text):
    with pytest.raises(
        InputError, match="the filter is empty; write a condition such as price < 20, or leave the filt"
    ):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("price <", "at character 8"), ("price = 3", "at character 7, '= 3': invalid syntax"),
     ("a > 1 AND b < 2", "at character 7, 'AND b < 2'"),
     ("brand == 'é' and f(x)", "at character 18, 'f(x)': a column"), ("(a > 1", "was never closed"),
     ("a > 1) or (b > 2", "unmatched ')'"),
     ("a + 1 > 2", "at character 1, 'a + 1 > 2': a column is compared with a number"),
     ("a.b == 1", "at character 1, 'a.b == 1': a column is compared"),
     ("a > b", "at character 5, 'b': a column is compared with a number, a string in quotes, true or false"),
     ("1 < 2", "at character 5, '2': a column belongs here"), ("3", "at character 1, '3': a column belongs here"),
     ("a in 3", "after `in` comes a list such as [1, 2]"), ("3 in [a]", "a column belongs here"),
     ("a in [b]", "at character 7, 'b]': a column is compared"),
     ("a in [null]", "null equals nothing: ask by `is null`"), ("a == null", "null equals nothing"),
     ("a != None", "null equals nothing"), ("a is 3", "`is` asks only for null"),
     ("a == 9223372036854775808", "a whole number has at most 64 bits"), ("a == 1j", "is compared with a number"),
     ("a == b'x'", "is compared with a number"), ("a == f'{x}'", "is compared with a number"),
     ("a == ...", "is compared with a number"), ("true", "a column belongs here"),
     ("null is null", "a column belongs here"), ("a == [1]", "is compared with a number"),
     ("lambda: 1", "a column belongs"), ("a if b else c", "a column belongs here"), ("(a := 1)", "a column belongs"),
     ("[[3]] == 1", "is compared with a number"), ("__import__('os')", "a column belongs here"),
     ("1or a", "cannot read the filter '1or a'"), (r"a == '\d'", "cannot read the filter"),
     ("a == '\0'", "cannot read the filter"), ("a == '\ud800'", "cannot read the filter"),
     ("not " * 200 + "a", "conditions are nested more than 100 times"),
     ("(" * 5000 + "a" + ")" * 5000, "cannot read"), ("not " * 100_000 + "a", "cannot read the filter"),
     ("a; b", "invalid syntax"), ("import os", "invalid syntax")],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_what_is_no_filter_is_refused(text, said):
    with pytest.raises(InputError, match=re.escape(said)) as refusal:
        parse(text)
    assert str(refusal.value).startswith(f"cannot read the filter {text[:300]!r} at character")
    assert str(refusal.value).endswith('in ["a", "b"], and odd names of columns as [["list price"]]')


def test_an_unknown_column_lists_those_there_are():
    said = "the filter 'size > 3' asks for column 'size', which is not there; the columns are price, brand, sold"
    with pytest.raises(InputError, match=re.escape(said)):
        mask("size > 3", TABLE)
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(InputError, match="asks for column 'a', which is there 2 times; the columns are a, a"):
        mask("a is null", twice)


@pytest.mark.parametrize(
    ("text", "both"),
    [("brand < 3", "column 'brand' (string) with the number 3"),
     ("price == 'a'", "column 'price' (int64) with the string 'a'"),
     ("price == true", "column 'price' (int64) with the boolean True"),
     ("sold == 1", "column 'sold' (bool) with the number 1"),
     ("brand in ['a', 1]", "column 'brand' (string) with the number 1"),
     ("price", "column 'price' (int64) with the boolean True"),
     ("not brand", "column 'brand' (string) with the boolean True")],
)  # fmt: skip
def test_comparisons_between_kinds_name_both(text, both):
    with pytest.raises(
        InputError, match=re.escape(f"the filter {text!r} compares {both}; quote strings alone, or use")
    ):
        mask(text, TABLE)


@pytest.mark.parametrize(
    "column",
    [pa.array([0], pa.date32()), pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"a"])],
    ids=lambda a: str(a.type),
)
def test_columns_of_other_types_can_only_be_null_or_not(column):
    table = pa.table({"a": column})
    assert mask("a is not null", table).tolist() == [True]
    with pytest.raises(InputError, match=r"compares column 'a' \(.*\) with the number 1; quote strings alone, or use"):
        mask("a == 1", table)


def test_what_does_not_fit_the_columns_is_refused():
    huge = pa.table({"n": pa.array([2**63], pa.uint64())})
    with pytest.raises(
        InputError, match="the filter 'n > 3' does not fit the columns: Integer value 9223372036854775808"
    ):
        mask("n > 3", huge)
    with pytest.raises(InputError, match=r"the filter '\(size > 3\)' does not fit the columns: No match for FieldRef"):
        mask(pc.field("size") > 3, TABLE)
    with pytest.raises(InputError, match="does not fit the columns: Function 'greater' has no kernel"):
        mask(pc.field("brand") > 3, TABLE)
    with pytest.raises(InputError, match="does not fit the columns"):
        mask(r"brand == '\ud800'", TABLE)
    with pytest.raises(InputError, match="a filter is a text, a Filter or a pyarrow Expression, got dict"):
        mask({"price": 3}, TABLE)


def test_the_examples():
    found = doctest.testmod(mrl.retrieval.filters)
    assert found.attempted
    assert not found.failed
