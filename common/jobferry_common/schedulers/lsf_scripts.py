"""The scripts around LSF's commands, and around those of its kin: each is one argument of `sh -c`.

    sh -c '… bsub "$@" <"$script" …' sh /scratch/a -rn -J relax.jf.3f2a… -o log /scratch/a/s.sh

Everything that differs from call to call is an argument; nothing of it stands in the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.lsf_refusals import NO_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

#: a line of ours stands before what is told of jobs; another, with the command's exit code, behind it
JOBS: Final = "jobferry: jobs"
END: Final = "jobferry: end"
#: what would shape an answer, or let a command wait for ever
QUIET: Final = "unset LSB_BJOBS_FORMAT LSB_DISPLAY_YEAR; LSB_NTRIES=1; export LSB_NTRIES"


def submitting(command: str, prepare: str) -> str:
    """Return a script: the directory is its first argument, the job's script its last one.

    An option -rn comes first where it is wanted; a command that does not know it is asked again without it.
    """
    return f"""
cd -- "$1" || exit {NO_DIRECTORY}
shift
for script; do :; done
[ -r "$script" ] || {{ echo "$script: cannot be read" >&2; exit {NO_DIRECTORY}; }}
left=$#
while [ "$left" -gt 1 ]; do set -- "$@" "$1"; shift; left=$((left - 1)); done
shift
{prepare}
{{ words=$({command} "$@" 2>&1 >&3 3>&- <"$script"); code=$?; }} 3>&1
case $1:$code:$words in
-rn:0:*) ;;
-rn:*[Uu]sage:* | -rn:*[Oo]ption*) shift; exec {command} "$@" <"$script" ;;
esac
[ -z "$words" ] || printf '%s\\n' "$words" >&2
exit $code
"""


def listing(who: str, commands: Sequence[str]) -> str:
    """Return a script: whom we ask, then jobs by the first of the commands whose options are known."""
    first, *others = (f'{{ words=$({one} "$@" 2>&1 >&3 3>&-); code=$?; }} 3>&1' for one in commands)
    tries = "".join(
        f"""
case $code:$words in
0:*) ;;
*[Oo]ption* | *[Uu]sage:* | *"valid field"*) {one} ;;
esac"""
        for one in others
    )
    return f"""
{QUIET}
{who} || exit
echo '{JOBS}'
{first}{tries}
[ -z "$words" ] || printf '%s\\n' "$words" >&2
printf '\\n{END} %s\\n' $code
"""


def history(who: str, command: str) -> str:
    """Return a script: whom we ask, then the events of jobs."""
    return f"""
{QUIET}
{who} || exit
echo '{JOBS}'
{command} "$@"
printf '\\n{END} %s\\n' $?
"""
