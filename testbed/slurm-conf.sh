# Functions that write the configuration of a small Slurm cluster; read by slurm-cluster.sh.
# All of its state lies in one directory, so that many clusters fit on one machine.

# slurm_conf DIRECTORY NAME CPUS CONTROLLER_PORT NODE_PORT... : print slurm.conf
slurm_conf() {
    local directory=$1 name=$2 cpus=$3 controller=$4
    shift 4
    cat <<CONF
ClusterName=$name
SlurmctldHost=localhost
SlurmctldPort=$controller
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$directory/munge.socket
CredType=cred/munge
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/%n/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/%n/slurmd.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/%n/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$directory/completed.txt
MailProg=/bin/true
ReturnToService=2
KillWait=2
MaxArraySize=100001
MaxJobCount=200000
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
CONF
    local number=0 port
    for port in "$@"; do
        number=$((number + 1))
        echo "NodeName=n$number NodeHostname=localhost NodeAddr=127.0.0.1 Port=$port CPUs=$cpus RealMemory=2000 State=UNKNOWN"
    done
    echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
    [ -z "${CLUSTER_EXTRA:-}" ] || echo "$CLUSTER_EXTRA"
}

# accounting_conf DIRECTORY ACCOUNTING_PORT : print the lines that make slurmctld keep accounts
accounting_conf() {
    cat <<CONF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$2
AccountingStoragePass=$1/munge.socket
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations,limits,qos
CONF
}

# slurmdbd_conf DIRECTORY ACCOUNTING_PORT DATABASE_PORT : print slurmdbd.conf
slurmdbd_conf() {
    cat <<CONF
DbdHost=localhost
DbdPort=$2
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket
PidFile=$1/slurmdbd.pid
LogFile=$1/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$3
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
CONF
}
