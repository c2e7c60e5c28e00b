# Functions that start MariaDB and slurmdbd for a Slurm cluster; read by slurm-cluster.sh.

# start_database DIRECTORY PORT : MariaDB with a database and a user "slurm"; appends to the array `daemons`
start_database() {
    local data=$1/database
    if [ ! -d "$data" ]; then
        mariadb-install-db --no-defaults --user=root --datadir="$data" --skip-test-db \
            --auth-root-authentication-method=normal >"$1/database-install.log" 2>&1
    fi
    mariadbd --no-defaults --user=root --datadir="$data" --bind-address=127.0.0.1 --port="$2" \
        --socket="$1/database.socket" --pid-file="$1/database.pid" --innodb-buffer-pool-size=64M \
        --innodb-lock-wait-timeout=900 >"$1/database.log" 2>&1 &
    daemons+=("$!")
    wait_for "MariaDB" mariadb-admin --no-defaults --user=root --socket="$1/database.socket" ping
    mariadb --no-defaults --user=root --socket="$1/database.socket" <<SQL
create database if not exists slurm;
create user if not exists 'slurm'@'127.0.0.1' identified by 'slurm';
create user if not exists 'slurm'@'localhost' identified by 'slurm';
grant all on slurm.* to 'slurm'@'127.0.0.1';
grant all on slurm.* to 'slurm'@'localhost';
SQL
}

# start_accounting DIRECTORY NAME ACCOUNTING_PORT DATABASE_PORT : slurmdbd that knows the cluster and this user
start_accounting() {
    start_database "$1" "$4"
    # slurmdbd looks for its file beside the one that SLURM_CONF names, and refuses one that others can read
    (umask 077 && slurmdbd_conf "$1" "$3" "$4" >"$1/slurmdbd.conf")
    slurmdbd -D >"$1/slurmdbd.out" 2>&1 &
    daemons+=("$!")
    wait_for "slurmdbd" sacctmgr -n list cluster
    sacctmgr -i add cluster "$2" >"$1/sacctmgr.log" 2>&1 || true
    sacctmgr -i add account main cluster="$2" >>"$1/sacctmgr.log" 2>&1 || true
    sacctmgr -i add user "$(id -un)" account=main cluster="$2" >>"$1/sacctmgr.log" 2>&1 || true
}
