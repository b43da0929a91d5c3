#!/usr/bin/env bash
# Run everything that needs a GPU: tests with TF32 off, training, speed.
#
#     benchmarks/on_gpu.sh DATA_DIR OUTPUT_FOLDER
#
# DATA_DIR contains MNIST/raw. PYTHON is the interpreter, python by default.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?folder that contains MNIST/raw} out=${2:?folder for the results}
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

# Speed: the three tasks, then with other hidden sizes; float32, TF32 and bfloat16. If one run fails,
# for example because an implementation differs, the others still run.
failed=0
speed() { # NAME OPTIONS...
  local name=$1
  shift
  "$python" -m benchmarks.speed --device cuda "$@" --json "$out/$name.json" \
    --png "$out/$name.png" 2>&1 | tee "$out/$name.txt" || failed=1
}
for precision in "float32 --dtype float32" "tf32 --dtype float32 --tf32" "bfloat16 --dtype bfloat16"; do
  read -r name options <<<"$precision"
  # shellcheck disable=SC2086  # the options are several words
  speed "speed-$name" $options --compiled
  # shellcheck disable=SC2086
  speed "speed-sizes-$name" $options --hidden-sizes 32 64 96 128 256
done
"$python" -m benchmarks.kernel_resources 2>&1 | tee "$out/kernels.txt" || failed=1
exit $failed
