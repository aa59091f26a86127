#!/usr/bin/env bash
# Creates a Python environment for everything in this folder: `models/setup.sh FOLDER`, then `. FOLDER/bin/activate`.
# With an NVIDIA GPU, torch is installed with its CUDA libraries. Without one, torch is installed alone, with stubs for them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: models/setup.sh FOLDER}
python3 -m venv "$folder"
# shellcheck disable=SC1091
. "$folder/bin/activate"
if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
    pip install --quiet --requirement "$here/requirements.txt"
else
    pip install --quiet --no-deps --requirement "$here/requirements.txt"
    python "$here/cpu_torch.py"
fi
pip install --quiet --no-deps --editable "$here"
