#!/usr/bin/env bash
# Measures mimic-ray on one GPU in under 20 minutes of an H100:
#
#     benchmarks/gpu.sh [OUT] [CARD]      default: gpu-results h100; run from the root of the repository
#
# OUT gets the machine, the throughput of three encoders, two purifications with the same seed whose
# weights are compared, and an evaluation. DEVICE=cpu TINY=1 runs it at a tiny size.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu-results}
card=${2:-h100}
device=${DEVICE:-cuda}
python=${PYTHON:-python}
mkdir -p "$out"

{
    date -u
    git rev-parse HEAD 2>/dev/null || true
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv 2>/dev/null || true
    "$python" -m pip freeze 2>/dev/null | grep -iE '^(torch|torchvision|timm|ray|triton)==' || true
} > "$out/machine.txt"

if [ -n "${TINY:-}" ]; then
    sizes=(--encoder tiny_resnet --batch 8 --steps 2 --case eager --case 'bare loop, eager')
    short=(--set training.steps=2 --set training.batch=8)
    attack=(--steps 2)
else
    sizes=()
    short=()
    attack=()
fi
"$python" -m benchmarks.gpu_throughput --device "$device" --gpu "$card" \
    "${sizes[@]+"${sizes[@]}"}" --out "$out/throughput.json" | tee "$out/throughput.txt"

# A real purification, twice: two streams on the device must not change a bit.
data=mimic_ray/demo_data
mimic=("$python" -m mimic_ray)
"${mimic[@]}" attack badencoder --encoder cifar_resnet20 --teacher $data/resnet20-cifar10.th \
    --data $data/clean.tar.gz --trigger patch --target truck --device "$device" \
    "${attack[@]+"${attack[@]}"}" --out "$out/attacked"
for number in 1 2; do
    "${mimic[@]}" purify --encoder cifar_resnet20 --teacher "$out/attacked/resnet20-cifar10.th" \
        --data $data/clean.tar.gz --device "$device" --no-scan \
        "${short[@]+"${short[@]}"}" --out "$out/purified-$number"
done
if cmp -s "$out/purified-1/student.safetensors" "$out/purified-2/student.safetensors"; then
    echo "Two purifications with one seed: equal bit for bit." | tee "$out/determinism.txt"
else
    echo "Two purifications with one seed: they differ." | tee "$out/determinism.txt"
fi
"${mimic[@]}" evaluate "attacked=$out/attacked/resnet20-cifar10.th" "purified=$out/purified-1" \
    --encoder cifar_resnet20 --reference $data/resnet20-cifar10.th --train $data/head.tar.gz \
    --test $data/test.tar.gz --trigger patch --target truck --device "$device" | tee "$out/evaluation.txt"
echo "Results are in $out."
