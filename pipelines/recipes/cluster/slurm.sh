#!/usr/bin/env bash
# A Ray cluster on the nodes of a Slurm job, for one `zcurate build`.
#
#   sbatch --nodes=4 slurm.sh photos --set source=/shared/images --set out=/shared/datasets/photos
#
# Everything behind the script's name goes to `zcurate build`; its exit code is the job's. The
# environment that has `zcurate` (the same path on every node) must be active when you call sbatch.
# Submitting it again after a time limit, a failure or a lost node goes on where the build stopped.
#
#SBATCH --job-name=zcurate
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=48G
#SBATCH --time=24:00:00
# Ten minutes before the time limit the build is told to finish the shards in flight and stop.
#SBATCH --signal=B:TERM@600
# GPU stages: add e.g. --gpus-per-task=1; Ray counts the GPUs that Slurm lets it see.

set -euo pipefail

fail() {
  echo "slurm.sh: $1" >&2
  exit 2
}

(($# > 0)) || fail "usage: sbatch [options of sbatch] slurm.sh RECIPE [options of zcurate build]"
[[ -n ${SLURM_JOB_NODELIST:-} ]] || fail "not inside a Slurm job; submit it with sbatch"
command -v ray >/dev/null && command -v zcurate >/dev/null || fail "ray and zcurate are not on PATH: activate their environment before sbatch"

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
cpus=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:?}}
head=${nodes[0]} # where Slurm runs this script
# Several jobs may share a node, so each has its own port and its own folder. The folder's path is
# short because a Unix socket lies in it.
port=${RAY_PORT:-$((20000 + SLURM_JOB_ID % 20000))}
export RAY_TMPDIR=${RAY_TMPDIR:-/tmp/zc-$SLURM_JOB_ID}
export RAY_USAGE_STATS_ENABLED=0
# Whoever reaches a Ray cluster's ports can run code on it: a secret of this job keeps others out.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}
# Set HEAD_IP yourself when the nodes have several networks and the first is not the fast one.
head_ip=${HEAD_IP:-$( (getent ahostsv4 "$head"; hostname -I | tr ' ' '\n') | awk '/^[0-9]/ && !/^127\./ {print $1; exit}')}
[[ -n $head_ip ]] || fail "no address found for $head; set HEAD_IP"
address=$head_ip:$port

steps=()
stop_cluster() {
  # The head last: a node that cannot say goodbye to it waits half a minute for an answer.
  for ((i = ${#steps[@]} - 1; i >= 0; i--)); do
    kill "${steps[i]}" 2>/dev/null || true # srun passes the signal on; ray ends its processes
    wait "${steps[i]}" 2>/dev/null || true
  done
}
trap stop_cluster EXIT

srun --nodes=1 --ntasks=1 --nodelist="$head" --cpus-per-task="$cpus" --overlap \
  ray start --head --block --node-ip-address="$head_ip" --port="$port" --num-cpus="$cpus" --include-dashboard=false &
steps+=($!)
deadline=$((SECONDS + 180))
until ray health-check --address="$address" >/dev/null 2>&1; do
  kill -0 "${steps[0]}" 2>/dev/null || fail "Ray did not start on $head"
  ((SECONDS < deadline)) || fail "Ray on $head did not answer at $address for 180 s"
  sleep 1
done
if ((${#nodes[@]} > 1)); then
  # Nodes are used as they join; nobody waits for the slowest.
  others=$(IFS=, && echo "${nodes[*]:1}")
  srun --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --ntasks-per-node=1 \
    --nodelist="$others" --cpus-per-task="$cpus" --overlap \
    ray start --block --address="$address" --num-cpus="$cpus" &
  steps+=($!)
fi

zcurate build "$@" --address "$address" &
build=$!
trap 'kill -TERM "$build" 2>/dev/null || true' TERM INT
status=0
wait "$build" || status=$?
# A trapped signal ends `wait` early, while the build is still finishing its shards.
while ((status > 128)) && kill -0 "$build" 2>/dev/null; do
  status=0
  wait "$build" || status=$?
done
exit "$status"
