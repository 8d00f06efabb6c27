import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.errors import InputError, StorageError
from mrl.evaluation import Row, read_rows, write_rows

ROW = Row("run", "mAP@10", 8, True, 0.5, 0.4, 0.6, "bootstrap", "neighbours", 100, 32, 800)
share = st.floats(0, 1)
count = st.integers(0, 2**53)
text = st.text(st.characters(exclude_categories=["Cs"]))
rows = st.lists(
    st.builds(Row, text, text, count, st.booleans(), share, share, share, text, text, count, count, count), max_size=5
)
endings = pytest.mark.parametrize("ending", [".jsonl", ".parquet"])


@endings
@settings(max_examples=30, deadline=None)
@given(written=rows)
def test_rows_round_trip(ending, written):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{ending}"
        write_rows(str(path), written)
        assert read_rows(str(path)) == written
        assert [each.name for each in Path(folder).iterdir()] == [path.name]


def test_anyone_can_read_the_lines(tmp_path):
    write_rows(tmp_path / "rows.jsonl", [ROW, ROW])
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == [asdict(ROW)] * 2


def test_lines_of_other_programs_are_read(tmp_path):
    """UTF-8 as it is, with line ends of Windows, and characters that only some readers take for line ends."""
    line = json.dumps({**asdict(ROW), "run": "ü\u2028x\x85"}, ensure_ascii=False)
    (tmp_path / "rows.jsonl").write_bytes((line + "\r\n").encode() * 2)
    assert [row.run for row in read_rows(tmp_path / "rows.jsonl")] == ["ü\u2028x\x85"] * 2


@pytest.mark.parametrize(
    "bad", ["{", "", "null", "[1]", "3", "{}", '{"run": "x"}', json.dumps({**asdict(ROW), "x": 1})]
)
def test_a_line_that_is_no_row_is_named(tmp_path, bad):
    (tmp_path / "rows.jsonl").write_text("\n".join([json.dumps(asdict(ROW)), bad, json.dumps(asdict(ROW))]))
    said = r"rows.jsonl:2 is no Row: .*; give a file that `mrl evaluate --out` wrote"
    with pytest.raises(InputError, match=said):
        read_rows(tmp_path / "rows.jsonl")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match=r"picture.png:1 is no Row"):
        read_rows(tmp_path / "picture.png")


@pytest.mark.parametrize("content", [b"", b"{}", b"PAR1 and then nonsense PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path, content):
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(
        InputError, match=r"rows.parquet is no Parquet: .*; give a file that `mrl evaluate --out` wrote"
    ):
        read_rows(tmp_path / "rows.parquet")


def test_a_parquet_of_something_else_is_refused(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"run": ["x"], "colour": ["red"]}), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r"rows.parquet:1 is no Row: .*colour.*; give a file that"):
        read_rows(tmp_path / "rows.parquet")


@endings
def test_a_file_that_is_not_there_is_named(tmp_path, ending):
    with pytest.raises(StorageError, match=rf"cannot read .*rows{ending}: No such file or directory"):
        read_rows(tmp_path / f"rows{ending}")


@pytest.mark.parametrize(("name", "got"), [("rows.csv", ".csv"), ("rows", "no ending"), ("rows.JSONL", ".JSONL")])
def test_an_unknown_ending_is_refused(tmp_path, name, got):
    said = re.escape(f"rows are written as .jsonl or .parquet, got {got} in {tmp_path / name}")
    with pytest.raises(InputError, match=said):
        write_rows(tmp_path / name, [ROW])
    assert list(tmp_path.iterdir()) == []


@endings
def test_rows_that_cannot_be_written_leave_nothing(tmp_path, ending):
    with pytest.raises(StorageError, match=r"cannot write .*; nothing was changed. Free some space or choose another"):
        write_rows(tmp_path / "missing" / f"rows{ending}", [ROW])
    assert list(tmp_path.iterdir()) == []


def test_a_field_of_another_type_is_named(tmp_path):
    record = {"run": "r", "measure": "1-NN", "dim": 8, "trained": True, "value": "abc", "low": 0.0, "high": 1.0}
    record |= {"interval": "wilson", "method": "neighbours", "queries": 3, "bytes": 32, "macs": 8}
    (tmp_path / "rows.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:1 is no Row: value is 'abc', no float"):
        read_rows(tmp_path / "rows.jsonl")
