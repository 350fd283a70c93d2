# make train     sets up .venv with the host and rk-pointer-net, and trains the quick recipe
# make test      sets up .venv with everything, and runs all tests
# make install   sets up .venv with the host and every plugin
# Each begins from nothing but Python and a package index, and does only what is missing when run again.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
QUICK := plugins/rk-pointer-net
# Without build isolation: one environment for 43 builds would take minutes. --no-compile: Python compiles what it imports.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
EDITABLE := --no-build-isolation $(foreach plugin,$(PLUGINS),--editable $(dir $(plugin)))
HOST := --editable ".[digits,lightning,onnx,report]"

.PHONY: train install test lint bench results docs clean

train: $(VENV)/.quick
	$(BIN)/rk train pointer-net/convex-hull-quick

install: $(VENV)/.plugins

test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.ready
	$(PIP) --group lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.ready
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

# The pages of what the recipes claim and have reached, and the numbers in READMEs and headers, from their results.json.
results: $(VENV)/.ready
	$(BIN)/python docs/fill_numbers.py --write
	$(BIN)/rk reproduce all recipes recipes/sequence-zoo --stored --pages docs/results

# The reference page, from the docstrings.
docs: $(VENV)/.ready
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV)
