# Everything a person types. A fresh machine needs only Python 3.11 or later, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHARED ?= ../shared
BUDGET ?= small

.PHONY: demo test mutate load fuzz audit screenshots bench bench-geometry bench-screen bench-export bench-detectors bench-trials bench-learning edge \
    geometry-overlays lint serve pin clean

demo: $(STAMP)
	$(BIN)/cds demo --out demo-output

# Two processes; what starts servers and browsers of its own comes after what computes.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/integration --ignore=tests/e2e
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/integration tests/e2e

# Changes every clinical number a little and counts the changes that no test notices: about an hour.
mutate: $(STAMP)
	$(BIN)/python -m tests.mutation.thresholds

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks.latency $(if $(wildcard $(SHARED)/data/fracatlas/images),--data $(SHARED)/data/fracatlas)

# Twenty users for two minutes against a service of its own.
load: $(STAMP)
	$(BIN)/python -m tests.benchmarks.load --users 20 --seconds 120

# Damaged files and hostile requests at every entrance, two minutes each.
fuzz: $(STAMP)
	$(BIN)/python -m tests.benchmarks.fuzz

audit: $(STAMP)
	$(BIN)/bandit -q -r cds imaging fhir_adapters fusion tabular --severity-level high
	$(BIN)/pip-audit -r requirements.txt --no-deps --disable-pip --strict

bench-geometry: $(STAMP)
	$(BIN)/python -m tests.benchmarks.geometry

# Twenty real fractures with what was measured drawn on them, and a page of all: for a person to check by eye.
geometry-overlays: $(STAMP)
	$(BIN)/python -m tests.benchmarks.overlays --data $(SHARED)/data/fracatlas --count 20 --out out/geometry-overlays

bench-screen: $(STAMP)
	$(BIN)/python -m tests.benchmarks.screening --json out/screening.json

bench-export: edge
	$(BIN)/python -m tests.benchmarks.export $(if $(wildcard $(SHARED)/data/fracatlas/images),--data $(SHARED)/data/fracatlas)

# Trains four networks on the data in SHARED: hours. What is finished is not done again.
bench-detectors: $(STAMP)
	$(BIN)/python -m tests.benchmarks.detectors --data $(SHARED)/data/fracatlas --json out/detectors/table.json

# One change to the training each, on the same small budget from the shipped weights: a quarter of an hour each. What is
# finished is not done again.
bench-trials: $(STAMP)
	for trial in imaging/training/configs/trials/*.yaml; do \
	    out=out/trials/$$(basename $$trial .yaml); \
	    test -f $$out/manifest.json || $(BIN)/cds train detector --data $(SHARED)/data/fracatlas --out $$out --config $$trial --resume || exit 1; \
	done
	$(BIN)/python -m imaging.training.compare --data $(SHARED)/data/fracatlas $(addprefix out/trials/,$(basename $(notdir $(wildcard imaging/training/configs/trials/*.yaml))))

# The learning loop's proofs and one page about them: about half an hour on a free core. The detector's part is then so
# small that it only shows how everything goes; BUDGET=full, an hour more, proves it.
bench-learning: $(STAMP)
	$(BIN)/python -m tests.benchmarks.learning --data $(SHARED)/data --out out/learning --budget $(BUDGET)

# A person's walk through the form in Chromium, with the real models and a drawn radiograph.
screenshots: $(STAMP)
	$(BIN)/python -m tests.support.walk docs/screenshots

# What TFLite export needs beside everything else; about 700 MB. All versions are pinned, so nothing is resolved.
edge: $(VENV)/.edge
$(VENV)/.edge: requirements-edge.txt $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements-edge.txt
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: $(STAMP)
	$(BIN)/cds serve

# The virtual environment is made by the standard library, then filled by uv from the pinned requirements.
$(STAMP): requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $(STAMP)

# Pins anew; the output names versions only, never where they were fetched from. Development comes first: Flower, which
# only a federation needs, is the strictest about others' versions, and tests must run on what ships. The override: a part
# of litert-torch that no conversion here touches (xdsl 0.28) forbids newer typing-extensions, and would take pydantic back
# with it.
pin: $(STAMP)
	echo "typing-extensions>=4.13" > $(VENV)/override.txt
	$(BIN)/uv pip compile pyproject.toml --group dev --extra federated --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --upgrade -o requirements-dev.txt
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --upgrade -c requirements-dev.txt -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra edge --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --upgrade -c requirements-dev.txt --override $(VENV)/override.txt -o requirements-edge.txt

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
