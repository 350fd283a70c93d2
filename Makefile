# Each target begins from nothing but Python and a package index, and does only what is missing when run again.
# `make` alone lists them, from the comments behind `##`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
QUICK := plugins/rk-pointer-net
# Without build isolation: one environment for 43 builds would take minutes. --no-compile: Python compiles what it imports.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
EDITABLE := --no-build-isolation $(foreach plugin,$(PLUGINS),--editable $(dir $(plugin)))
HOST := --editable ".[digits,hub,lightning,onnx,report]"

.DEFAULT_GOAL := help
.PHONY: help train install test lint bench results docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

train: $(VENV)/.quick ## install the host and rk-pointer-net into .venv, and train the quick recipe
	$(BIN)/rk train pointer-net/convex-hull-quick

install: $(VENV)/.plugins ## install the host and every plugin into .venv

test: $(VENV)/.ready ## run all tests, in as many processes as there are cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder --hypothesis-profile=ci

lint: $(VENV)/.ready ## check style, layout, spelling, types, and that the plugins are alike
	$(PIP) --group lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python docs/plain_words.py
	$(BIN)/python docs/plugins_alike.py
	$(BIN)/mypy

bench: $(VENV)/.ready ## run all benchmarks
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

$(VENV)/.build: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) pip hatchling editables
	touch $@

$(VENV)/.quick: $(VENV)/.build pyproject.toml $(QUICK)/pyproject.toml
	$(PIP) --no-build-isolation --editable ".[report]" --editable $(QUICK)
	touch $@

$(VENV)/.plugins: $(VENV)/.build pyproject.toml $(PLUGINS)
	$(PIP) $(HOST) $(EDITABLE)
	touch $@ $(VENV)/.quick

$(VENV)/.ready: $(VENV)/.build pyproject.toml $(PLUGINS)
	$(PIP) --group test $(HOST) $(EDITABLE)
	touch $@ $(VENV)/.plugins $(VENV)/.quick

results: $(VENV)/.ready ## write results.json into docs/results, READMEs and headers of recipes
	$(BIN)/python docs/fill_numbers.py --write
	$(BIN)/rk reproduce all recipes recipes/looped-paths recipes/recursion-zoo recipes/sequence-zoo --stored --pages docs/results

docs: $(VENV)/.ready ## write the reference from the docstrings
	$(BIN)/python docs/generate.py

clean: ## remove .venv
	rm -rf $(VENV)
