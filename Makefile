# make run: the daily job on the bundled sample. make test: every check and test. Both need only Python 3.11+ and make.
# make test-exact: all of the largest corpus against the reference, token for token (half an hour).
# make bench: measure (BENCH='--repetitions 1 --incremental-megabytes 20' for a quick look). make bench-readme: put the newest figures into the READMEs.
# make test-image: build the container image without an engine and run the job in it (root, buildah, debootstrap; minutes).
# make faults: let all faults of the fault table happen (root, Linux). make faults-readme: put the newest table into the READMEs.
# make lock: pin anew what the image installs.
# make profile: where a worker's time goes. These three need Linux and the corpora in ../shared.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

.PHONY: run test test-jobs test-rest test-exact test-image lint lock faults faults-readme bench bench-readme profile clean
.DELETE_ON_ERROR:

run: $(VENV)/installed-run
	$(BIN)/kizami run recipes --config jobs/sample/kizami.toml
	@$(BIN)/python jobs/sample/first_rows.py

# In two halves at once: much of the time of either is waiting. Each prints its own closing line. Nearly all tests of the
# job are one half; those in test_[cf]*.py make the other as long.
test: lint
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target test-jobs test-rest

test-jobs:
	$(BIN)/python -m pytest tests/jobs --ignore-glob '*/jobs/test_[cf]*'

test-rest:
	$(BIN)/python -m pytest --ignore-glob '*/jobs/test_[!cf]*'

test-exact: $(VENV)/installed-test
	$(BIN)/python -m pytest -m exact

test-image: $(VENV)/installed-test
	$(BIN)/python -m pytest -m image --durations=0 -s

faults: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m faults $(FAULTS)

faults-readme: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m faults --readme

lock: $(VENV)/installed-test
	$(BIN)/uv pip compile $(LOCK) --extra jobs pyproject.toml docker/requirements.in -o docker/requirements.lock
	$(BIN)/uv pip compile $(LOCK) docker/build.in -o docker/build.lock

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

bench-readme: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks --readme

profile: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks.profile_worker $(PROFILE)

clean:
	rm -rf $(VENV) .sample-store .bench .faults

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Kizami needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "Python could not make a virtual environment (on Debian: apt-get install python3-venv)" >&2; exit 1; }

$(VENV)/installed-run: pyproject.toml | $(VENV)/bin/python
	@echo "installing Kizami into $(VENV) (a minute or two the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[jobs,pandas]'
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	@echo "installing Kizami and its tests into $(VENV) (a minute or two the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[jobs,pandas,test]'
	@touch $@
