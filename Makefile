PYTHON ?= python3
VENV ?= .venv
READY := $(VENV)/.ready

.PHONY: demo test test-slow lint setup clean

demo: $(READY)            ## the whole pipeline on a bundled sample, ends with report.html
	$(VENV)/bin/zcurate demo --out demo-out

test: $(READY)            ## the test suite
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup -m "not slow"

test-slow: $(READY)       ## the long tests, which it leaves out: notebooks, trainings, kills of whole clusters, the same run twice
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup -m slow

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade pip setuptools wheel
	$(VENV)/bin/pip install --quiet -c constraints.txt -e '.[dev,demo,fonts]'
	touch $(READY)

clean:
	rm -rf $(VENV) demo-out build *.egg-info
