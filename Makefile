# `make demo` and `make test` need Python 3.11 and nothing else; both create .venv on first use.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
export MPLBACKEND := Agg
export WANDB_SILENT := true

.PHONY: help demo benchmark test test-all lint clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/installed ## both stages, evaluation, pictures and report on the synthetic phantom
	$(RUN) -m anomask.train experiment=demo_codebook
	$(RUN) -m anomask.train experiment=demo_detector codebook_run=demo_codebook
	$(RUN) -m anomask.evaluate run=demo_detector

# One data set's record: make results/lungwin.json, or covidseg, sarscov2ct. Needs the real slices in $ANOMASK_DATA.
RUNS := $(or $(ANOMASK_RUNS),runs)
results/%.json: $(VENV)/installed
	$(RUN) -m anomask.train experiment=$*_codebook
	$(RUN) -m anomask.train experiment=$*_detector codebook_run=$*_codebook
	$(RUN) -m anomask.evaluate run=$*_detector
	mkdir -p results
	cp $(RUNS)/$*_detector/latest/evaluation/*/record.json $@.part && mv $@.part $@

benchmark: $(VENV)/installed ## time of the synthesiser, the metrics, the checks of a data folder and the decoded cache
	$(RUN) benchmarks/synthesiser.py
	$(RUN) benchmarks/metrics.py
	$(RUN) benchmarks/verify.py

test: $(VENV)/installed ## the default suite, under 5 minutes on 2 cores
	$(RUN) -m pytest -n 2 --dist worksteal

test-all: $(VENV)/installed ## with the slow tests
	$(RUN) -m pytest -n 2 --dist worksteal -m ''

lint: $(VENV)/installed ## style of the code
	$(VENV)/bin/ruff check src tests benchmarks
	$(VENV)/bin/ruff format --check src tests benchmarks

# An environment that already holds a torch build (GPU users, README) is kept: pip finds torch satisfied.
$(VENV)/installed: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean: ## the environment and caches; never runs or data
	rm -rf $(VENV) .pytest_cache .ruff_cache
