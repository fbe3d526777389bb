#!/usr/bin/env bash
# A first push, from nothing: a real registry, the daemon, an image made from files of this machine, pushed and read back.
#
#   bash deploy/quickstart.sh [--keep] [--registry HOST:PORT]
#
#   --keep                 leave registry and daemon running at the end, and say how to go on and how to stop
#   --registry HOST:PORT   push there instead of to a registry of our own: one that lets anyone push and read
#
# Everything listens on this machine alone, on ports that are free. Python packages and the registry's program are kept in
# ${XDG_CACHE_HOME:-~/.cache}/pushd-quickstart for the next time; the rest is removed at the end. PYTHON chooses the
# interpreter (python3 by default).

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/provision.sh

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pushd-quickstart
repository=quickstart/demo:1

usage() {
    printf 'usage: bash deploy/quickstart.sh [--keep] [--registry HOST:PORT]\n'
}

keep=
registry=
while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=yes ;;
    --registry)
        [ $# -gt 1 ] || { usage >&2; exit 2; }
        registry=$2
        shift
        ;;
    --registry=*) registry=${1#*=} ;;
    -h | --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

bold=''
plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi

step=0
heading() {
    step=$((step + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$step" "$*" "$plain"
}

# Show a command as it would be typed, then run it.
run() {
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@"
}

# ------------------------------------------------------------------------------------------- what runs, and its end

work=
registry_pid=
daemon_pid=

alive() {
    kill -0 "$1" 2>/dev/null
}

# stop NAME PID: ask it to end, wait as long as systemd would, then insist.
stop() {
    [ -n "$2" ] || return 0
    if alive "$2"; then
        kill -TERM "$2"
        for _ in $(seq 300); do
            alive "$2" || break
            sleep 0.1
        done
        if alive "$2"; then
            kill -KILL "$2"
        fi
    fi
    wait "$2" 2>/dev/null || true
    printf 'stopped the %s (process %s)\n' "$1" "$2"
}

finish() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP # a second Ctrl-C does not leave anything behind
    if [ "$code" != 0 ]; then
        printf '\n%sThis did not work.%s\n' "$bold" "$plain"
        for name in daemon registry; do
            if [ -s "$work/$name.log" ]; then
                printf 'The last the %s said:\n' "$name"
                tail -n 15 "$work/$name.log"
            fi
        done
        keep=
    fi
    if [ -z "$keep" ]; then
        stop daemon "$daemon_pid"
        stop registry "$registry_pid"
        [ -z "$work" ] || rm -rf -- "$work"
    fi
    exit "$code"
}

# until_true SECONDS NAME PID COMMAND...: try the command until it works, as long as the process NAME lives.
until_true() {
    local seconds=$1 name=$2 pid=$3
    shift 3
    for _ in $(seq $((seconds * 10))); do
        ! "$@" >/dev/null 2>&1 || return 0
        alive "$pid" || die "the $name ended before it was ready"
        sleep 0.1
    done
    die "the $name is not ready after $seconds s"
}

# ------------------------------------------------------------------------------------------------- the registry

# distribution tells on which port it listens, once it does.
registry_port() {
    port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/registry.log")
    [ -n "$port" ]
}

start_registry() {
    cat >"$work/registry.yml" <<EOF
version: 0.1
storage:
  filesystem: {rootdirectory: $work/registry}
http: {addr: "127.0.0.1:0", secret: quickstart}
EOF
    # A session of its own: Ctrl-C here reaches this script, which then ends what it started, in order.
    setsid "$docker_registry" serve "$work/registry.yml" >"$work/registry.log" 2>&1 </dev/null &
    registry_pid=$!
    until_true 15 registry "$registry_pid" registry_port
    registry=127.0.0.1:$port
    printf 'a registry listens on %s (process %s)\n' "$registry" "$registry_pid"
}

# ------------------------------------------------------------------------------------------------------- the way

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
work=$(mktemp -d "${TMPDIR:-/tmp}/pushd-quickstart.XXXXXX")

heading "What is needed"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two runs at once would fetch the same things over each other
[ -n "$registry" ] || find_docker_registry "$cache/docker-registry"
find_python
key=$({ cat requirements.lock && "$python" -c 'import sys; print(sys.version, sys.base_prefix)' && pwd; } | sha256sum)
environment=$cache/python-${key:0:16}
make_environment "$environment" requirements.lock
if [ ! -x "$environment/bin/pushctl" ]; then
    twice "$environment/bin/python" -m pip install --quiet --no-input --no-deps --editable .
fi
exec 9>&-
export PATH=$environment/bin:$PATH
printf 'Python packages and the registry are in %s\n' "$cache"

heading "A registry"
if [ -n "$registry" ]; then
    printf 'yours, at %s; repository and tag: %s\n' "$registry" "$repository"
else
    start_registry
fi

heading "An image, from files of this machine"
directories=()
for directory in /usr/share/doc /usr/lib/python3* /usr/bin /usr/lib /usr/share; do
    [ ! -d "$directory" ] || directories+=("$directory")
done
run python deploy/build_image.py "$work/image" demo "${directories[@]}"

heading "The daemon"
export PUSHD_SOCKET=$work/pushd.sock
printf '%s$ python -m pushd --socket %s --state-dir %s%s\n' "$bold" "$PUSHD_SOCKET" "$work/state" "$plain"
setsid python -m pushd --socket "$PUSHD_SOCKET" --state-dir "$work/state" >"$work/daemon.log" 2>&1 </dev/null &
daemon_pid=$!
until_true 20 daemon "$daemon_pid" pushctl status
pushctl status

heading "The push"
run pushctl push "oci:$work/image:demo" "$registry/$repository" --wait

heading "Read back, and every digest compared"
run python deploy/read_back.py "$work/image" demo "$registry/$repository"

heading "What the daemon's log tells of the job"
job=$(sed -n 's/.*"event":"job\.submitted".*"job":"\([^"]*\)".*/\1/p' "$work/daemon.log" | head -n 1)
[ -n "$job" ] || die "the daemon's log does not tell of the job"
grep -F "\"job\":\"$job\"" "$work/daemon.log"

heading "The end"
if [ -n "$keep" ]; then
    cat <<EOF
The daemon${registry_pid:+ and the registry} still run${registry_pid:+, at $registry}. To go on:

    export PATH=$environment/bin:\$PATH PUSHD_SOCKET=$PUSHD_SOCKET
    pushctl push oci:$work/image:demo $registry/quickstart/again:1 --wait
    pushctl jobs
    tail -f $work/daemon.log

To stop:

    kill $daemon_pid${registry_pid:+ $registry_pid} && tail --pid=$daemon_pid -f /dev/null && rm -r $work
EOF
else
    printf 'The image went through whole.\n'
fi
