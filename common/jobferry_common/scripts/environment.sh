# What the scripts of runs with modules, source_list or envs run besides runtime.sh.

jf_module() { # field, action, names …
    local field=$1 action=$2 before=${LOADEDMODULES-} said='' status=0 errors=$jf_control/logs/$jf_attempt.modules
    shift 2
    jf_step="$field: $*"
    type module >/dev/null 2>&1 || jf_fail "$field: there is no command 'module' here; does it need a login shell?"
    if [[ $action != load ]]; then
        module "$action" "$@" || :
        return 0
    fi
    [[ -d $jf_control/logs ]] || PATH=$jf_path command mkdir -p -- "$jf_control/logs"
    module load "$@" 2>|"$errors" || status=$?
    IFS= read -r -d '' said <"$errors" || :
    printf '%s' "$said" >&2
    # Environment Modules 3 exits with 0 whatever happened
    if ((status)) || [[ $before == "${LOADEDMODULES-}" && $said == *@(ERROR|Unable to locate)* ]]; then
        jf_fail "$field: $* cannot be loaded: ${said%%$'\n'*}"
    fi
}

jf_find() { # an item of source_list; its words are left in jf_words
    jf_step="source_list: $1"
    jf_words=("$1")
    [[ ! -f $1 ]] || return 0
    # "activate env", "~/env.sh", "$HOME/env.sh --force": words of bash, as after `source`
    { eval "jf_words=($1)"; } 2>/dev/null || :
    local file=${jf_words[0]-} directory
    if [[ $file == */* ]]; then
        [[ ! -f $file || ! -r $file ]] || return 0
    elif [[ -n $file ]]; then
        local IFS=:
        for directory in $PATH .; do
            [[ ! -f $directory/$file ]] || return 0
        done
    fi
    jf_fail "source_list: $1 is missing on ${HOSTNAME:-this node}"
}

jf_export() { # name, a word to be expanded
    jf_step="envs: $1"
    eval "export $1=$2" || jf_fail "envs: $1 cannot be set to $2"
}
