# Needs Python 3.13, make and git; everything else is put under .build/ by itself.
# `make` alone lists the verbs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export SAM_CLI_TELEMETRY := 0

PYTHON ?=
BASE_PYTHON = python="$$(PYTHON="$(PYTHON)" scripts/find-python)"; "$$python"
VENV := .build/venv/bin
RUN := $(VENV)/python
SAM := AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} .build/sam/bin/sam
# Further arguments for pytest: make test ARGS='-k latch -x'
ARGS ?=

.PHONY: help
help:  ## list the verbs
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Environment

.PHONY: setup
setup:  ## make or update the virtual environments under .build/
	@$(BASE_PYTHON) scripts/bootstrap.py setup

.PHONY: lock
lock:  ## resolve requirements/*.in again, keeping pins that still fit (UPGRADE=1 takes newer ones)
	@$(BASE_PYTHON) scripts/bootstrap.py lock $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean:  ## remove everything that was generated
	rm -rf .build .aws-sam

##@ Product

.PHONY: build
build: setup  ## sam build, unless these sources are built already
	@$(RUN) scripts/build.py --deployable

.PHONY: demo
demo: setup  ## the whole story on this machine, in less than three minutes
	@PYTHONPATH=scripts:. $(RUN) scripts/demo.py

##@ Operations

# The stack that doctor and smoke look at: make doctor STACK=token-vending
STACK ?=

.PHONY: doctor
doctor: setup  ## examine a deployed stack from outside: make doctor STACK=name [ARGS=--json]
	@PYTHONPATH=tools:layers/token_vending $(RUN) -m token_vending_ops doctor --stack "$(STACK)" $(ARGS)

.PHONY: smoke
smoke: setup  ## try a deployed stack, reading only: make smoke STACK=name [REFRESH=1] [PROBE_ROLE_ARN=...]
	@test -n "$(STACK)" || { echo "make smoke: say which stack: make smoke STACK=name" >&2; exit 2; }
	@AWS_SAM_STACK_NAME="$(STACK)" REFRESH="$(REFRESH)" PROBE_ROLE_ARN="$(PROBE_ROLE_ARN)" \
		$(RUN) -m pytest -rs tests/e2e/test_y_smoke.py $(ARGS)

.PHONY: year
year: setup  ## a simulated year, five times: mints, age, days without a token, alarms (docs/year.md)
	@PYTHONPATH=layers/token_vending:scripts:. $(RUN) scripts/year.py

.PHONY: publish-check
publish-check: build  ## is this fit for the Serverless Application Repository? Writes .build/sbom/
	@PYTHONPATH=scripts:. $(RUN) scripts/publish_check.py $(ARGS)

##@ Tests and checks

# More than a small machine has cores, since many tests wait: for a timeout, a deployment, a schedule.
WORKERS ?= 4

.PHONY: test
test: build  ## every test: unit, contract, infrastructure, integration, end to end
	@REQUIRE_BUILD=1 $(RUN) -m pytest -n $(WORKERS) $(ARGS)

.PHONY: unit
unit: setup  ## the tests that need nothing started
	@$(RUN) -m pytest tests/unit $(ARGS)

.PHONY: e2e
e2e: build  ## the tests on the embedded stack
	@$(RUN) -m pytest tests/e2e $(ARGS)

# How much of it: make soak EXAMPLES=20000 WALKS=200000
EXAMPLES ?= 10000
WALKS ?= 100000

.PHONY: soak
soak: setup  ## the model for half an hour, with other examples each time (EXAMPLES=, WALKS= say how many)
	@MODEL_EXAMPLES=$(EXAMPLES) MODEL_STEPS=40 MODEL_WALKS=$(WALKS) MODEL_SEED=$$(date +%s) \
		$(RUN) -m pytest -n 2 tests/simulation $(ARGS)

.PHONY: reliability
reliability: setup  ## run the crash, fault and race tests and write their tables into docs/reliability.md
	@$(RUN) scripts/reliability.py

.PHONY: mutants
mutants: setup  ## every safeguard taken out, one at a time, makes a test fail
	@$(RUN) scripts/mutants.py

.PHONY: check
check: setup lint types imports template controls workflows locks  ## lints, types, import contracts, template, controls, workflows, locks

.PHONY: lint
lint: setup
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .

.PHONY: types
types: setup
	@$(VENV)/mypy .

.PHONY: imports
imports: setup
	@PYTHONPATH=layers/token_vending:layers/token_client $(VENV)/lint-imports --cache-dir .build/.import_linter_cache --no-logo

.PHONY: template
template: setup  ## lint the template, and its transformed self for every region and partition (docs/regions.md)
	@.build/sam/bin/cfn-lint template.yaml examples/consumer/template.yaml
	@PYTHONPATH=scripts:. $(RUN) scripts/regions.py $(ARGS)
	@for template in template.yaml examples/consumer/template.yaml; do $(SAM) validate --lint --template "$$template"; done

.PHONY: controls
controls: setup  ## checkov and AWS Control Tower's rules on the transformed template (the table in SECURITY.md)
	@PYTHONPATH=scripts:. $(RUN) scripts/controls.py $(ARGS)

.PHONY: workflows
workflows: setup
	@for workflow in $(wildcard .github/workflows/*.yml .github/workflows/*.yaml); do \
		$(VENV)/check-jsonschema --quiet --builtin-schema vendor.github-workflows "$$workflow"; \
		$(VENV)/zizmor --offline --quiet "$$workflow"; \
	done

.PHONY: locks
locks: setup
	@$(BASE_PYTHON) scripts/bootstrap.py check

.PHONY: format
format: setup  ## let ruff mend what it can
	@$(VENV)/ruff check --fix-only --quiet .
	@$(VENV)/ruff format .

##@ Speed and cost

.PHONY: bench
bench: setup  ## measure the functions beside what else could have been written; writes docs/performance.md
	@PYTHONPATH=scripts:.:layers/token_client:layers/token_vending $(RUN) -m tests.benchmarks $(ARGS)

.PHONY: cost
cost: setup  ## what callers cost a month, and where AWS's limits bite (ARGS='--callers 200 --help')
	@$(RUN) scripts/cost.py $(ARGS)
