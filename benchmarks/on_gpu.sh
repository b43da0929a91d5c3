#!/usr/bin/env bash
# Run everything that needs a GPU: python -m benchmarks.gpu, also on a machine without network.
#
#     benchmarks/on_gpu.sh --output FOLDER [--stages NAME ...] [--data-dir FOLDER]
#
# Wheels in offline/wheels are installed into offline/.site if the machine lacks them, and MNIST is
# read from offline/MNIST/raw if it is there; docs/gpu.md describes how to collect both. PYTHON is
# the interpreter, python3 by default.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ -d offline/wheels ]; then
  "$python" -m benchmarks.gpu.offline offline/wheels offline/.site
  export PYTHONPATH="$PWD/offline/.site${PYTHONPATH:+:$PYTHONPATH}"
fi
data=()
if [ -d offline/MNIST/raw ]; then
  data=(--data-dir offline)
fi
exec "$python" -m benchmarks.gpu "${data[@]}" "$@"
