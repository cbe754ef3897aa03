# Everything a newcomer needs; each target makes the environment first if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: demo test lint bench clean

demo: $(VENV)/.installed  ## find the layer on the bundled translator, ends with a report
	$(BIN)/taskpoint locate translator --task everyday:eng-fra --items 48 --instruction both --out runs/demo

test: $(VENV)/.installed  ## every test
	$(BIN)/python -m pytest -n logical --dist worksteal

lint: $(VENV)/.installed  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## ratios, each within one run (docs/performance.md); the last installs other tools beside it
	$(BIN)/python benchmarks/cut.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/compiled.py
	$(BIN)/python benchmarks/translator.py
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/peers.py

clean:
	rm -rf $(VENV) runs benchmarks/.peers

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
