# Everything a newcomer needs; each target makes the environment first if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: options rehearse demo test lint bench lock versions canary clean

demo: $(VENV)/.installed  ## find the layer on the bundled translator, ends with a report
	$(BIN)/taskpoint locate translator --task everyday:eng-fra --items 48 --instruction both --out runs/demo

# A process for each core, each with one thread: more would wait for each other.
test: export OMP_NUM_THREADS ?= 1
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
	$(BIN)/python benchmarks/lora.py
	$(BIN)/python benchmarks/translator.py
	$(BIN)/python benchmarks/published.py
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/peers.py

rehearse: $(VENV)/.installed  ## every preset of paper A on tiny random models; DATA=DIR with flores101, humaneval, mbpp
	$(BIN)/python tools/rehearse.py $(DATA)

lock: $(BIN)/python  ## constraints.txt: exact versions of everything, the newest that fit together
	$(BIN)/python tools/lock.py

options: $(VENV)/.installed  ## the tables of options in docs/, from the fields of the configurations
	$(BIN)/python tools/options.py

versions: $(VENV)/.installed  ## every version of models/tested_versions.txt, tested; writes docs/versions.md
	$(BIN)/python tools/versions.py

canary: $(VENV)/.installed  ## every test with the newest of everything; TORCH=2.13.0 holds torch alone back
	$(BIN)/python tools/canary.py

clean:
	rm -rf $(VENV) .versions runs benchmarks/.peers

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The variables reach what builds our own package, too; older and newer pips read one of them each.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	  $(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	touch $@
