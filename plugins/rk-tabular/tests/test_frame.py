"""Users' tables as they come: what is recognised, and the message for what is wrong."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rk_tabular import delimited
from rk_tabular.delimited import read_cells
from rk_tabular.frame import NotATable, read_frame

from rk import UserError


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it."""

    def write_and_read(text: str | bytes, name: str = "rows.csv", **settings):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_frame(path, **settings)

    return write_and_read


def rows(frame):
    return frame.table.rows()


# -- what is recognised ------------------------------------------------------------------------------------------------


def test_types_are_found(read):
    frame = read("n,x,word,day,none\n1,1.5,a,2020-01-02,\n-2,2e3,b,2020-12-31,\n")
    assert frame.kinds == {"n": "number", "x": "number", "word": "text", "day": "date", "none": "empty"}
    assert rows(frame)[0] == (1, 1.5, "a", datetime(2020, 1, 2), None)
    assert frame.table.dtypes[:2] == [pl.Int64, pl.Float64]


@pytest.mark.parametrize(
    ("text", "delimiter", "decimal", "expected"),
    [
        ("a;b\n1,5;x\n2;y\n", ";", ",", [(1.5, "x"), (2.0, "y")]),
        ("a;b\n1.234,5;x\n2;y\n", ";", ",", [(1234.5, "x"), (2.0, "y")]),
        ("a;b\n1 234,5;x\n2;y\n", ";", ",", [(1234.5, "x"), (2.0, "y")]),
        ("a\tb\n1,5\tx, y\n2\tz\n", "\t", ",", [(1.5, "x, y"), (2.0, "z")]),
        ('a,b\n"1,234",5\n"2,345,678",6\n', ",", ".", [(1234, 5), (2345678, 6)]),
        ("a|b\n1|x\n2|y\n", "|", ".", [(1, "x"), (2, "y")]),
        ("a,b\n1;2,x\n3,y\n", ",", ".", [("1;2", "x"), ("3", "y")]),
    ],
)
def test_delimiters_and_decimal_marks(read, text, delimiter, decimal, expected):
    frame = read(text)
    assert (frame.delimiter, frame.decimal, rows(frame)) == (delimiter, decimal, expected)


def test_a_byte_order_mark_crlf_and_quoted_newlines(read):
    frame = read('\ufeffname,n\r\n"two\r\nlines",1\r\n\r\n"a ""b"", c",2\r\n')
    assert (frame.names, rows(frame)) == (("name", "n"), [("two\nlines", 1), ('a "b", c', 2)])
    assert (frame.encoding, frame.lines.tolist()) == ("utf-8-sig", [2, 5])
    assert rows(read("a,b\n1,ü\n".encode("utf-16"))) == [(1, "ü")]


def test_quotes_within_unquoted_cells_are_text(read):
    assert rows(read('size,n\n5" pipe,1\n6" pipe,2\n')) == [('5" pipe', 1), ('6" pipe', 2)]


def test_lines_count_blank_lines_and_empty_rows(read):
    frame = read("\n \na,b\n1,2\n,\n\n3,4\n  ,  \n5,6\n")
    assert (rows(frame), frame.lines.tolist()) == ([(1, 2), (3, 4), (5, 6)], [4, 7, 9])


def test_words_are_gaps_among_numbers_and_text_among_words(read):
    frame = read("x,d,word\n1,2020-01-01,NA\nn/a,?,none\n3,2020-01-03,\n")
    assert rows(frame)[1] == (None, None, "none") and frame.table["word"].to_list() == ["NA", "none", None]
    assert frame.gaps == {"x": ("n/a",), "d": ("?",)}


def test_codes_with_leading_zeros_stay_texts(read):
    assert read("zip,share\n00123,0.5\n04567,0\n").kinds == {"zip": "text", "share": "number"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("2020-01-31 10:20", datetime(2020, 1, 31, 10, 20)),
        ("2020-01-31T10:20:30.5Z", datetime(2020, 1, 31, 10, 20, 30, 500_000)),
        ("2020-01-31T10:20:30+02:00", datetime(2020, 1, 31, 8, 20, 30)),
        ("31.1.2020", datetime(2020, 1, 31)),
        ("1/31/2020", datetime(2020, 1, 31)),
        ("31/01/20", datetime(2020, 1, 31)),
        ("31-Jan-2020", datetime(2020, 1, 31)),
    ],
)
def test_dates(read, cells, expected):
    assert rows(read(f"day,x\n{cells},1\n"))[0][0] == expected


def test_dates_of_two_orders_are_read_day_first_with_a_note_or_as_asked(read):
    text = "day,x\n01/02/2020,1\n03/04/2020,2\n"
    assert rows(read(text))[0][0] == datetime(2020, 2, 1) and "day first" in read(text).notes["day"]
    assert rows(read(text, day_first=False))[0][0] == datetime(2020, 1, 2)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1,x\n2,y\n", ("column_1", "column_2")),
        ("p,x\ne,x\np,y\ne,y\n", ("column_1", "column_2")),  # the first row is a row like the others
        ("kind,shape\ne,x\np,y\n", ("kind", "shape")),
        (",shape\ne,x\np,y\n", ("column_1", "shape")),
        ("2020-01-01,x\n2020-01-02,y\n", ("column_1", "column_2")),
    ],
)
def test_a_first_row_of_names_is_found(read, text, names):
    frame = read(text)
    assert frame.names == names and frame.header == (names != ("column_1", "column_2"))


def test_json_lines_parquet_and_gzip_hold_the_same_table(read, tmp_path):
    text = "n,x,word,day\n1,1.5,a,2020-01-02\n2,,b,2020-01-03\n"
    frame = read(text)
    lines = '{"n": 1, "x": 1.5, "word": "a", "day": "2020-01-02"}\n\n{"n": 2, "word": "b", "day": "2020-01-03"}\n'
    from_lines = read(lines, "rows.jsonl")
    assert rows(from_lines) == rows(frame) and from_lines.lines.tolist() == [1, 3]
    frame.table.write_parquet(tmp_path / "rows.parquet")
    assert rows(read_frame(tmp_path / "rows.parquet")) == rows(frame)
    assert rows(read(gzip.compress(text.encode()), "rows.csv.gz")) == rows(frame)


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "rows.csv", "rows.csv: the file is empty"),
        ("a,b\n", "rows.csv", "rows.csv: there are names but no rows"),
        ("a,b\n,\n , \n", "rows.csv", "there are no values: all cells are empty"),
        ("a,b,a\n1,2,3\n", "rows.csv", "rows.csv:1: two columns have the same name, 'a'"),
        ("a,b\n1,2\n\n3\n", "rows.csv", "rows.csv:4: expected 2 columns, got 1"),
        ('a,b\n"x\ny",2\n3,4,5\n', "rows.csv", "rows.csv:4: expected 2 columns, got 3"),
        ('a,b\n1,2\n3,"4\n5,6\n', "rows.csv", "rows.csv:3: a quote is opened and never closed"),
        ("a,b\n1,\xe9\n".encode("latin-1"), "rows.csv", "rows.csv:2: not a text file in UTF-8"),
        (b"PK\x03\x04rest", "rows.csv", "it looks like a ZIP archive or an Excel workbook"),
        (b"PAR1 and then nothing", "rows.parquet", "rows.parquet: the Parquet file is damaged"),
        ("", "rows.jsonl", "rows.jsonl: the file is empty"),
        ('{"a": 1}\n{"a": \n', "rows.jsonl", "rows.jsonl:2: not JSON"),
        ("{}\n{}\n", "rows.jsonl", "the objects have no keys"),
    ],
)
def test_a_damaged_file_is_named_by_line(read, text, name, message):
    with pytest.raises(UserError) as error:
        read(text, name)
    assert message in error.value.message


def test_nested_json_is_not_a_table(read):
    with pytest.raises(NotATable, match=r"rows.jsonl:2: column 'b': expected one value, got a list"):
        read('{"a": 1}\n{"a": 2, "b": [1, 2]}\n', "rows.jsonl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x\n" + "1\n" * 30 + "abc\n", "rows.csv:32: column 'x': expected a number, got 'abc'"),
        ("x\n" + "1.5\n" * 30 + "inf\n", "rows.csv:32: column 'x': expected a finite number, got 'inf'"),
        ("day\n" + "2020-01-01\n" * 30 + "soon\n", "column 'day': expected a date like 2020-01-01, got 'soon'"),
        (
            "day\n31/01/2020\n01/31/2020\n",
            "rows.csv:3: column 'day': expected a date with the day first, like 31/01/2020",
        ),
        ("day\n1/31/2020\n1/2/2020\n13/1/2020\n", "rows.csv:4: column 'day': expected a date with the month first"),
    ],
)
def test_the_first_cell_that_does_not_fit_is_named_when_the_column_is_used(read, text, message):
    frame = read(text)
    (name,) = frame.faults
    with pytest.raises(UserError) as error:
        frame.check(name)
    assert message in error.value.message


def test_columns_are_named_by_name_and_by_place(read):
    frame = read("a,bell\n1,x\n")
    assert [frame.column(name) for name in ("bell", 1, -1)] == ["bell", "a", "bell"]
    with pytest.raises(UserError, match="there is no column 'bel'") as error:
        frame.column("bel")
    assert error.value.hint == "did you mean bell? (columns: a, bell)"
    with pytest.raises(UserError, match="there is no column 3"):
        frame.column(3)


# -- round trips -------------------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=8)
TABLES = st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=8))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=TABLES, quote=st.booleans())
def test_polars_and_pythons_reader_find_the_same_cells_and_lines(table, quote, monkeypatch):
    table = [row for row in table if any(cell.strip() for cell in row)]
    if not table:
        return
    style = "always" if quote else "necessary"
    text = pl.DataFrame([list(column) for column in zip(*table, strict=True)], orient="col").write_csv(
        include_header=False, quote_style=style
    )
    monkeypatch.setattr(delimited, "delimiter_of", lambda text: ",")
    fast = read_cells(text, Path("rows.csv"), "")
    with monkeypatch.context() as patch:
        patch.setattr(delimited, "_by_polars", lambda content, delimiter, path: None)
        slow = read_cells(text, Path("rows.csv"), "")
    strip = pl.all().str.strip_chars().replace("", None)
    assert fast.table.select(strip).equals(slow.table.select(strip), null_equal=True)
    assert fast.lines.tolist() == slow.lines.tolist()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=9),
    mark=st.sampled_from([",", ";", "\t"]),
)
def test_numbers_come_back_exactly(numbers, mark, tmp_path):
    cells = ["" if number is None else repr(number) for number in numbers]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([f"k{mark}x", *(f"r{mark}{cell}" for cell in cells)]) + "\n")
    assert read_frame(path).table["x"].cast(pl.Float64, strict=False).to_list() == numbers


MESSY = st.text(st.sampled_from("ab1290.,;|\t\n\"'-/: {}[]TZ"), max_size=60)
JSONISH = st.lists(
    st.one_of(
        st.dictionaries(
            st.sampled_from("ab "), st.none() | st.booleans() | st.integers() | st.floats() | MESSY, max_size=3
        ),
        st.lists(st.integers(), max_size=2),
    ),
    max_size=4,
).map(lambda values: "\n".join(json.dumps(value) for value in values))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(MESSY.map(str.encode), st.binary(max_size=40), JSONISH.map(str.encode)), data=st.data())
def test_any_content_is_a_frame_or_a_users_error(content, data, tmp_path):
    path = tmp_path / data.draw(st.sampled_from(["rows.csv", "rows.jsonl", "rows.tsv"]))
    path.write_bytes(content)
    try:
        frame = read_frame(path, texts=[1], header=data.draw(st.none() | st.booleans()))
    except UserError as error:
        assert "rows." in error.message
        return
    assert len(frame) == len(frame.lines) > 0 and [*frame.kinds] == [*frame.names]
    assert all(kind == "text" for name, kind in frame.kinds.items() if name in frame.faults)
    for name, kind in frame.kinds.items():
        values = frame.table[name].drop_nulls()
        assert (len(values) == 0) == (kind == "empty")
        assert values.dtype != pl.Float64 or bool(values.is_finite().all())
        frame.place(0, name)
        frame.texts(name)
