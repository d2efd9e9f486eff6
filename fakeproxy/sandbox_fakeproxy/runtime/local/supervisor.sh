# Process 1 of a jail. It starts shells on their terminals and reaps orphaned processes. It ends,
# and all processes of the jail with it, when the fake closes the channel or has ended.
#
# Arguments: the bash of the shells; their script, in which CHANNEL stands for the named pipe with
# their commands; and their whole environment. The stdin is the channel to the fake: a socket, by
# which the fake learns the process id of each sender. It reads lines with a shell's number, its
# terminal's number or `-`, its named pipe and its limits as options of ulimit. It writes `ready`,
# and for each shell `started NUMBER` and `ended NUMBER CODE`. The code of a shell without a terminal
# is negative if a signal has ended it.

exec 3<&0 0</dev/null 1>/dev/null 2>/dev/null
shell=$1
script=$2
shift 2

# Start a shell on a terminal, and set $code when it has ended.
run_on_terminal() {
    (
        echo "started $number" >&3
        set_limits
        exec env -i "$@" setsid --ctty "$shell" --norc --noprofile \
            -c "${script/CHANNEL/$channel}" bash <>"/dev/pts/$terminal" >&0 2>&0 3>&-
    )
    code=$?
}

# Start a shell without a terminal, and set $code when it has ended. A bash cannot tell a signal from
# an exit code above 128. `setsid` can: after a signal, it writes an error, and exits with its number.
run_without_terminal() {
    local error
    error=$(
        set_limits
        exec env -i "$@" setsid --fork --wait "$shell" --norc --noprofile \
            -c "echo started $number >&3; exec 3>&-; ${script/CHANNEL/$channel}" bash 2>&1 >/dev/null
    )
    code=$?
    case $error in ?*) code=-$((code & 127)) ;; esac
}

set_limits() {
    local limit
    for limit in $limits; do ulimit "-${limit%%=*}" "${limit#*=}"; done
}

echo ready >&3
while IFS=' ' read -r -u 3 number terminal channel limits; do
    {
        case $terminal in
            -) run_without_terminal "$@" ;;
            *) run_on_terminal "$@" ;;
        esac
        echo "ended $number $code" >&3
    } &
done
