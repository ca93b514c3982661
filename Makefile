# make test    create .venv, install, vendor the browser libraries, lint, run every test
# make demo    export the bundled networks with the page and serve them (WEIGHTS=path, PORT=8000)
# make wheel   build dist/*.whl, with the page and its vendored libraries inside
# make format  let ruff rewrite the code

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
WEIGHTS ?= bundled:x4
# The page offers every network of the package.
BUNDLED := $(patsubst span_keras/bundled/%.safetensors,bundled:%,$(wildcard span_keras/bundled/x*.safetensors))
PORT ?= 8000

.DELETE_ON_ERROR:
.PHONY: test demo wheel lint format vendor chromium clean

test: $(VENV)/.test vendor chromium lint
	@$(BIN)/python -m pytest -n auto --dist loadfile

demo: | $(VENV)/.runtime
	@$(MAKE) -s vendor || echo "The browser libraries are not vendored; the page takes its pinned copies from the network." >&2
	$(BIN)/span-export --tfjs out/demo --demo --perceptual --weights "$(WEIGHTS)" \
	  $(patsubst %,--also %,$(filter-out $(WEIGHTS),$(BUNDLED)))
	@$(BIN)/python -m span_export.serve out/demo --port $(PORT)

wheel: $(VENV)/.runtime vendor
	@$(BIN)/python -m pip --disable-pip-version-check wheel -q --no-deps -w dist .
	@ls dist/*.whl

lint: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Stamps make a second run quick: an environment is installed again only when its description changes.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else "span-keras needs Python 3.10 to 3.12, found %d.%d; run make PYTHON=python3.11" % v)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing span-keras into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime
	@echo "Installing what the tests need"
	@$(PIP) -e '.[test]'
	@touch $@

vendor: web_demo/vendor/.complete

web_demo/vendor/.complete: web_demo/package-lock.json web_demo/vendor.mjs
	@$(call need,npm,npm)
	@cd web_demo && npm ci --silent --no-audit --no-fund && npm run --silent vendor
	@touch $@

chromium:
	@$(call need,chromium,chromium)

# need(command, Debian package): install a missing command where we may, otherwise say what to do.
need = command -v $(1) >/dev/null 2>&1 \
  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && echo "Installing $(2)" \
  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; } \
  || { echo "$(1) was not found and cannot be installed from here; install it (Debian: apt-get install $(2)) and run make again." >&2; exit 1; }

clean:
	rm -rf build dist out *.egg-info .pytest_cache .ruff_cache web_demo/vendor web_demo/node_modules
