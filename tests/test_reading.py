"""Users' text files: what is read, and the messages for files that cannot be read."""

from __future__ import annotations

import gzip
import json
import os

import pytest

from rk import UserError
from rk.reading import (
    encoding_of,
    lines_of,
    named_rows,
    number,
    read_bytes,
    read_json,
    read_json_lines,
    read_rows,
    read_text,
    text_of,
)


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes a file and returns its path."""

    def written(content: bytes | str, name: str = "file.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


# -- bytes and text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_text_may_have_any_line_end_and_byte_order_mark(write, encoding, end):
    text = read_text(write(end.join(["é", "b\u2028c\x85d", ""]).encode(encoding)))
    assert text == "é\nb\u2028c\x85d\n"
    assert list(lines_of(text)) == ["é", "b\u2028c\x85d"]


def test_lines_are_the_text_between_line_feeds():
    assert list(lines_of("")) == []
    assert list(lines_of("\n\na\n\n")) == ["", "", "a", ""]
    assert list(lines_of("a\nb", keep_ends=True)) == ["a\n", "b"]


@pytest.mark.parametrize("name", ["file.csv.gz", "file.csv"])
def test_a_gzip_file_is_unpacked_whatever_its_name(write, name):
    assert read_bytes(write(gzip.compress(b"a,b") + gzip.compress(b"\n1,2"), name)) == b"a,b\n1,2"


WHOLE = gzip.compress(os.urandom(3000), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE[:-20], "the gzip file is damaged: it is cut short"),
        (WHOLE[:-8] + bytes(8), "the gzip file is damaged: CRC check failed"),
        (WHOLE[:10] + b"\xff" * 40 + WHOLE[50:], "the gzip file is damaged"),
        (WHOLE + b"more", "the gzip file is damaged"),
        (b"a,b\n", "is not a gzip file, though its name ends in .gz"),
    ],
    ids=["cut", "checksum", "content", "longer", "plain"],
)
def test_a_damaged_gzip_file_is_called_one(write, content, message):
    with pytest.raises(UserError, match=message):
        read_text(write(content, "file.csv.gz"))


def test_no_more_is_unpacked_than_the_limit_which_can_be_raised(write, monkeypatch):
    bomb = write(gzip.compress(bytes(3_000_000)), "bomb.csv.gz")
    monkeypatch.setenv("RK_MAX_FILE_MB", "1")
    with pytest.raises(UserError, match=r"bomb.csv.gz: the file is too large: at most 1 MB are read") as error:
        read_bytes(bomb)
    assert error.value.hint == "to read more, set RK_MAX_FILE_MB=2 or higher"
    with pytest.raises(UserError, match=r"large.txt: the file is too large"):
        read_bytes(write(bytes(1_000_001), "large.txt"))
    monkeypatch.setenv("RK_MAX_FILE_MB", "3")
    assert len(read_bytes(bomb)) == 3_000_000


def test_a_json_document_may_be_a_quarter_as_large(write, monkeypatch):
    monkeypatch.setenv("RK_MAX_FILE_MB", "4")
    document = "[" + "1," * 600_000 + "1]"
    with pytest.raises(UserError, match="at most 1 MB are read"):
        read_json(write(document))
    with pytest.raises(UserError, match=r"file.csv:2: the file is too large"):
        list(read_json_lines(write('{"a": 1}\n{"a": ' + document + "}")))


@pytest.mark.parametrize("value", ["much", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_not_a_number_is_refused(write, monkeypatch, value):
    monkeypatch.setenv("RK_MAX_FILE_MB", value)
    with pytest.raises(UserError, match="RK_MAX_FILE_MB: expected a number of megabytes"):
        read_text(write("a"))


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("x\ny\nça".encode("latin-1"), "file.csv:3: not a text file in UTF-8: found the byte 0xe7", "iconv"),
        (b"a,b\n\x00\x01", "file.csv:2: not a text file: it holds a null character", "a table"),
        ("a,b\n1,2\n".encode("utf-16-le"), "it holds a null character", "UTF-16 without a byte order mark"),
        (b"\xff\xfea", "it begins like UTF-16, but the rest is not", "a table"),
        (b"PK\x03\x04....", "it looks like a ZIP archive or an Excel workbook", "a table"),
        (b"\x80\x01\x02\xfe", "is not a text file", "a table"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
    ],
    ids=["latin-1", "null", "utf-16", "half of utf-16", "excel", "binary", "lfs"],
)
def test_a_file_that_is_not_text_is_called_what_it_is(write, content, message, hint):
    with pytest.raises(UserError, match=message) as error:
        read_text(write(content), "a table")
    assert hint in error.value.hint


def test_anything_but_a_file_is_refused_without_waiting(tmp_path, write):
    write("a", "rows.csv")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("row.csv", "No such file"), ("", "is a directory"), ("pipe", "not a regular file")):
        with pytest.raises(UserError, match=message) as error:
            read_text(tmp_path / name)
        assert name != "row.csv" or error.value.hint == f"did you mean {tmp_path / 'rows.csv'}?"
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(UserError):
            read_text(tmp_path / name)


# -- JSON --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n"b": }', "file.json:2:6: not JSON: Expecting value"),
        ('{"a":\n' + "9" * 301 + "}", "file.json:2: a number of 301 digits; at most 300 are read"),
        ('{"a":\n-' + "9" * 5000 + "}", "file.json:2: a number of 5000 digits; at most 300 are read"),
        ('["NaN",\nNaN]', "file.json:2: not JSON: NaN is not a JSON number"),
        ("[-Infinity]", "file.json:1: not JSON: -Infinity is not a JSON number"),
        ("[" * 101 + "]" * 101, "file.json:1: nested too deeply: at most 100"),
        ('{"a":' * 100_000, "file.json:1: nested too deeply"),
        ('["\\ud83d\\ude00",\n"\\uD83D"]', r"file.json:2: \\ud83d is half of a character"),
        ('{"\\ude00": 1}', r"file.json:1: \\ude00 is half of a character"),
        ("", "file.json:1:1: not JSON"),
    ],
    ids=["syntax", "digits", "more-digits", "NaN", "infinite", "deep", "deeper", "surrogate", "key", "empty"],
)
def test_json_that_no_reader_can_use_is_refused_with_its_place(write, text, message):
    with pytest.raises(UserError, match=message):
        read_json(write(text, "file.json"))


def test_json_within_the_limits_is_read_as_it_is(write):
    value = [10**299, 1e-5, "\U0001f600", None, True, {"a": [[]]}]
    assert read_json(write(json.dumps(value))) == value
    deep = json.loads("[" * 100 + "]" * 100)
    assert read_json(write(json.dumps(deep))) == deep


def test_json_lines_have_the_numbers_of_their_lines(write):
    assert list(read_json_lines(write('{"a": "\u2028"}\r\n\n \n2\n', "x.jsonl"))) == [(1, {"a": "\u2028"}), (4, 2)]
    with pytest.raises(UserError, match=r"x.jsonl:2: not JSON: Expecting value \(column 7\)"):
        list(read_json_lines(write('1\n{"a": }\n', "x.jsonl")))


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_row_has_the_number_of_its_first_line(write, mark):
    text = f'"a; b, c\td"{mark}x\n\n "1\n2"{mark} 3\n{mark}\n4{mark}5'
    assert list(read_rows(write(text))) == [(1, ["a; b, c\td", "x"]), (3, ["1\n2", "3"]), (6, ["4", "5"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,2\n3,"4\n5,6\n', "file.csv:3: a quote is opened and never closed"),
        ('a,b\n1,"' + "2\n" * 100_000, "file.csv:2: a cell has more than 131072 characters"),
        ('a,b\n"1"2,3\n', "file.csv:2: a closing quote is followed by more text"),
    ],
)
def test_quotes_that_are_not_closed_are_refused_where_they_begin(write, text, message):
    with pytest.raises(UserError, match=message):
        list(read_rows(write(text)))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("abc", "t.csv:3: column 'x': expected a number, got 'abc'"),
        (" ", "expected a number, got an empty cell"),
        ("1_0", "expected a number, got '1_0'"),
        ("nan", "expected a finite number, got 'nan'"),
        ("1e999", "expected a finite number, got '1e999'"),
        (10**400, "expected a finite number, got 1000"),
        (True, "expected a number, got true"),
        (None, "expected a number, got null"),
        ([1], "expected a number, got a list"),
        ("x" * 1000, "got '" + "x" * 60 + r"\.\.\.'"),
    ],
)
def test_a_cell_that_is_not_a_finite_number_is_refused_with_its_place(cell, message):
    with pytest.raises(UserError, match=message):
        number(cell, "t.csv:3: column 'x'")


def test_a_decimal_comma_is_explained():
    with pytest.raises(UserError) as error:
        number("-1,5", "t.csv:3")
    assert error.value.hint == "write a decimal point: -1.5"
    assert number(" -1.5 ", "t.csv:3") == number(-1.5, "t.csv:3") == -1.5


# -- tables with names -------------------------------------------------------------------------------------------------


def test_a_first_row_without_numbers_has_the_names_and_rows_follow_with_their_lines():
    table = named_rows("a, b\n1,x\n\n2,y\n", "rows.csv")
    assert (table.names, table.width) == (("a", "b"), 2)
    assert table.place(4, 1) == "rows.csv:4: column 'b'"
    assert [*table.rows] == [(2, ["1", "x"]), (4, ["2", "y"])]
    unnamed = named_rows("1,x\n2,y\n", "rows.csv")
    assert unnamed.names is None and [line for line, _ in unnamed.rows] == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n", "rows.csv: the file is empty"),
        ("a,b\n\n", "rows.csv: there are names but no rows"),
        ("a,b,a\n1,2,3\n", "rows.csv:1: two columns have the same name, 'a'"),
        ("a,b\n1,2\n3\n", "rows.csv:3: expected 2 columns, got 1"),
        ("1,2\n1,2,3\n", "rows.csv:2: expected 2 columns, got 3"),
    ],
)
def test_what_is_wrong_with_a_table_is_named_by_line(text, message):
    with pytest.raises(UserError) as error:
        _ = [*named_rows(text, "rows.csv").rows]
    assert error.value.message == message


def test_rows_of_a_ragged_table_come_as_they_are_where_that_is_asked():
    assert [row for _, row in named_rows("a,a\n1\n1,2,3\n", "rows.csv", equal=False).rows] == [["1"], ["1", "2", "3"]]


def test_text_is_decoded_from_bytes_by_its_mark():
    assert [encoding_of("a".encode(name)) for name in ("utf-8", "utf-8-sig", "utf-16")] == [
        "utf-8",
        "utf-8-sig",
        "utf-16",
    ]
    assert text_of("\ufeffü\r\nb\rc".encode(), "rows.csv") == "ü\nb\nc"
