# keraskit: `make run` trains the first model, `make test` checks everything; `make help` lists the rest.
#   make cnn ARGS="--epochs 2 --seed 1"      flags for a recipe
#   make run PYTHON=python3.12               another Python

PYTHON  ?= python3
VENV    ?= .venv
ARGS    ?=
GRAPHS  ?= runs/graphs
BIN     := $(VENV)/bin
RECIPES := $(filter-out __init__,$(basename $(notdir $(wildcard recipes/*.py))))
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test versions list show doctor results bench docs pages chapters notebook lint clean $(RECIPES)

help:             ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make <recipe>  one of: $(RECIPES)"

run: mlp          ## train the first model on MNIST, evaluate, plot

$(RECIPES): %: $(VENV)/.installed
	@$(BIN)/python -m keraskit.recipes.$@ $(ARGS)

test: $(VENV)/.installed-dev   ## run the test suite
	@$(BIN)/python -m pytest $(ARGS)

versions: $(VENV)/.installed   ## run the tests with the lowest and the newest versions allowed, write docs/versions.md
	@$(PIP) uv && $(BIN)/python benchmarks/versions.py

list: $(VENV)/.installed       ## list the recipes
	@$(BIN)/keraskit list

show: $(VENV)/.installed       ## show every recipe, and draw its graph into GRAPHS (runs/graphs; the pages' are in docs/architecture)
	@mkdir -p $(GRAPHS) && for name in $(filter-out augmentation classify,$(RECIPES)); do $(BIN)/keraskit show $$name --graph $(GRAPHS)/$$name.svg || exit $$?; done

doctor: $(VENV)/.installed     ## look at this machine
	@$(BIN)/keraskit doctor

results: $(VENV)/.installed    ## run recipes that need no photographs in full, write docs/results.json and the pages' tables
	@$(BIN)/python benchmarks/results.py $(ARGS) --readme README.md && $(BIN)/python benchmarks/pages.py

bench: $(VENV)/.installed-dev  ## run the benchmarks, write docs/performance.md
	@$(BIN)/python benchmarks/speed.py --json docs/speed.json
	@$(BIN)/python benchmarks/sooner.py --json docs/sooner.json
	@$(BIN)/python benchmarks/memory.py --json docs/memory.json
	@$(BIN)/python benchmarks/pytorch.py --json docs/pytorch.json
	@$(BIN)/python benchmarks/startup.py --json docs/startup.json
	@$(BIN)/python benchmarks/precision.py --json docs/precision.json
	@$(BIN)/python benchmarks/scaling.py --json docs/scaling.json
	@$(BIN)/python benchmarks/augmentation.py --json docs/augmentation.json
	@$(BIN)/python benchmarks/recurrent.py --json docs/recurrent.json
	@$(BIN)/python benchmarks/kill.py --json docs/kill.json
	@$(BIN)/python benchmarks/pages.py

docs: $(VENV)/.installed       ## write the generated pages in docs/
	@$(BIN)/python benchmarks/pages.py && $(BIN)/python benchmarks/handbook.py

pages: $(VENV)/.installed-dev  ## make runs of all sorts and shoot their pages in Chromium, into build/pages
	@$(BIN)/python benchmarks/screenshots.py $(ARGS)

chapters: $(VENV)/.installed-chapters   ## make a notebook of each text in docs/chapters, which both then follow each other
	@cd docs/chapters && $(abspath $(BIN))/jupytext --quiet --set-kernel python3 --sync [1-6]-*.md

notebook: chapters             ## open the chapters in a browser
	@cd docs/chapters && $(abspath $(BIN))/jupyter lab $(ARGS)

lint: $(VENV)/.installed-lint  ## check style and the types of public signatures
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:            ## remove the environment and what was built; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
	  { echo "keraskit needs Python 3.11 to 3.13; $(PYTHON) is another. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make $(VENV), as it says; on Debian: apt install $(notdir $(PYTHON))-venv" >&2; exit 2; }
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing keraskit into $(VENV) (TensorFlow is 0.6 GB; once) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need into $(VENV) ..."
	@$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed
	@$(PIP) --editable '.[lint]'
	@touch $@

$(VENV)/.installed-chapters: $(VENV)/.installed
	@echo "installing what notebooks need into $(VENV) ..."
	@$(PIP) --editable '.[chapters]'
	@touch $@
