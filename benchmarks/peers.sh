#!/bin/sh
# Make the two environments in which the benchmarks and tests run other libraries, beside .venv and apart from it.
#   .venv-peers-torch        captum, shap, zennit on PyTorch
#   .venv-peers-tensorflow   xplique on TensorFlow 2.20
# Versions are pinned in benchmarks/peers-*.txt. Usage: benchmarks/peers.sh [PYTHON [torch|tensorflow]]
set -eu
cd "$(dirname "$0")/.."
python=${1:-${PYTHON:-python3}}
only=${2:-}

make_one() { # name, further options of pip
    name=$1; shift
    [ -z "$only" ] || [ "$only" = "$name" ] || return 0
    folder=.venv-peers-$name
    pins=benchmarks/peers-$name.txt
    if [ -f "$folder/.ready" ] && [ "$folder/.ready" -nt "$pins" ]; then
        echo "$folder is ready"
        return
    fi
    echo "making $folder"
    [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
    nice "$folder/bin/python" -m pip --disable-pip-version-check install --quiet "$@" -r "$pins"
    touch "$folder/.ready"
}

make_one torch
make_one tensorflow --no-deps # xplique asks for the build of TensorFlow with CUDA; here the pins are the whole set
