# make env: everything into .venv; make demo: the quickstart; make test, make check: as CI does; make ablations, make compare: docs/results.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart
export HF_HUB_OFFLINE ?= 1

.PHONY: env demo test check format pair ablations compare clean

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

# Three seeds of every ablation, about 18 minutes on two idle cores; a stopped one goes on with the same command.
ABLATIONS ?= runs/ablations
ablations: env
	OMP_NUM_THREADS=1 $(BIN)/semalign sweep configs/ablations/embedded/base.yaml --axes configs/ablations/embedded/axes.yaml \
		--seeds 3 --jobs 2 --out $(ABLATIONS)
	$(BIN)/semalign compare $(ABLATIONS) --out $(ABLATIONS)-compare --title "Ablations on the embedded pair"
	cp $(ABLATIONS)-compare/compare.md docs/results/ablations.md
	cp $(ABLATIONS)-compare/compare.json docs/results/ablations.json

# Five seeds of every method; COMPARE_SET="--set seeds=1" and the like make it smaller.
COMPARE ?= runs/compare-embedded
compare: env
	OMP_NUM_THREADS=1 $(BIN)/semalign compare configs/compare/embedded.yaml --jobs 2 --out $(COMPARE) \
		--title "Every method on the embedded pair" $(COMPARE_SET)
	cp $(COMPARE)/compare.md docs/results/embedded.md
	cp $(COMPARE)/compare.json docs/results/embedded.json

clean:
	rm -rf $(VENV) runs dist build
