# What makes a bash a session: it reads commands from a channel of their own, so that its stdin is
# the terminal's, evaluates them where nothing is local, and reports on the terminal how they ended.
# A command that ends the shell (`exit 3`, `set -e`) must not end the session: the EXIT trap keeps
# what the shell knows and puts a new bash in its place, as the same process with the same jobs.
#
# $__sandbox_channel and $__sandbox_mark are set before this is read. It keeps to bash 3.2 (macOS).

__sandbox_number=0
__sandbox_left=
__sandbox_loop='while { __sandbox_next; } 2>/dev/null; do case $__sandbox_code in 0) eval -- "$__sandbox_command" ;; *) __sandbox_again || eval -- "$__sandbox_command" ;; esac; done'
__sandbox_start='IFS= read -r -d "" __sandbox_state <&198; exec 198<&-; eval "$__sandbox_state" 2>/dev/null; eval "$__sandbox_loop"'

shopt -s expand_aliases

# Report the command before and read the next. Tracing is for the user's own commands only.
__sandbox_next() {
    __sandbox_code=${__sandbox_left:-$?}
    __sandbox_left=
    __sandbox_flags=
    case $- in *x*) __sandbox_flags='set -x; ' ;; esac
    case $- in *v*) __sandbox_flags="${__sandbox_flags}set -v; " ;; esac
    set +xv
    __sandbox_report "$__sandbox_code"
    if ! __sandbox_read <"$__sandbox_channel"; then
        trap - EXIT
        exit 1  # whoever gave the commands is gone
    fi
    __sandbox_report ''
    __sandbox_command=$__sandbox_flags$__sandbox_command
}

# Without an exit code, the command begins only now.
__sandbox_report() {
    builtin printf '\0%s\0%s\0%s\0%s\0%s\0' \
        "$__sandbox_mark" "$__sandbox_number" "$1" "$$" "$PWD" >/dev/tty
}

# A Ctrl-C that comes late, while the next command is read, loses a part of that: then it is sent
# again. So what is no head is skipped, and so is what has been read before.
__sandbox_read() {
    while TMOUT= IFS= read -r -d '' __sandbox_head; do
        case $__sandbox_head in "$__sandbox_mark "*) ;; *) continue ;; esac
        TMOUT= IFS= read -r -d '' __sandbox_command || return
        if [ "${__sandbox_head#* }" -gt "$__sandbox_number" ]; then
            __sandbox_number=${__sandbox_head#* }
            return 0
        fi
    done
    return 1
}

# `$?` for the next command. Left of `||`, it neither ends a shell with `set -e` nor meets a trap.
__sandbox_again() { return "$__sandbox_code"; }

# The options come last: with `set -e` or `set -u`, restoring the rest might fail.
__sandbox_save() {
    __sandbox_left=$?
    __sandbox_state=
    __sandbox_errexit=+e
    case $- in *e*) __sandbox_errexit=-e ;; esac  # a subshell would not know
    __sandbox_traps=$(trap -p)
    trap '' INT  # a second Ctrl-C is too late
    __sandbox_state=$(
        shopt -p
        declare -p
        declare -f
        declare -Fx
        alias -p
        builtin printf 'umask %s\n' "$(umask)"
        builtin printf '%s\n' "$__sandbox_traps"
        set +o
        builtin printf 'set %s\n' "$__sandbox_errexit"
    )
    trap : INT  # what is ignored now could not be trapped again
    set +xv
}

trap 'exit 130' INT
trap 'exit 143' TERM
# Without a terminal, as after a hangup, nobody listens any more: then it is the end.
trap '{ __sandbox_save; } 2>/dev/null; if { : >/dev/tty; } 2>/dev/null; then exec "$BASH" --norc --noprofile -c "$__sandbox_start" bash "$@" 198<<<"$__sandbox_state"; fi' EXIT
