# `make` sets up and runs the pipeline, `make help` lists the rest.
# Another interpreter: make PYTHON=python3.12. Another place for the environment: make VENV=/somewhere/venv.

PYTHON ?= python3
ifeq ($(strip $(PYTHON)),)
override PYTHON := python3
endif
VENV ?= .venv

# not $(abspath ...), which takes a blank in the path for an end of it
BIN := $(if $(filter /%,$(VENV)),,$(CURDIR)/)$(VENV)/bin
LOCK := $(shell cat pyproject.toml requirements.txt requirements-dev.txt | cksum | cut -d ' ' -f 1)
READY := $(VENV)/.ready-$(LOCK)
READY_DEV := $(VENV)/.ready-dev-$(LOCK)

# the browser test's; only root can install it
CHROMIUM := { test "$$(id -u)" = 0 && command -v apt-get > /dev/null && apt-get -qq update && \
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core > /dev/null; }

# DVC runs `python` of the PATH
export PATH := $(BIN):$(PATH)

.PHONY: all ready test docs bench sample lock clean help

all: ready $(READY) ## install what is missing, run what is out of date, show the results
	@python -m stages.preflight
	@dvc repro || { echo "make: failed. Fix the error and run make again; to get the last outputs back, undo your change and run make" >&2; exit 1; }
	@python -m stages.summary

ready:
	@$(PYTHON) stages/ready.py "$(VENV)" $(firstword $(origin PYTHON))

test: $(READY_DEV) ## ruff, mypy and pytest
	ruff check .
	ruff format --check .
	mypy
	pytest -n 2

docs: $(READY_DEV) ## build docs/ as a site in site/, strictly
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict
	@echo "open site/index.html, or serve it: python -m mkdocs serve"

bench: $(READY_DEV) ## compare speed and quality with faiss, scikit-learn and k-means-constrained; writes bench/RESULTS.md
	python -m bench

sample: $(READY) ## write data/sample again, to the same bytes
	python tools/make_sample.py

# sid is named in its own extra `pipeline`, and a lock must not name the folder it was made in
COMPILE := pip-compile -q --upgrade --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
  --no-emit-trusted-host --unsafe-package sid --unsafe-package setuptools --unsafe-package pip --extra pipeline

lock: $(READY_DEV) ## renew requirements.txt and requirements-dev.txt within the ranges of pyproject.toml
	$(COMPILE) --constraint constraints.txt --output-file requirements.txt pyproject.toml
	$(COMPILE) --constraint requirements.txt --extra test --extra bench --extra lock \
	  --output-file requirements-dev.txt pyproject.toml
	@# a local build's suffix names a build that other machines can't install
	sed -i.bak 's/^\(torch==[0-9.]*\)+[a-z0-9]*/\1/' requirements.txt requirements-dev.txt
	rm -f requirements.txt.bak requirements-dev.txt.bak

clean: ## remove the environment, caches and unfinished files; outputs and DVC's cache stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .checkpoints *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find data reports -name '.*.partial' -prune -exec rm -rf {} +

help: ## list the commands
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 10

$(READY):
	@$(PYTHON) stages/ready.py "$(VENV)" $(firstword $(origin PYTHON))
	@echo "Installing into $(VENV), a few minutes the first time ..."
	@test -x "$(BIN)/python" || $(PYTHON) -m venv "$(VENV)"
	@"$(BIN)/python" -m pip install -q -r requirements.txt
	@"$(BIN)/python" -m pip install -q --no-deps -e .
	@touch $@

$(READY_DEV): $(READY)
	@echo "Installing test tools into $(VENV) ..."
	@"$(BIN)/python" -m pip install -q -r requirements-dev.txt
	@command -v chromium > /dev/null || $(CHROMIUM) || \
	  echo "make: no Chromium, the report's browser test will skip; install your system's package chromium" >&2
	@touch $@
