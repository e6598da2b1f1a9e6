# `make demo` and `make test` each need nothing but Python 3.11 or newer: they make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean

demo: $(VENV)/ready
	HF_HUB_OFFLINE=1 $(BIN)/python examples/train_ume_grpo.py $(ARGS)

test: $(VENV)/ready
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 $(ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# For tests alone: an encoder that one carries, objectives that the other has; what they pin is older than ours.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps rxnmapper guacamol fcd
	touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info
