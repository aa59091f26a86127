#!/usr/bin/env bash
# A Python environment in which everything here runs: `models/setup.sh FOLDER`, then `. FOLDER/bin/activate`.
# With an NVIDIA GPU: torch with the CUDA libraries that it names. Without: torch alone, and stand-ins for these.
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
