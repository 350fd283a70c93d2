# make train   sets up .venv and trains the quick recipe        make test   sets up .venv and runs all tests
# Both begin from nothing but Python and a package index, and do only what is missing when run again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
READY := $(VENV)/.ready

.PHONY: train test lint bench results docs clean

train: $(READY)
	$(BIN)/rk train pointer-net/convex-hull-quick

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# One pip command for the host and every plugin, without build isolation: 43 isolated builds would take minutes.
$(READY): pyproject.toml constraints.txt $(PLUGINS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip hatchling editables
	$(BIN)/python -m pip install --quiet --no-build-isolation --constraint constraints.txt --group test \
		--editable ".[digits,lightning,onnx,report]" $(foreach plugin,$(PLUGINS),--editable $(dir $(plugin)))
	touch $@

# The page of what the recipes claim and have reached, from their results.json.
results: $(READY)
	$(BIN)/rk reproduce all recipes recipes/sequence-zoo --stored --markdown > docs/results.md

# The reference page, from the docstrings.
docs: $(READY)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV)
