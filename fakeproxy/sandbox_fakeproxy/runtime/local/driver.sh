# The loop of a session's bash. It reads commands from a channel of their own, as its stdin is the
# terminal; evaluates them outside of functions, where nothing is local; and reports on the terminal
# how they ended. A command that ends the shell (`exit 3`, `set -e`) must not end the session: the
# EXIT trap saves the shell's state and replaces it with a new bash in the same process. Jobs keep
# running, but the new bash cannot `wait` for them, as it did not start them.
#
# $__sandbox_channel and $__sandbox_mark are set before this is evaluated. The code is for bash 3.2
# (macOS) and later. It calls builtins by `builtin`, as a user's function may be named `read`, or
# even `eval`; and by `\builtin` where it is parsed after a user's aliases, as in `$(…)` too.

__sandbox_number=0
__sandbox_trap_code=
# After `set -n` nothing is executed and everything succeeds: `until` then ends the loop, and the
# shell with it. With `set -x` each line begins with a `+` for every `eval` around it: two more than
# in a plain bash.
__sandbox_loop='until ! { __sandbox_next; } 2>/dev/null; do case $__sandbox_code in 0) __sandbox_restore_code && \builtin eval -- "$__sandbox_command" ;; *) __sandbox_restore_code || \builtin eval -- "$__sandbox_command" ;; esac; done'
# The script of the new bash. Its arguments are two descriptors, of the saved state and of the real
# stderr, and then the user's own. Messages of bash before the real stderr is restored, such as of a
# missing directory, are discarded. It uses `exec` without `builtin`, as redirections of `builtin
# exec` do not last.
__sandbox_start='IFS= builtin read -r -d "" __sandbox_state <&$1; builtin eval "exec $1<&- 2>&$2 $2>&-"; builtin eval "$__sandbox_state" 2>/dev/null; \builtin shift 2; \builtin eval "$__sandbox_loop"'

builtin shopt -s expand_aliases

# Report the end of the last command, and read the next one.
__sandbox_next() {
    __sandbox_code=${__sandbox_trap_code:-$?}
    case $__sandbox_trap_code in '') __sandbox_stop_tracing ;; esac
    __sandbox_trap_code=
    __sandbox_report "$__sandbox_code"
    if ! __sandbox_read <"$__sandbox_channel"; then
        builtin trap - EXIT
        builtin exit 1  # the fake has closed the channel, or has ended
        return 1  # reached if a command has disabled `builtin`
    fi
    builtin eval "$__sandbox_setup"
    __sandbox_report ''
    __sandbox_command=$__sandbox_tracing$__sandbox_command
}

# Stop tracing, which is for the user's commands only: it is set again before each of them.
__sandbox_stop_tracing() {
    __sandbox_tracing=
    case $- in *x*) __sandbox_tracing='\builtin set -x; ' ;; esac
    case $- in *v*) __sandbox_tracing="$__sandbox_tracing\\builtin set -v; " ;; esac
    builtin set +xv
}

# Report the exit code of a command, or, if that is empty, that the command begins.
__sandbox_report() {
    builtin printf '\0%s\0%s\0%s\0%s\0' \
        "$__sandbox_mark" "$__sandbox_number" "$1" "$PWD" >/dev/tty
}

# Read the next command: a header with its number, the setup code and the command. A late Ctrl-C
# discards a part of them, and the fake sends them again. So fields that are not a header are
# skipped, and so are commands that have been read before.
__sandbox_read() {
    while __sandbox_header=$__sandbox_mark; TMOUT= IFS= builtin read -r -d '' __sandbox_header; do
        case $__sandbox_header in
            "$__sandbox_mark") return 1 ;;  # nothing was read: `builtin` is disabled
            "$__sandbox_mark "*) ;;
            *) continue ;;
        esac
        TMOUT= IFS= builtin read -r -d '' __sandbox_setup || builtin return
        TMOUT= IFS= builtin read -r -d '' __sandbox_command || builtin return
        if ((${__sandbox_header#* } > __sandbox_number)); then
            __sandbox_number=${__sandbox_header#* }
            builtin return 0
        fi
    done
    builtin return 1
}

# Set `$?` for the next command. Left of `||`, this neither ends a shell with `set -e` nor runs a
# trap.
__sandbox_restore_code() { builtin return "$__sandbox_code"; }

# Save the shell's state as code. After the options comes only code that cannot fail with `set -e`
# or `set -u`. Functions are late, as they may have the names of the commands that restore the rest,
# but before the aliases, which are expanded in functions already.
__sandbox_save() {
    __sandbox_trap_code=$?
    __sandbox_stop_tracing
    __sandbox_state=
    __sandbox_errexit=+e
    case $- in *e*) __sandbox_errexit=-e ;; esac  # `$(…)` does not inherit it
    __sandbox_traps=$(\builtin trap -p)
    builtin trap '' INT  # a second Ctrl-C comes too late
    __sandbox_state=$(
        \builtin shopt -p
        \builtin declare -p
        for ((__sandbox_i = ${#DIRSTACK[@]} - 1; __sandbox_i > 0; __sandbox_i--)); do
            \builtin printf '\\builtin pushd -n %q >/dev/null\n' "${DIRSTACK[__sandbox_i]}"
        done
        \builtin printf '\\builtin umask %s\n' "$(\builtin umask)"
        \builtin printf '%s\n' "$__sandbox_traps"
        \builtin set +o
        \builtin printf '\\builtin set %s\n' "$__sandbox_errexit"
        \builtin declare -f
        \builtin declare -Fx
        \builtin alias -p
    )
    builtin trap : INT  # the new bash could not trap a signal that it inherits as ignored
    __sandbox_choose_descriptors
    builtin shopt -s execfail
}

# Choose high descriptors, as a user's own are low, but none that `ulimit -n` forbids.
__sandbox_choose_descriptors() {
    __sandbox_limit=$(\builtin ulimit -n)
    case $__sandbox_limit in *[!0-9]*) __sandbox_limit=200 ;; esac
    if ((__sandbox_limit > 200)); then __sandbox_limit=200; fi
    __sandbox_state_fd=$((__sandbox_limit - 2)) __sandbox_stderr_fd=$((__sandbox_limit - 1))
}

# Trap the signals that end a shell, as its EXIT trap could not find out which one it was. Signals
# of a fault in the shell itself are not trapped: they would be raised again for ever.
for __sandbox_signal in $(
    builtin kill -l HUP TRAP ABRT SYS PIPE ALRM XCPU XFSZ VTALRM USR1 USR2 INT TERM
); do
    builtin trap "\\builtin exit $((128 + __sandbox_signal))" "$__sandbox_signal"
done
# Replace the shell with a new bash. The session ends if there is no terminal, as after a hangup, or
# if no new bash can be started, as with an environment that has become too large.
builtin trap '{ __sandbox_save; } 2>/dev/null; if { \builtin : >/dev/tty; } 2>/dev/null; then \builtin eval "\\builtin exec \"\$BASH\" --norc --noprofile -c \"\$__sandbox_start\" bash $__sandbox_state_fd $__sandbox_stderr_fd \"\$@\" $__sandbox_stderr_fd>&2 2>/dev/null $__sandbox_state_fd<<<\"\$__sandbox_state\""; fi; \builtin exit "$__sandbox_trap_code"' EXIT
