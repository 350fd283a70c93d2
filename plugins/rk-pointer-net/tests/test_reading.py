"""Files: the formats that are read, and the messages for all others."""

import pytest
from rk_pointer_net.reading import read_point_sets

from rk import UserError

TRIANGLE = [[0.5, 1.0], [2.0, -3.0], [4.0, 0.25]]


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it."""

    def write_and_read(text: str | bytes, name: str = "points.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_point_sets(path)

    return write_and_read


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("x,y\n0.5,1\n2,-3\n4,0.25\n", None),
        ("0.5,1\n2,-3\n4,0.25", None),
        ("0.5;1\n2;-3\n4;0.25\n", None),
        ("0.5\t1\n2\t-3\n4\t0.25\n", None),
        ("0.5 1\n\n2   -3\n 4 0.25\n", None),
        ("\ufeffX, Y\r\n0.5, 1\r\n2, -3\r\n4, 0.25\r\n", None),
        ("name,y,x\na,1,0.5\nb,-3,2\nc,0.25,4\n", ["a", "b", "c"]),
        ('city,latitude,longitude\n"a, b",1,0.5\n,-3,2\nc,0.25,4\n', ["a, b", "", "c"]),
        ("what,east,north\na,.5,1\nb,2,-3\nc,4,0.25\n", ["a", "b", "c"]),
        ("a,.5,1\nb,2,-3\nc,4,0.25\n", ["a", "b", "c"]),
        ("id,x,y\n7,.5,1\n8,2,-3\n9,4,0.25\n", ["7", "8", "9"]),
    ],
)
def test_csv_with_and_without_header_labels_and_commas(read, text, labels):
    (points,) = read(text)
    assert points.coordinates.tolist() == TRIANGLE
    assert points.labels == labels


def test_axes_are_called_what_the_file_calls_them(read):
    (points,) = read("name,lon,lat\na,0,1\nb,1,2\nc,3,4\n")
    assert points.axes == ("lon", "lat")


@pytest.mark.parametrize("name", ["points.json", "points.txt"])
def test_json_pairs_and_objects(read, name):
    (pairs,) = read("[[0.5, 1], [2, -3], [4, 0.25]]", name)
    assert pairs.coordinates.tolist() == TRIANGLE
    (objects,) = read('[{"x": 0.5, "y": 1, "name": "a"}, {"y": -3, "x": 2}, {"x": 4, "y": 0.25, "name": "c"}]', name)
    assert objects.coordinates.tolist() == TRIANGLE
    assert objects.labels == ["a", "", "c"]


def test_the_papers_lines_are_one_set_each(read):
    first, second = read("0.5 1 2 -3 4 0.25 output 1 2 3 1 \n0 0 1 0 0 1 1 1 output 1 2 4 3 1\n", "hull.txt")
    assert first.coordinates.tolist() == TRIANGLE
    assert second.coordinates.shape == (4, 2)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "p.csv", "p.csv: the file is empty"),
        (" \n\n", "p.json", "the file is empty"),
        (b"\x89PNG\xff\xfe\x00", "p.csv", "not a text file"),
        ("x,y\n", "p.csv", "p.csv: there are names but no rows"),
        ("name,city\na,b\nc,d\n", "p.csv", "no two columns of numbers"),
        ("x,name\n1,b\n2,d\n", "p.csv", "no two columns of numbers"),
        ("x,y\n1,2\n3,four\n5,6\n", "p.csv", "p.csv:3: column 'y': expected a number, got 'four'"),
        ("x,y\n1,2\n3\n5,6\n", "p.csv", "p.csv:3: expected 2 columns, got 1"),
        ("x,y\n1,2\n3,nan\n5,6\n", "p.csv", "p.csv:3: column 'y': expected a finite number, got 'nan'"),
        ("1,2\ninf,2\n5,6\n", "p.csv", "p.csv:2: column 1: expected a finite number, got 'inf'"),
        ("x,y\n1,2\n", "p.csv", "1 point: a convex hull needs at least 3"),
        ("[[1, 2], [3, 4]]", "p.json", "2 points: a convex hull needs at least 3"),
        ("[]", "p.json", "the list is empty"),
        ("{}", "p.json", "expected a list of points, got an object"),
        ("[[1, 2], [3", "p.json", "p.json:1:12: not JSON"),
        ("[[1, 2], [3, 4, 5], [6, 7]]", "p.json", r"point 2 is not a pair \[x, y\]"),
        ('[[1, 2], [3, "4a"], [6, 7]]', "p.json", "point 2: y: expected a number, got '4a'"),
        ("[[1, 2], [3, true], [6, 7]]", "p.json", "point 2: y: expected a number, got true"),
        ("[[1, 2], [3, NaN], [6, 7]]", "p.json", "p.json:1: not JSON: NaN is not a JSON number"),
        ('[{"x": 1}, {"x": 2}, {"x": 3}]', "p.json", "point 1 has neither x and y nor longitude"),
        ('[{"x": 1, "y": 1}, {"x": 2}, [1, 2]]', "p.json", "point 2: y: expected a number, got null"),
        ('[{"x": 1, "y": 1}, [1, 2]]', "p.json", "point 2 is not an object with x and y"),
        ("[1, 2, 3]", "p.json", "point 1 is not a pair"),
        ("0 0 1 output 1", "p.txt", "p.txt:1: 3 numbers before 'output'"),
        ("0 0 1 0 0 1 output 1 2 3\n0 0 1 1\n", "p.txt", "p.txt:2: no 'output' in this line"),
        (",,\n\n", "p.csv", "the file is empty"),
        ("x,y\r1,2\r3,4a\r5,6", "p.csv", "p.csv:3: column 'y': expected a number, got '4a'"),
        ('name,x,y\na,1,2\n"b,3,4\nc,5,6\n', "p.csv", "p.csv:3: a quote is opened and never closed"),
        ("name,x,y\na,1,2\nb" * 50 + "b" * 200_000 + ",3,4\n", "p.csv", "a cell has more than 131072 characters"),
        ("x,y\n1,2\n3,1e39\n5,6\n", "p.csv", "p.csv:3: column 'y': 1e.39 is beyond float32"),
        (f"[[1, 2],\n[3, {'9' * 400}], [5, 6]]", "p.json", "p.json:2: a number of 400 digits"),
        (f"[[1, 2],\n[3, {'9' * 5000}], [5, 6]]", "p.json", "p.json:2: a number of 5000 digits"),
        ("[" * 50_000, "p.json", "p.json:1: nested too deeply"),
        ("[" * 200 + "]" * 200, "p.json", "p.json:1: nested too deeply"),
        ('[{"x": 1, "y": 1, "name": ["a"]}, {"x": 2, "y": 2}]', "p.json", "point 1: expected a text as its label"),
        ("\n".join(f"{i},{i * i}" for i in range(2001)), "p.csv", "more than 2000 points are too many"),
    ],
)
def test_bad_files_are_refused_with_the_place(read, text, name, message):
    with pytest.raises(UserError, match=message):
        read(text, name)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_point_sets(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="directory"):
        read_point_sets(tmp_path)
