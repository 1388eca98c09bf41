# Needs make, git and Python 3.10 or later with venv. Everything is installed into .venv, once for every change of
# pyproject.toml or constraints.txt; after that nothing here needs a network.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
# How many cases of each kind; ABUSE_REPORT=FILE keeps the tables.
ABUSE ?= ABUSE_MUTATIONS=12000 ABUSE_POINTS=1000 ABUSE_KILLS=400 ABUSE_LIMITS=40 ABUSE_SIZES=3 ABUSE_NEIGHBOURS=10 ABUSE_PHOTOS=5000 ABUSE_YAML=2000

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
WANTED := pyproject.toml constraints.txt

.NOTPARALLEL:
.PHONY: help demo test readme abuse fmt lint types listing clean

help:
	@echo "make demo    teach toyland a bundled subject and print where the picture and the page are"
	@echo "make test    run all tests; ARGS='-k loop' chooses, WORKERS=8 spreads them"
	@echo "make readme  follow the README from top to bottom in a fresh clone, with times; README_SKIP='make test' leaves that out"
	@echo "make abuse   damage files, fill disks and kill runs, thousands of times; ABUSE='...' says how often"
	@echo "make fmt     format the code"
	@echo "make lint    check style and format"
	@echo "make types   check types"
	@echo "make listing write what \`portraitist methods\` lists and which layers architectures have and what training on them takes, after a change of them"
	@echo "make clean   remove .venv and caches"

demo: $(VENV)/.installed
	$(BIN)/portraitist demo $(ARGS)

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

readme: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/test_readme_walkthrough.py -m "walkthrough or not walkthrough" $(ARGS)

abuse: $(VENV)/.installed-test
	$(ABUSE) OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/hard_use -m "abuse or not abuse" $(ARGS)

fmt: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

listing: $(VENV)/.installed
	$(BIN)/python -c "from portraitist.cli.methods import describe_methods; print(describe_methods(), end='')" > methods.yaml
	mv methods.yaml src/portraitist/cli/methods.yaml
	$(BIN)/python -c "from pathlib import Path; from portraitist.training.planning.listing import write_listings; write_listings(Path('src/portraitist/training/planning/listings'))"
	$(BIN)/python -c "from pathlib import Path; from portraitist.training.planning.listing import write_footprints; write_footprints(Path('src/portraitist/training/planning/footprints.json'))"

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(WANTED) | $(BIN)/pip
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-test: $(WANTED) | $(BIN)/pip
	$(INSTALL) -e ".[test,toyland]"
	touch $(VENV)/.installed $@

$(VENV)/.installed-dev: $(WANTED) | $(BIN)/pip
	$(INSTALL) -e ".[test,toyland,dev]"
	touch $(VENV)/.installed $(VENV)/.installed-test $@
