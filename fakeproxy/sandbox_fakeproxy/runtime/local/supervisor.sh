# Process 1 of a sandbox. It starts shells on their terminals and reaps what they leave. It ends, and
# all of the sandbox with it, when the fake closes the channel or is gone.
#
# Arguments: the bash of the shells, their script, in which CHANNEL stands for the named pipe with
# their commands, and their whole environment. The stdin is the channel to the fake: a socket, which
# tells the fake the process id of each sender. There come lines with a shell's number, its
# terminal's number, its named pipe and its limits, as ulimit takes them. There go `ready`, and for
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
