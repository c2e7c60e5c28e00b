"""The scripts that jobferry gives to `sh` where SGE is: submit, listing, history, what it is.

Whom they asked is told at the end of each answer: by the name that the installation gave to its cluster (the file
`cluster_name` of the cell) or, where there is none, by the qmaster's host and the spool directory that it names.
"""

from __future__ import annotations

from typing import Final

#: stands on the last line of an answer, before the name of the cluster: a cut one is never taken for a whole
END: Final = "jobferry: end of the answer of "

_NAME: Final = """
name=
common=${SGE_ROOT:-/var/lib/gridengine}/${SGE_CELL:-default}/common
{ read -r name; } 2>/dev/null <"$common/cluster_name"
if [ -z "$name" ]; then
    host=$(qconf -sss) || exit
    name=$host:$(qconf -sconf global | sed -n 's/^execd_spool_dir  *//p')
fi
"""
_TOLD: Final = f"""
printf '%s\\n' "{END}$name"
"""

#: its arguments: name, directory, range of tasks, -r or nothing, header, log, script
SUBMIT: Final = """
jf_log=$6; jf_script=$7; export jf_log jf_script
printf '%s\\n' "$5" | qsub -terse -sync n -now n -b n -S /bin/bash -N "$1" -wd "$2" -o /dev/null -j y \\
    ${3:+-t "$3"} ${4:+-r "$4"} -v jf_log,jf_script
"""

# What qsub reads: the job's own script is run from where it lies. SGE takes a first line for no interpreter; 99 and
# 100 mean "start again" and "error" to it, whatever -r says; and what is killed inside is not the whole job.
WRAPPER: Final = """
script=$jf_script log=$jf_log; unset jf_script jf_log
[ "$SGE_TASK_ID" = undefined ] || log=$log.$((SGE_TASK_ID - 1))
exec >"$log" 2>&1 </dev/null || exit
trap : HUP INT TERM USR1 USR2 XCPU
read -r first <"$script" || exit
set -f
case $first in '#!'*) ;; *) first='#!/bin/bash' ;; esac
${first#??} "$script"
code=$?
case $code in 99 | 100) echo "exit code $code, told to SGE as 1"; code=1 ;; esac
exit "$code"
"""

# Files of the site or of the user may hold other options for qstat: those given here win. Of jobs in an error state,
# which are few, the reason is asked for.
LISTING: Final = f"""{_NAME}
jobs=$(qstat -u "$1" -s prs -xml) || exit
printf '%s\\n' "$jobs"
wrong=$(printf '%s\\n' "$jobs" | awk -F '[<>]' '$2 == "JB_job_number" {{ id = $3 }}
    $2 == "state" && $3 ~ /E/ {{ print id }}' | sort -u | head -n 50 | paste -s -d , -)
[ -z "$wrong" ] || qstat -j "$wrong" 2>/dev/null | sed -n '/^job_number:/p; /^error reason/p'
{_TOLD}"""

# qacct takes one id or pattern, and reads all of its file each time: so it tells of all jobs of jobferry at once,
# and only lines about the wanted ones are kept. Without any job in the file it exits with 1, as it does where there
# is no file yet.
HISTORY: Final = f"""{_NAME}
{{ qacct -j '*jf.*' 2>&1 || echo "jobferry: qacct exited with $?"; }} | awk '
    function tell() {{
        if (job in wanted) print job "|" task "|" failed "|" status "|" memory "|" slots "|" name "|" category
        job = ""
    }}
    BEGIN {{ for (i = 1; i < ARGC; i++) wanted[ARGV[i]]; ARGC = 1 }}
    {{ key = $1; value = $0; sub(/^[^ ]+ +/, "", value); sub(/ +$/, "", value) }}
    /^====/ {{ tell(); category = ""; task = "undefined"; next }}
    key == "jobnumber" {{ job = value }}
    key == "taskid" {{ task = value }}
    key == "failed" {{ failed = value }}
    key == "exit_status" {{ status = $2 }}
    key == "maxvmem" {{ memory = value }}
    key == "slots" {{ slots = value }}
    key == "jobname" {{ name = value }}
    key == "category" {{ category = value }}
    /^(error: |jobferry: |\\/)/ || /no jobs running since startup/ {{ print "qacct: " $0 }}
    END {{ tell() }}
' "$@"
{_TOLD}"""

# Of jobs that nobody asks for any more, those in an error state would stay in the queue for ever, and count there: they
# are deleted. What runs or waits is left alone. Tasks of arrays are written 1-3:1,7 by qstat, and 21.1-3,21.7 by us.
FORGET: Final = """
qstat -u "$(id -un)" -s p -xml | awk -F '[<>]' '
    function spread(job, text,    parts, ends, count, i, n, step) {
        count = split(text, parts, ",")
        for (i = 1; i <= count; i++) {
            sub("^" job "[.]", "", parts[i])
            step = split(parts[i], ends, /[-:]/) > 2 ? ends[3] : 1
            for (n = ends[1]; n + 0 <= (2 in ends ? ends[2] : ends[1]) + 0; n += step) found[job "." n]
        }
    }
    BEGIN {
        for (i = 1; i < ARGC; i++) if (split(ARGV[i], one, ".") > 1) spread(one[1], ARGV[i]); else found[one[1]]
        for (key in found) { wanted[key]; delete found[key] }
        ARGC = 1
    }
    $2 == "JB_job_number" { job = $3; tasks = "" }
    $2 == "state" { state = $3 }
    $2 == "tasks" { tasks = $3 }
    $2 == "/job_list" && state ~ /E/ { if (tasks == "") found[job]; else spread(job, tasks) }
    END { for (key in found) if (key in wanted) print key }
' "$@" | xargs -r qdel >/dev/null || :
"""

FACTS: Final = f"""{_NAME}
qstat -help | head -n 1
qconf -sconf global || exit
qacct -j jobferry.none 2>&1 | sed 's/^/qacct: /'
{_TOLD}"""
