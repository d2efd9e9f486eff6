# What makes a bash a session: it reads commands from a channel of their own, so that its stdin is
# the terminal's, evaluates them where nothing is local, and reports on the terminal how they ended.
# A command that ends the shell (`exit 3`, `set -e`) must not end the session: the EXIT trap keeps
# what the shell knows and puts a new bash in its place, as the same process. The jobs run on, but
# the new bash cannot `wait` for them, as it did not start them.
#
# $__sandbox_channel and $__sandbox_mark are set before this is read. It keeps to bash 3.2 (macOS).
# `builtin` is everywhere, as a user's function may be named `read`, or even `eval`; `\builtin` where
# it is parsed after a user's aliases, as in `$(…)` too.

__sandbox_number=0
__sandbox_left=
# After `set -n` nothing is executed and all succeeds: so the loop ends where its test does, and the
# shell with it. With `set -x` each line begins with a `+` for every `eval` around it, which is two
# more than in a plain bash.
__sandbox_loop='until ! { __sandbox_next; } 2>/dev/null; do case $__sandbox_code in 0) __sandbox_again && \builtin eval -- "$__sandbox_command" ;; *) __sandbox_again || \builtin eval -- "$__sandbox_command" ;; esac; done'
# It gets the numbers of two descriptors: where the state is, and the real stderr. Until that is put
# back, what bash has to say, as of a directory that is gone, is nobody's output. What `builtin exec`
# redirects would not stay so.
__sandbox_start='IFS= builtin read -r -d "" __sandbox_state <&$1; builtin eval "exec $1<&- 2>&$2 $2>&-"; builtin eval "$__sandbox_state" 2>/dev/null; \builtin shift 2; \builtin eval "$__sandbox_loop"'

builtin shopt -s expand_aliases

# Report the command before and read the next.
__sandbox_next() {
    __sandbox_code=${__sandbox_left:-$?}
    case $__sandbox_left in '') __sandbox_untrace ;; esac
    __sandbox_left=
    __sandbox_report "$__sandbox_code"
    if ! __sandbox_read <"$__sandbox_channel"; then
        builtin trap - EXIT
        builtin exit 1  # whoever gave the commands is gone
        return 1  # nor has this bash a `builtin` any more
    fi
    builtin eval "$__sandbox_go"
    __sandbox_report ''
    __sandbox_command=$__sandbox_flags$__sandbox_command
}

# Tracing is for the user's own commands only: what they have set is set again before each.
__sandbox_untrace() {
    __sandbox_flags=
    case $- in *x*) __sandbox_flags='\builtin set -x; ' ;; esac
    case $- in *v*) __sandbox_flags="$__sandbox_flags\\builtin set -v; " ;; esac
    builtin set +xv
}

# Without an exit code, the command begins only now.
__sandbox_report() {
    builtin printf '\0%s\0%s\0%s\0%s\0' \
        "$__sandbox_mark" "$__sandbox_number" "$1" "$PWD" >/dev/tty
}

# A Ctrl-C that comes late, while the next command is read, loses a part of that: then it is sent
# again. So what is no head is skipped, and so is what has been read before.
__sandbox_read() {
    while __sandbox_head=$__sandbox_mark; TMOUT= IFS= builtin read -r -d '' __sandbox_head; do
        case $__sandbox_head in
            "$__sandbox_mark") return 1 ;;  # nothing was read: `builtin` is no more
            "$__sandbox_mark "*) ;;
            *) continue ;;
        esac
        TMOUT= IFS= builtin read -r -d '' __sandbox_go || builtin return
        TMOUT= IFS= builtin read -r -d '' __sandbox_command || builtin return
        if ((${__sandbox_head#* } > __sandbox_number)); then
            __sandbox_number=${__sandbox_head#* }
            builtin return 0
        fi
    done
    builtin return 1
}

# `$?` for the next command. Left of `||`, it neither ends a shell with `set -e` nor meets a trap.
__sandbox_again() { builtin return "$__sandbox_code"; }

# After the options only what cannot fail with `set -e` or `set -u`; and functions, which may be
# named like what restores the rest, before the aliases, which they have in them already.
__sandbox_save() {
    __sandbox_left=$?
    __sandbox_untrace
    __sandbox_state=
    __sandbox_errexit=+e
    case $- in *e*) __sandbox_errexit=-e ;; esac  # a subshell would not know
    __sandbox_traps=$(\builtin trap -p)
    builtin trap '' INT  # a second Ctrl-C is too late
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
    builtin trap : INT  # what is ignored now could not be trapped again
    __sandbox_choose_descriptors
    builtin shopt -s execfail
}

# High ones, as a user's own are low; but no higher than `ulimit -n` allows.
__sandbox_choose_descriptors() {
    __sandbox_limit=$(\builtin ulimit -n)
    case $__sandbox_limit in *[!0-9]*) __sandbox_limit=200 ;; esac
    if ((__sandbox_limit > 200)); then __sandbox_limit=200; fi
    __sandbox_in=$((__sandbox_limit - 2)) __sandbox_err=$((__sandbox_limit - 1))
}

# A shell that one of these ends would not know in its EXIT trap by which. Those that tell of a fault
# in the shell itself are not here: they would come again for ever.
for __sandbox_signal in HUP TRAP ABRT SYS PIPE ALRM XCPU XFSZ VTALRM USR1 USR2 INT TERM; do
    builtin trap "\\builtin exit $((128 + $(builtin kill -l $__sandbox_signal)))" $__sandbox_signal
done
# Without a terminal, as after a hangup, nobody listens any more: then it is the end. So it is where
# no new bash can be started, as with an environment that has become too large.
builtin trap '{ __sandbox_save; } 2>/dev/null; if { \builtin : >/dev/tty; } 2>/dev/null; then \builtin eval "\\builtin exec \"\$BASH\" --norc --noprofile -c \"\$__sandbox_start\" bash $__sandbox_in $__sandbox_err \"\$@\" $__sandbox_err>&2 2>/dev/null $__sandbox_in<<<\"\$__sandbox_state\""; fi; \builtin exit "$__sandbox_left"' EXIT
