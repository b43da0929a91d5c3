#!/usr/bin/env bash
# Everything that wants a GPU, in one go: parity with TF32 off, training, speed.
#
#     benchmarks/on_gpu.sh DATA_DIR OUTPUT_FOLDER
#
# DATA_DIR holds MNIST/raw. PYTHON names the interpreter (python by default).
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?folder that holds MNIST/raw} out=${2:?folder for what is measured}
python=${PYTHON:-python}
mkdir -p "$out"

"$python" - <<'EOF' | tee "$out/machine.txt"
import platform
import torch
print("python", platform.python_version(), "torch", torch.__version__)
print("cuda", torch.version.cuda, "cudnn", torch.backends.cudnn.version())
print(torch.cuda.get_device_name())
EOF

"$python" -m pytest tests/test_gpu.py 2>&1 | tee "$out/parity.txt"

for cell in rnn gru lstm; do
  for implementation in scratch builtin; do
    "$python" train.py --device cuda --dataset mnist --data-dir "$data" \
      --cell "$cell" --implementation "$implementation" \
      --run-dir "$out/$cell-$implementation" 2>&1 | tee -a "$out/training.txt"
  done
done

"$python" -m benchmarks.speed --device cuda --json "$out/speed.json" --png "$out/speed.png" \
  2>&1 | tee "$out/speed.txt"
