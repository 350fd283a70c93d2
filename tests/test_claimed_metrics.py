"""Claims on metrics that there are not are found before the first step."""

from __future__ import annotations

import pytest

GOOD = """
rk: 1
model: mlp
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 10}
"""


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        pytest.param("test/accuracy", None, id="a metric of the data"),
        pytest.param("test/loss", None, id="the loss"),
        pytest.param("test/accuracy@ema", None, id="of a variant"),
        pytest.param("test/f1", "unknown metric 'f1'", id="unknown metric"),
        pytest.param("test-20/accuracy", "unknown split 'test-20'", id="unknown split"),
        pytest.param("accuracy", "'accuracy' does not name a split", id="no split"),
        pytest.param("test/", "'test/' does not name a split", id="no metric"),
        pytest.param("te*/acc*", None, id="several metrics"),
        pytest.param("test-*/accuracy", "unknown split 'test-*'", id="several of an unknown split"),
        pytest.param("test/f*", "unknown metric 'f*'", id="several unknown metrics"),
        pytest.param("run/forgetting", "nothing gives 'run/forgetting'", id="a result that no component gives"),
    ],
)
def test_a_claim_is_about_a_split_and_a_metric_that_there_are(claim, said, check):
    problems = check(GOOD, f"expect=[{{metric: {claim}}}]").problems
    assert [(p.key, p.message) for p in problems] == ([] if said is None else [("expect.0.metric", said)])


@pytest.mark.parametrize(
    ("of", "said"),
    [
        pytest.param("val/accuracy", None, id="known"),
        pytest.param("vla/accuracy", "unknown split 'vla'", id="unknown"),
        pytest.param("val*/accuracy", "'val*/accuracy' matches several metrics: name one", id="several"),
    ],
)
def test_a_bound_is_a_multiple_of_one_metric_that_there_is(of, said, check):
    problems = check(GOOD, f"expect=[{{metric: test/accuracy, at_most_times: {{of: {of}, times: 2}}}}]").problems
    assert [(p.key, p.message) for p in problems] == ([] if said is None else [("expect.0.at_most_times", said)])
