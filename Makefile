# A TFX pipeline for transfer-learning object detection. `make` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The pipeline that `make run` runs, and where `make serve` serves it from. Another one: make run CONFIG=my.yaml NAME=my-name
CONFIG ?= pipeline/configs/demo.yaml
NAME ?= demo
PORT ?= 8500
DEMO_DATA := build/demo
# Tests that build networks and train them.
NETWORKS := tests/components/detector tests/components/trainer
# TensorFlow's notices from before its logging is set up, which no variable turns off. Errors pass.
NOTICES := ^(WARNING: All log messages before absl|[IW][0-9]{4} )
without_notices = set -o pipefail; { $(1) 2>&1 >&3 | sed -uE '/$(NOTICES)/d' >&2; } 3>&1

export PIPELINE_CONFIG := $(abspath $(CONFIG))
# The TFX CLI keeps its list of pipelines here instead of in the home directory.
export LOCAL_HOME := $(abspath build/tfx-cli)
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PYTHONWARNINGS ?= ignore

.PHONY: help install data run serve test flink-test lint benchmark drawing lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

install: $(VENV)/installed ## make .venv from the committed lock

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

data: install ## draw the demo's street scenes
	$(BIN)/python -m demo.scenes --output $(DEMO_DATA)

run: install $(if $(filter demo,$(NAME)),data) ## run the whole pipeline through the TFX CLI (the demo, unless CONFIG and NAME say otherwise)
	@verb=create; [ -d "$(LOCAL_HOME)/$(NAME)" ] && verb=update; \
	 $(call without_notices,$(BIN)/tfx pipeline $$verb --engine=local --pipeline-path=$(CURDIR)/pipeline/local_runner.py)
	@$(call without_notices,$(BIN)/tfx run create --engine=local --pipeline-name=$(NAME))

serve: install ## serve the newest pushed model over gRPC
	$(BIN)/python -m serving.server --model_base_path build/pipelines/$(NAME)/served/detector --model_name detector --port $(PORT)

test: install ## run the tests
	@# TensorFlow keeps what it has compiled. Two runs one after the other need half of the memory of one.
	@status=0; \
	 for part in "$(NETWORKS)" "$(NETWORKS:%=--ignore=%)"; do \
	   $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $$part || status=$$?; \
	 done; exit $$status

flink-test: install ## run the Beam nodes on a Flink of this machine, beside the DirectRunner (installs Flink into build/flink)
	FLINK_TEST=1 $(BIN)/python -m pytest tests/kubeflow/local_flink/test_beam_nodes.py

lint: install ## ruff, and mypy in strict mode
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: install ## measure everything in benchmarks/RESULTS.md (hours on two cores; python -m benchmarks.all NAME for one)
	$(BIN)/python -m benchmarks.all

drawing: install ## draw docs/architecture.svg anew from the imports
	$(BIN)/python -m docs.draw_architecture

lock: install ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra pipeline --extra devices --extra dev --python-version 3.11 --python-platform x86_64-manylinux_2_31 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean: ## remove what runs have made (build/: demo data, artifacts, pushed models), keep .venv
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
