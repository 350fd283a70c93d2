"""The 23 properties of a graph, and the regression of an accuracy on them."""

from __future__ import annotations

import csv
import statistics

import numpy as np
import pytest
from rk_sparse_rnn.analysis import WiringAnalysis
from rk_sparse_rnn.properties import PROPERTIES, properties
from rk_sparse_rnn.regression import partial, pearson, regress
from rk_sparse_rnn.wiring import draw

from rk import UserError

PATH = [(0, 1), (1, 2), (2, 3)]


def test_there_are_23_properties_and_those_of_a_path_are_known():
    found = properties(PATH)
    assert len(PROPERTIES) == len(found) == 23
    known = {
        "layers": 4,
        "nodes": 4,
        "edges": 3,
        "source_nodes": 1,
        "sink_nodes": 1,
        "diameter": 3,
        "density": 3 / 12,
        "average_shortest_path_length": (3 * 1 + 2 * 2 + 3) / 6,
        "eccentricity_mean": 2.5,
        "eccentricity_var": 1 / 3,
        "degree_mean": 0.5,
        "closeness_mean": (2 * 3 / 6 + 2 * 3 / 4) / 4,
        "nodes_betweenness_mean": (2 / 3) / 2,
        "edge_betweenness_var": statistics.variance([3 / 6, 4 / 6, 3 / 6]),
    }
    assert {name: found[name] for name in known} == pytest.approx(known)


def test_the_density_is_half_of_the_undirected_one():
    import networkx

    edges = draw("barabasi-albert", 20, None, 1.0, 2, 0)
    assert properties(edges)["density"] == pytest.approx(networkx.density(networkx.Graph(edges)) / 2)


def rows(count, seed=0):
    random = np.random.default_rng(seed)
    table = random.random((count, 3))
    return random, table


def test_noise_explains_nothing_of_rows_that_were_held_out():
    random, table = rows(24)
    fits = regress("abc", table, random.random(24), np.exp(random.random(24)), 3, 1, 0)
    assert all(mean < 0.2 for mean, _ in fits.r2.values())


def test_what_a_property_explains_is_found_and_the_number_of_parameters_gets_its_own_part():
    _, table = rows(24)
    fits = regress("abc", table, 0.5 + table[:, 0] / 2, np.exp(table[:, 1]), 3, 1, 0)
    assert fits.r2["ridge"][0] > 0.9
    assert fits.r2["parameters-only"][0] < 0.3
    assert fits.correlation["a"] == pytest.approx(1)


def test_a_partial_correlation_is_without_what_the_control_explains():
    random = np.random.default_rng(1)
    size, noise = random.random(200), random.random(200)
    accuracy = size + 0.1 * noise
    assert pearson(size + 0.01 * random.random(200), accuracy) > 0.9
    assert abs(partial(size + 0.01 * random.random(200), accuracy, size)) < 0.25
    assert partial(size + noise, accuracy, size) == pytest.approx(1)
    assert partial(2 * size, accuracy, size) == 0


def table(path, count, change=lambda row: row):
    random = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*PROPERTIES, "accuracy", "parameters"])
        for _ in range(count):
            writer.writerow(change([*random.random(23 + 1), random.integers(100, 1000)]))
    return path


def test_the_analysis_takes_several_tables_together(tmp_path):
    files = [table(tmp_path / f"{name}.csv", 6) for name in "ab"]
    found = WiringAnalysis(files, folds=2, repeats=1).analyze(tmp_path)
    assert found["graphs"] == 12
    lines = list(csv.DictReader((tmp_path / "correlations.csv").open()))
    assert [line["property"] for line in lines] == [*PROPERTIES]
    assert {line["model"] for line in csv.DictReader((tmp_path / "r2.csv").open())} == {
        "ridge", "forest", "boosting", "parameters-only",
    }  # fmt: skip
    assert (tmp_path / "correlations.png").is_file()


@pytest.mark.parametrize(
    ("count", "change", "message"),
    [
        (3, lambda row: row, "too few"),
        (12, lambda row: [*row[:-1], 0], "must be > 0"),
        (12, lambda row: ["many", *row[1:]], "expected a number, got 'many'"),
        (12, lambda row: [*row[:-2], 0.5, row[-1]], "nothing to explain"),
    ],
)
def test_a_table_that_does_not_do_is_one_message(tmp_path, count, change, message):
    with pytest.raises(UserError, match=message):
        WiringAnalysis([table(tmp_path / "zoo.csv", count, change)]).analyze(tmp_path)
