# make env: everything into .venv; make demo: the quickstart; make test, make check: as CI does.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart
export HF_HUB_OFFLINE ?= 1

.PHONY: env demo test check format pair clean

env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml tools/make_env.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/make_env.sh
	touch $@

demo: env
	$(BIN)/semalign quickstart --out $(OUT)

test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -q

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pair: env
	$(BIN)/python pairs/build.py --force

clean:
	rm -rf $(VENV) runs dist build
