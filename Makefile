# Needs Python 3.13, make and git; everything else is put under .build/ by itself.
# `make` alone lists the verbs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?=
BASE_PYTHON = $$(PYTHON="$(PYTHON)" scripts/find-python)
VENV := .build/venv/bin
SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} .build/sam/bin/sam

.PHONY: help
help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ environment

.PHONY: setup
setup:  ## make or update the virtual environments under .build/
	@"$(BASE_PYTHON)" scripts/bootstrap.py setup

.PHONY: lock
lock:  ## resolve requirements/*.in again, keeping pins that still fit (UPGRADE=1: take newer ones)
	@"$(BASE_PYTHON)" scripts/bootstrap.py lock $(if $(UPGRADE),--upgrade)
