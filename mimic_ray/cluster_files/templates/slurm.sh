#!/bin/bash
# Created by: {{ created_by }}
# Start it with: sbatch FILE. After the time limit: sbatch --export=ALL,RESUME=--resume FILE.
#SBATCH --job-name={{ spec.name }}
#SBATCH --nodes={{ spec.nodes }}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={{ spec.gres }}
#SBATCH --cpus-per-task={{ spec.gpus * spec.cpus_per_gpu }}
#SBATCH --time={{ spec.time }}
{% if spec.partition %}
#SBATCH --partition={{ spec.partition }}
{% endif %}
{% if spec.account %}
#SBATCH --account={{ spec.account }}
{% endif %}
# Five minutes before the limit: the run commits and stops.
#SBATCH --signal=B:TERM@300

set -euo pipefail
{% if spec.environment %}
# shellcheck source=/dev/null
source {{ spec.environment | in_shell }}/bin/activate
{% endif %}

# Only holders of the token can use the cluster. All nodes read the same file.
token={{ spec.token_file | in_shell }}
if [ ! -s "$token" ]; then
    (umask 077 && mkdir -p "$(dirname "$token")" &&
        python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$token")
fi
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$token"
export RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0
{% if spec.interface %}
export NCCL_SOCKET_IFNAME={{ spec.interface }} GLOO_SOCKET_IFNAME={{ spec.interface }}
{% endif %}

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]}
address=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
if [[ $address == 127.* && $SLURM_JOB_NUM_NODES -gt 1 ]]; then
    # As with Debian's installer, the host's own name means loopback: another node knows better.
    address=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="${hosts[1]}" getent ahostsv4 "$head" | awk 'NR == 1 {print $1}')
fi
port=$((20000 + SLURM_JOB_ID % 10000)) # several jobs can share a node

resources=(--num-gpus={{ spec.gpus }} --num-cpus={{ spec.gpus * spec.cpus_per_gpu }} --block)
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$port" --dashboard-host=127.0.0.1 \
    --temp-dir="/tmp/ray-$SLURM_JOB_ID" "${resources[@]}" &
steps=($!)
trap 'kill "${steps[@]}" 2>/dev/null || true' EXIT

seconds=0
until (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    if [ "$seconds" -ge "${RAY_START_SECONDS:-180}" ]; then
        echo "Ray did not start on $head at $address:$port within $seconds s: its output is above." >&2
        exit 1
    fi
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    others=$((SLURM_JOB_NUM_NODES - 1))
    srun --overlap --nodes="$others" --ntasks="$others" --exclude="$head" \
        ray start --address="$address:$port" "${resources[@]}" &
    steps+=($!)
fi

# shellcheck disable=SC2086 # RESUME is an option or nothing
{{ spec.command }} --address "$address:$port" --wait-for-capacity 300 ${RESUME:-} &
run=$!
trap 'kill -TERM "$run" 2>/dev/null || true' TERM
code=0
wait "$run" || code=$?
# A signal ends the first wait; the second one waits until the run has committed.
while kill -0 "$run" 2>/dev/null; do
    code=0
    wait "$run" || code=$?
done
exit "$code"
