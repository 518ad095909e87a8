#!/usr/bin/env bash
# A real SLURM of one node in a folder of its own, for tests and to try docs/cluster.md out.
#   apt-get install -y --no-install-recommends slurmctld slurmd slurm-client
#   tests/slurm/slurm.sh start FOLDER      then: export SLURM_CONF=FOLDER/slurm.conf
#   tests/slurm/slurm.sh stop FOLDER       ends its daemons and jobs, and removes the folder
# Nothing is written elsewhere, and neither root nor munge is needed: for tests alone, since anybody
# on this machine is believed to be who they say.
set -euo pipefail

command=${1:?start or stop}
mkdir -p "${2:?a folder}"
folder=$(cd "$2" && pwd)
host=$(hostname -s)
user=$(id -un)
port=${SLURM_TEST_PORT:-26817}
export SLURM_CONF="$folder/slurm.conf"

write_configuration() {
    mkdir -p "$folder"/{state,spool,log,run,gpus}
    # Version 22.05 wants a file for each GPU; any will do, for nothing opens them.
    touch "$folder"/gpus/{0,1}
    printf 'AutoDetect=off\nName=gpu File=%s/gpus/[0-1]\n' "$folder" >"$folder/gres.conf"
    cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/none
CredType=cred/none
# A requeued job waits until its old credential is void; 5 s is the least there is (default 120).
AuthInfo=cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
# The processors below are as many as the tests want, not as many as there are.
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
JobRequeue=1
DefMemPerCPU=100
KillWait=10
MinJobAge=3600
AccountingStorageType=accounting_storage/none
PropagateResourceLimits=NONE
# A job of partition 'main' takes the place of one of 'low', which gets its signal and is requeued.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4 RealMemory=8000 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
CONF
}

is_up() { timeout 5 sinfo --noheader --format=%T 2>/dev/null | grep -qE 'idle|mixed|allocated'; }

is_alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

end_daemons() {
    for file in "$folder"/run/slurm*.pid; do
        is_alive "$file" || continue
        kill "$(cat "$file")"
        for _ in $(seq 50); do is_alive "$file" || break; sleep 0.1; done
        is_alive "$file" && kill -KILL "$(cat "$file")" || true
    done
}

case $command in
start)
    write_configuration
    slurmctld -i
    slurmd
    for _ in $(seq 100); do is_up && exit 0; sleep 0.1; done
    echo "error: SLURM did not come up; its logs say:" >&2
    tail -n 20 "$folder"/log/*.log >&2
    end_daemons
    exit 1
    ;;
stop)
    if is_up; then
        timeout 10 scancel --signal=KILL --full --user="$user" || true
        timeout 10 scancel --user="$user" || true
        for _ in $(seq 50); do [ -z "$(squeue --noheader)" ] && break; sleep 0.1; done
    fi
    end_daemons
    rm -rf "$folder"
    ;;
*)
    echo "error: '$command' is neither start nor stop" >&2
    exit 2
    ;;
esac
