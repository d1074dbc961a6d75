#!/bin/sh
# Makes the virtual environment. A torch that is there already, in it or in the interpreter it is made from, is kept; otherwise the
# one that fits the machine is installed first, because any later step would choose for itself.
set -eu
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

if [ ! -x "$VENV/bin/python" ]; then
    if "$PYTHON" -c 'import torch' 2>/dev/null; then
        "$PYTHON" -m venv --system-site-packages "$VENV"
        # a venv made from a venv does not see its packages: name the folder that holds torch
        site=$("$PYTHON" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')
        own=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
        "$VENV/bin/python" -c 'import torch' 2>/dev/null || echo "$site" > "$own/base-torch.pth"
    else
        "$PYTHON" -m venv "$VENV"
    fi
fi
pip="$VENV/bin/python -m pip --disable-pip-version-check install --quiet"
if ! "$VENV/bin/python" -c 'import torch' 2>/dev/null; then
    if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
        echo "installing torch for the GPU ..."
        $pip 'torch>=2.6,<3'
    else
        echo "installing torch for the CPU ..."
        # TORCH_INDEX may name an index of CPU wheels where the default one has only GPU builds
        $pip torch==2.13.0 ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
    fi
fi
echo "installing semalign and what it needs ..."
$pip -e '.[data,eval,report,docs,dev]'
