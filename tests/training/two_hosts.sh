#!/usr/bin/env bash
# Trains one run on two hosts, which are network namespaces of this machine joined by a cable (veth),
# each with a host name of its own and one process, under torchrun. Needs root, iproute2, util-linux.
# Usage: two_hosts.sh PYTHON ARGUMENTS OF train.py...
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
shift
hosts=("mk$$a" "mk$$b")
addresses=(10.213.7.1 10.213.7.2)
names=$(mktemp)

clean_up() {
  for host in "${hosts[@]}"; do
    ip netns pids "$host" 2>/dev/null | xargs -r kill -9 || true
    ip netns del "$host" 2>/dev/null || true # the cable goes with it
  done
  rm -f "$names"
}
trap clean_up EXIT

echo "127.0.0.1 localhost" > "$names"
for i in 0 1; do
  ip netns add "${hosts[$i]}"
  echo "${addresses[$i]} ${hosts[$i]}" >> "$names"
done
ip link add eth0 netns "${hosts[0]}" type veth peer name eth0 netns "${hosts[1]}"
for i in 0 1; do
  ip -n "${hosts[$i]}" addr add "${addresses[$i]}/24" dev eth0
  ip -n "${hosts[$i]}" link set eth0 up
  ip -n "${hosts[$i]}" link set lo up
done

processes=()
for i in 0 1; do
  nsenter --net="/run/netns/${hosts[$i]}" unshare --uts --mount bash -c '
    mount --bind "$1" /etc/hosts
    hostname "$2"
    shift 2
    exec "$@"' _ "$names" "${hosts[$i]}" \
    env GLOO_SOCKET_IFNAME=eth0 OMP_NUM_THREADS=1 timeout -k 5 150 \
    "$python" -m torch.distributed.run --nnodes 2 --node-rank "$i" --nproc-per-node 1 \
    --master-addr "${addresses[0]}" --master-port 29500 train.py "$@" &
  processes+=($!)
done
for process in "${processes[@]}"; do
  wait "$process"
done
