# `make demo` and `make test` need Python 3.11 and nothing else; both create .venv on first use.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
export MPLBACKEND := Agg
export WANDB_SILENT := true

.PHONY: help demo tables study study9 study10 study11 study13 study-draem limits reproduce benchmark baselines-env anomalib test test-all lint licences hashes audit docs clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -hE '^[a-z0-9 -]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

# Figures of one phantom and one training say little: PHANTOM and SEED give others.
PHANTOM ?= 0
SEED ?= 0
DEMO := seed=$(SEED) data.phantom_seed=$(PHANTOM)
demo: $(VENV)/installed ## both stages, evaluation, pictures and report on the synthetic phantom; make demo PHANTOM=1 SEED=2
	$(RUN) -m anomask train experiment=demo_codebook $(DEMO)
	$(RUN) -m anomask train experiment=demo_detector codebook_run=demo_codebook $(DEMO)
	$(RUN) -m anomask evaluate run=demo_detector
	$(RUN) -m anomask predict run=demo_detector input=data/phantom$(PHANTOM)_128/test/abnormal/covid19

# Tables of the paper on real slices (in $ANOMASK_DATA): from records alone, and what makes missing ones.
DATA ?= lungwin256
TABLE ?= 1
SEEDS ?= 1
# Of the table: only these rows, as a,b; and the folder that they are evaluated on, where it is not DATA itself.
ROWS ?=
FOLDER ?=
TABLES := table1 table2 table3 table4 table5 table6 table7 table8
.PHONY: $(TABLES) table12

tables: $(TABLES) ## tables 1 to 8 from the records in results/DATA, as Markdown, LaTeX and CSV

table1: ## detection, all diseases together: make table1 DATA=covidseg256
table2: ## detection of each disease
table3: ## localisation, in the slice and in the lung
table4: ## ablation of the paper's method
table5: ## map and score
table6: ## hyper-parameters
table7: ## the release's behaviour against the method
table8: ## cost
table12: ## the default at 256 px, lungwin256 and covidseg256
$(TABLES) table12: table%: $(VENV)/installed
	$(RUN) -m anomask tables paper_table=t$* records=results/$(DATA) $(if $(ROWS),'rows=[$(ROWS)]')

# Settings are chosen on lesions of half of the patients, put into normals that no detector was trained on.
TRANSPLANTS := data/transplants_development
study: study9 study10 study11 study13 ## tables 9 to 11 and 13, on the development transplants
study9: ## from the paper's setting to the default, step by step
study10: ## robustness of the default
study9 study10: study%: $(VENV)/installed
	$(RUN) -m anomask transplant half=development output=$(TRANSPLANTS)
	$(RUN) -m anomask reproduce paper_table=t$* folder=$(TRANSPLANTS) seeds=$(SEEDS) "launch='$(LAUNCH)'"
	$(RUN) -m anomask tables paper_table=t$* records=results/transplants_development

HOSTS := lungwin256 sarscov2ct224 covidseg256
study11: $(HOSTS:%=study11-%) ## trained on lungwin256, lesions in normals of three hospitals
study11-%: $(VENV)/installed
	$(RUN) -m anomask transplant half=development 'hosts=$${paths.data}/$*' output=$(TRANSPLANTS)_$*
	$(RUN) -m anomask reproduce paper_table=t11 folder=$(TRANSPLANTS)_$* seeds=$(SEEDS) "launch='$(LAUNCH)'"
	$(RUN) -m anomask tables paper_table=t11 records=results/transplants_development_$*

study13: $(HOSTS:%=study13-%) ## what each part of the default gives, at equal steps, on the same transplants
study13-%: $(VENV)/installed
	$(RUN) -m anomask transplant half=development 'hosts=$${paths.data}/$*' output=$(TRANSPLANTS)_$*
	$(RUN) -m anomask reproduce paper_table=t13 folder=$(TRANSPLANTS)_$* seeds=$(SEEDS) "launch='$(LAUNCH)'"
	$(RUN) -m anomask tables paper_table=t13 records=results/transplants_development_$*

study-draem: $(VENV)/installed ## the best other method on the test transplants, with the default's augmentation
	$(RUN) -m anomask transplant half=test output=data/transplants_test
	$(RUN) -m anomask train experiment=baseline_draem data=lungwin256 augment=ct name=lungwin256_draem_ct_seed0
	$(RUN) -m anomask evaluate run=lungwin256_draem_ct_seed0 folder=data/transplants_test

limits: $(VENV)/installed ## where the paper corrupts, and what bounds the default: after make study
	$(RUN) -m anomask transplant half=development output=$(TRANSPLANTS)
	$(RUN) benchmarks/places.py --codebook lungwin256_codebook_seed0 --folder $(TRANSPLANTS)
	$(RUN) benchmarks/limits.py --run lungwin256_steps_1000_seed0 --folder $(foreach h,$(HOSTS),$(TRANSPLANTS)_$h)

reproduce: $(VENV)/installed ## train and evaluate what a table lacks: make reproduce TABLE=1 DATA=lungwin256 SEEDS=3 ROWS=anomask,vae
	$(RUN) -m anomask reproduce paper_table=t$(TABLE) dataset=$(DATA) seeds=$(SEEDS) "launch='$(LAUNCH)'" \
	    $(if $(ROWS),'rows=[$(ROWS)]') $(if $(FOLDER),folder=$(FOLDER))

benchmark: $(VENV)/installed ## time of the synthesiser, a step of stage 2, metrics, data checks, cache, and of training on paper
	$(RUN) benchmarks/synthesiser.py
	$(RUN) benchmarks/detector.py
	$(RUN) benchmarks/metrics.py
	$(RUN) benchmarks/verify.py
	$(RUN) benchmarks/scaling.py

# Models of anomalib live in an environment of their own: its pins and ours cannot be met together.
BASELINES := .venv-baselines
MODEL ?= patchcore
baselines-env: $(BASELINES)/installed ## anomalib's own environment, 6 GB, never touching .venv

# What is not whole is removed, whatever cut it off; pip's and the trial's last lines are the reason.
$(BASELINES)/installed: constraints-baselines.txt
	@trap 'test -e $@ || { rm -rf $(BASELINES); echo "$(BASELINES) could not be made, for the reason above;" \
	    "nothing of it is left. Needed: $(PYTHON), 7 GB of disk and a package index."; }' EXIT; trap 'exit 1' INT TERM; \
	rm -rf $(BASELINES) && $(PYTHON) -m venv $(BASELINES) && \
	$(BASELINES)/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir \
	    -c constraints-baselines.txt anomalib && \
	$(BASELINES)/bin/python -I -W ignore -c \
	    "import torch, torchvision, anomalib.models; torchvision.ops.nms(torch.eye(4), torch.ones(4), 0.5)" && touch $@

anomalib: $(VENV)/installed ## train and evaluate a model of anomalib: make anomalib MODEL=draem DATA=lungwin256
	$(RUN) -m anomask external anomalib=$(MODEL) data=$(DATA) name=$(DATA)_anomalib_$(MODEL)
	$(RUN) -m anomask evaluate run=$(DATA)_anomalib_$(MODEL)

test: $(VENV)/installed ## the default suite, 3 minutes on 2 cores
	$(RUN) -m pytest -n 2 --dist worksteal

test-all: $(VENV)/installed ## with the slow tests
	$(RUN) -m pytest -n 2 --dist worksteal -m ''

lint: $(VENV)/installed ## style of the code
	$(VENV)/bin/ruff check src tests benchmarks notebooks supply
	$(VENV)/bin/ruff format --check src tests benchmarks notebooks supply

licences: $(VENV)/installed ## THIRD_PARTY.md: the licence of every package that the project is tested with
	$(RUN) supply/licences.py

hashes: $(VENV)/installed ## constraints-hashed.txt: digests of what pip installs here
	$(RUN) supply/hashes.py

audit: licences ## and known weaknesses of these packages, where pip-audit is installed and reaches its data
	@if command -v pip-audit > /dev/null; then pip-audit --disable-pip --no-deps -r constraints.txt; \
	else echo "no pip-audit here (pipx install pip-audit): known weaknesses were not looked up."; fi

docs: $(VENV)/installed ## the pages of docs/ as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
	@echo "look at site/index.html; with search: $(RUN) -m http.server -d site"

# An environment that already holds a torch build (docs/start/install.md) is kept: pip finds torch satisfied.
$(VENV)/installed: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean: ## the environments, caches and site; never runs or data
	rm -rf $(VENV) $(BASELINES) .pytest_cache .ruff_cache site
