# Process 1 of a jail. It starts shells on their terminals and reaps orphaned processes. It ends,
# and all processes of the jail with it, when the fake closes the channel or has ended.
#
# Arguments: the bash of the shells; their script, in which CHANNEL stands for the named pipe with
# their commands; and their whole environment. The stdin is the channel to the fake: a socket, by
# which the fake learns the process id of each sender. It reads lines with a shell's number, its
# terminal's number, its named pipe and its limits as options of ulimit. It writes `ready`, and for
# each shell `started NUMBER` and `ended NUMBER CODE`.

exec 3<&0 0</dev/null 1>/dev/null 2>/dev/null
shell=$1
script=$2
shift 2
echo ready >&3
while IFS=' ' read -r -u 3 number terminal channel limits; do
    {
        (
            echo "started $number" >&3
            for limit in $limits; do ulimit "-${limit%%=*}" "${limit#*=}"; done
            exec env -i "$@" setsid --ctty "$shell" --norc --noprofile \
                -c "${script/CHANNEL/$channel}" bash <>"/dev/pts/$terminal" >&0 2>&0 3>&-
        )
        echo "ended $number $?" >&3
    } &
done
