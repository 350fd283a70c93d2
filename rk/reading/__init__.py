"""A user's own text files: plain text, tables (CSV, TSV), JSON and JSON lines, each also inside a gzip file.

Every reader of such files goes through this module. So limits, encodings, line ends and messages are the same
everywhere: ``rows.csv:12: column 'x': expected a number, got 'abc'``. All functions raise `rk.UserError` for
whatever may be wrong with a file, and nothing else.

Lines end at ``\\n``, ``\\r\\n`` or ``\\r``, and nowhere else: U+2028 and U+0085 are characters like any other.
"""

from rk.reading.content import encoding_of, lines_of, read_bytes, read_text, size_limit, text_of, unpacked
from rk.reading.structured import parse_json, read_json, read_json_lines
from rk.reading.tables import (
    NamedRows,
    as_number,
    check_names,
    column_place,
    describe,
    is_number,
    named_rows,
    not_a_number,
    number,
    read_rows,
    rows_of,
    unequal,
)

__all__ = [
    "NamedRows",
    "as_number",
    "check_names",
    "column_place",
    "describe",
    "encoding_of",
    "is_number",
    "lines_of",
    "named_rows",
    "not_a_number",
    "number",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_json_lines",
    "read_rows",
    "read_text",
    "rows_of",
    "size_limit",
    "text_of",
    "unequal",
    "unpacked",
]
