"""The estimators are scikit-learn's: its own checks, pipelines, grids, pickles; and each fit is a run of rk."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from rk_sklearn import RkClassifier, RkRegressor
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import rk as kit
from rk import UserError

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"hidden_sizes": (16,), "max_steps": 60, "random_state": 0}


@parametrize_with_checks([RkClassifier(**QUICK), RkRegressor(**QUICK)])
def test_scikit_learn_accepts_it(estimator, check):  # no check is expected to fail
    check(estimator)


@pytest.fixture(scope="module")
def classifier():
    return RkClassifier(**QUICK).fit(*IRIS)


# -- what they learn -----------------------------------------------------------------------------------------------


def test_a_classifier_learns_iris(classifier):
    assert classifier.score(*IRIS) > 0.93
    shares = classifier.predict_proba(IRIS[0])
    assert shares.shape == (150, 3) and np.allclose(shares.sum(1), 1)


def test_classes_may_have_any_names():
    names = np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
    found = RkClassifier(**QUICK).fit(IRIS[0], names)
    assert list(found.classes_) == ["setosa", "versicolor", "virginica"]
    assert set(found.predict(IRIS[0])) <= {*names} and found.score(IRIS[0], names) > 0.93


def test_a_regressor_learns_in_the_units_of_its_targets():
    found = RkRegressor(**QUICK).fit(*DIABETES)
    assert found.score(*DIABETES) > 0.4
    assert abs(found.predict(DIABETES[0]).mean() - DIABETES[1].mean()) < 20


def test_several_targets_are_answered_together():
    targets = np.stack([DIABETES[1], -DIABETES[1]], 1)
    found = RkRegressor(**QUICK).fit(DIABETES[0], targets).predict(DIABETES[0])
    assert found.shape == targets.shape and np.corrcoef(found[:, 0], found[:, 1])[0, 1] < -0.9


def test_without_standardizing_the_numbers_are_taken_as_they_are():
    scaled = StandardScaler().fit_transform(IRIS[0])
    assert RkClassifier(**QUICK, standardize=False).fit(scaled, IRIS[1]).score(scaled, IRIS[1]) > 0.9


def test_the_same_state_gives_the_same_weights_and_another_one_others(classifier):
    again = RkClassifier(**QUICK).fit(*IRIS)
    other = RkClassifier(**{**QUICK, "random_state": 1}).fit(*IRIS)
    name = "model.safetensors"
    assert again.run_files_[name] == classifier.run_files_[name] != other.run_files_[name]


def test_a_random_state_of_numpy_seeds_too():
    fits = [RkClassifier(**{**QUICK, "random_state": np.random.RandomState(3)}).fit(*IRIS) for _ in range(2)]
    assert np.array_equal(*(fit.predict_proba(IRIS[0]) for fit in fits))


# -- within scikit-learn -------------------------------------------------------------------------------------------


def test_it_works_in_a_pipeline_in_a_grid_and_in_cross_validation():
    pipeline = make_pipeline(StandardScaler(), RkClassifier(**QUICK))
    grid = {"rkclassifier__hidden_sizes": [(4,), (16,)], "rkclassifier__lr": [0.01]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(*IRIS)
    assert search.best_score_ > 0.85 and set(search.best_params_) == set(grid)
    assert len(cross_val_score(RkRegressor(**QUICK), *DIABETES, cv=2)) == 2


def test_a_clone_has_the_parameters_and_nothing_that_was_learned(classifier):
    copy = clone(classifier).set_params(lr=0.5)
    assert copy.get_params() == classifier.get_params() | {"lr": 0.5} and not hasattr(copy, "run_files_")


def test_a_pickle_answers_in_a_process_that_has_no_arrays(classifier):
    content = pickle.dumps(classifier)
    assert len(content) < 100_000
    assert np.array_equal(pickle.loads(content).predict_proba(IRIS[0]), classifier.predict_proba(IRIS[0]))


def test_an_answer_does_not_depend_on_the_rows_beside_it(classifier):
    together = classifier.predict_proba(IRIS[0])
    alone = np.concatenate([classifier.predict_proba(IRIS[0][i : i + 1]) for i in (0, 77, 149)])
    assert np.array_equal(alone, together[[0, 77, 149]])


# -- within rk -----------------------------------------------------------------------------------------------------


def test_a_kept_run_is_a_run_like_any_other(tmp_path):
    found = RkClassifier(**QUICK, runs_dir=tmp_path / "runs").fit(*IRIS)
    run = found.run_
    assert run.path.is_relative_to(tmp_path / "runs") and run.status == "done" and run.name == "rkclassifier"
    (arrays,) = (tmp_path / "runs" / "arrays").iterdir()
    assert run.info["data_files"]["data.path"]["file"] == arrays.name
    np.savetxt(tmp_path / "rows.csv", IRIS[0][:5], delimiter=",")
    rows = kit.load(run.path).predict(tmp_path / "rows.csv")
    assert [row["class"] for row in rows] == list(found.predict(IRIS[0][:5]))


def test_a_kept_run_answers_without_its_arrays(tmp_path):
    run = RkRegressor(**QUICK, runs_dir=tmp_path).fit(*DIABETES).run_
    (arrays,) = (tmp_path / "arrays").iterdir()
    arrays.unlink()
    np.save(tmp_path / "rows.npy", DIABETES[0][:2])
    assert len(kit.load(run.path).predict(tmp_path / "rows.npy")) == 2


def test_without_a_folder_nothing_is_left_and_there_is_no_run(tmp_path, monkeypatch, classifier):
    monkeypatch.chdir(tmp_path)
    RkClassifier(**QUICK).fit(*IRIS)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AttributeError, match="give runs_dir"):
        _ = classifier.run_


def test_another_model_and_other_keys_of_the_recipe(tmp_path):
    changed = {"fit": {"gradient_clip": 1.0}, "trainer": {"optimizer": {"schedule": "cosine"}}}
    model = {"name": "mlp", "hidden_sizes": [8], "activation": "tanh"}
    found = RkClassifier(model=model, max_steps=5, recipe=changed, runs_dir=tmp_path, random_state=0).fit(*IRIS)
    recipe = found.run_.recipe
    assert recipe["model"]["activation"] == "tanh" and recipe["fit"]["gradient_clip"] == 1.0
    assert (
        recipe["trainer"]["optimizer"]["schedule"] == {"name": "rk/cosine"}
        or "schedule" in recipe["trainer"]["optimizer"]
    )


def test_a_mistake_names_the_key():
    with pytest.raises(UserError, match=r"model\.hidden_sizes\.0: "):
        RkClassifier(hidden_sizes=(0,)).fit(*IRIS)
    with pytest.raises(UserError, match=r"fit\.steps: unknown key"):
        RkClassifier(recipe={"fit": {"steps": 1}}).fit(*IRIS)
