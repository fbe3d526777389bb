#!/usr/bin/env bash
# Install pushd as a service on Debian 12 or 13, bring it up to date, take that back, and remove it. As root.
#
#   bash deploy/install.sh [OPTION...]     install; again, it puts right what differs, and is done where nothing does
#
#   --upgrade         bring what is installed to the version of this tree; the database is copied first
#   --rollback        go back to the release before; refused where the database has become too new for it
#   --rollback --restore   the same, and such a database is replaced by the copy made before the upgrade
#   --backup          copy the databases, as an upgrade does; the daemon goes on
#   --uninstall       remove the program and its units; --purge removes queue, keys and configuration as well
#   --fetch DIR       put all the wheels there that an installation needs, for a machine without network
#
#   --wheels DIR      take wheels from there, and nothing from the network
#   --root DIR        install below DIR, for an image that has it as its root: nothing is started or stopped
#   --no-start        install, and leave starting to somebody else
#   --dry-run         say what would be done, and change nothing
#
# Releases are /opt/pushd/releases/VERSION, each whole in itself; /opt/pushd/current leads to the one in use and
# /opt/pushd/previous to the one before. Python packages come from PyPI, by the hashes in requirements.lock; PYTHON
# chooses the interpreter (python3 by default). deploy/OPERATIONS.md tells the rest.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    sed -n '4,21s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

wrong() {
    printf 'install.sh: %s\n\n' "$*" >&2
    usage >&2
    exit 2
}

verb=install
root='' wheels='' dry='' purge='' restoring='' start=yes fetched=''
choose() {
    [ "$verb" = install ] || wrong "--$verb and --$1 are two things"
    verb=$1
}
while [ $# -gt 0 ]; do
    case $1 in
    --upgrade | --rollback | --backup | --uninstall) choose "${1#--}" ;;
    --fetch | --wheels | --root)
        [ -n "${2:-}" ] || wrong "$1 wants a directory"
        case $1 in
        --fetch) choose fetch && fetched=$(realpath -m -- "$2") ;;
        --wheels) wheels=$(realpath -e -- "$2") || exit 2 ;;
        --root) root=$(realpath -m -- "$2") ;;
        esac
        shift
        ;;
    --purge) purge=yes ;;
    --restore) restoring=yes ;;
    --no-start) start='' ;;
    --dry-run) dry=yes ;;
    -h | --help)
        usage
        exit
        ;;
    *) wrong "$1 is not known" ;;
    esac
    shift
done
[ -z "$purge" ] || [ "$verb" = uninstall ] || wrong "--purge goes with --uninstall"
[ -z "$restoring" ] || [ "$verb" = rollback ] || wrong "--restore goes with --rollback"
[[ $root != *[!A-Za-z0-9/._+-]* ]] || wrong "--root: only letters, digits and /._+- may be in its path"

cd "$here"
. deploy/provision.sh
. deploy/release.sh
. deploy/databases.sh

[ "$root" != / ] || root=''
prefix=$root/opt/pushd
builder=''
trap '[ -z "$builder" ] || rm -rf -- "$builder"' EXIT
umask 022
unset PYTHONPATH PYTHONHOME # of whoever calls; what is run here has all it needs

# Whether systemd runs here and is to be told (sd_booted(3)).
managed() {
    [ -z "$root" ] && [ -d /run/systemd/system ]
}

# ------------------------------------------------------------------------------------------ what lies about the system

written=()

# place SOURCE FILE: have FILE (root left out) be what SOURCE is; it is replaced at once and not written into.
place() {
    local file=$root$2
    written+=("$2")
    if cmp -s "$1" "$file"; then
        return
    elif [ -n "$dry" ]; then
        printf 'would write %s\n' "$file"
        return
    fi
    mkdir -p "$(dirname "$file")"
    install -m "${3:-644}" "$1" "$file.new"
    mv -T "$file.new" "$file"
    printf 'wrote %s\n' "$file"
}

systemd_version() {
    local said
    said=$(systemctl --version 2>/dev/null) || said='systemd 0'
    printf '%s' "$said" | sed -n '1s/^systemd \([0-9]*\).*/\1/p'
}

# Everything outside of the release. In /usr/local/lib, not in /etc: what an administrator puts there goes first.
place_files() {
    local share=$prefix/releases/$release/share/pushd file name scratch
    [ -z "$dry" ] || [ -d "$share" ] || share=$here
    for name in pushd.service pushd.socket pushd@.service pushd@.socket; do
        place "$share/systemd/$name" "/usr/local/lib/systemd/system/$name"
        [ ! -e "$root/etc/systemd/system/$name" ] ||
            printf 'note: %s goes before the unit of this release; is it still wanted?\n' "$root/etc/systemd/system/$name"
    done
    for file in "$share"/systemd/pushd.service.d/systemd-*.conf; do
        name=$(basename "$file")
        [ "$(systemd_version)" -ge "$(printf '%s' "$name" | tr -cd 0-9)" ] || continue
        place "$file" "/usr/local/lib/systemd/system/pushd.service.d/$name"
        place "$file" "/usr/local/lib/systemd/system/pushd@.service.d/$name"
    done
    for file in "$share"/systemd/user/*; do
        place "$file" "/usr/local/lib/systemd/user/$(basename "$file")"
    done
    for name in sysusers.d tmpfiles.d; do
        place "$share/systemd/$name/pushd.conf" "/usr/local/lib/$name/pushd.conf"
    done

    scratch=$(mktemp -d)
    # A daemon stays with the release it was started from: the link is followed here, once, so that what Python imports
    # later on is of that release too.
    cat >"$scratch/python" <<'WRAPPER'
#!/bin/sh
current=$(readlink -e "${0%/*}/../current") || { echo "$0: no release is current: run install.sh" >&2; exit 1; }
exec "$current/bin/python" "$@"
WRAPPER
    place "$scratch/python" /opt/pushd/bin/python 755
    if [ -z "$dry" ] || is_whole "$release"; then
        for name in bash zsh fish; do
            "$prefix/releases/$release/bin/python" -I -m pushd.ctl completion "$name" >"$scratch/$name"
        done
        place "$scratch/bash" /usr/local/share/bash-completion/completions/pushctl
        place "$scratch/zsh" /usr/local/share/zsh/site-functions/_pushctl
        place "$scratch/fish" /usr/local/share/fish/vendor_completions.d/pushctl.fish
    fi
    if [ "$(readlink "$root/usr/local/bin/pushctl")" != /opt/pushd/current/bin/pushctl ]; then
        change mkdir -p "$root/usr/local/bin"
        change ln -sfn /opt/pushd/current/bin/pushctl "$root/usr/local/bin/pushctl"
    fi
    written+=(/usr/local/bin/pushctl)

    # What an earlier release had and this one has not.
    printf '%s\n' "${written[@]}" | sort >"$scratch/installed"
    [ ! -e "$prefix/installed" ] ||
        comm -23 "$prefix/installed" "$scratch/installed" | while read -r name; do change rm -f -- "$root$name"; done
    [ -n "$dry" ] || cmp -s "$scratch/installed" "$prefix/installed" ||
        install -m 644 "$scratch/installed" "$prefix/installed"
    rm -rf -- "$scratch"
}

make_users() {
    if [ "$(id -u)" != 0 ]; then
        printf 'note: not root, so no users were made; at its first boot systemd makes them\n'
    elif command -v systemd-sysusers >/dev/null; then
        [ -z "$root" ] || change mkdir -p "$root/etc"
        change systemd-sysusers ${root:+"--root=$root"} pushd.conf
        change systemd-tmpfiles ${root:+"--root=$root"} --create pushd.conf
    else
        printf 'note: systemd-sysusers is not there: make user and group pushd, and group pushd-admin\n'
    fi
}

# Make a release the one in use.
activate() {
    place_files
    make_users
    [ -z "$before" ] || [ "$before" = "$release" ] || link previous "$before"
    [ "$before" = "$release" ] || link current "$release"
}

# ---------------------------------------------------------------------------------------------------------- the daemon

# The units of ours that run.
running() {
    systemctl list-units --plain --no-legend --state=active,activating,reloading \
        pushd.socket pushd.service 'pushd@*.socket' 'pushd@*.service' | cut -d' ' -f1
}

# start_daemon UNIT...: have the release that is current now run: for the first time, again, or what ran before.
start_daemon() {
    if [ -n "$root" ]; then
        if command -v systemctl >/dev/null; then
            change systemctl --quiet --root="$root" enable pushd.service
        else
            printf 'to do in the image: systemctl enable pushd.service\n'
        fi
        return
    elif ! managed; then
        by_hand
        return
    fi
    change systemctl daemon-reload
    [ -n "$start" ] || return 0
    if [ $# -gt 0 ]; then
        change systemctl start "$@"
    elif [ -z "$before" ] || [ "$before" = "$release" ]; then
        change systemctl --quiet enable pushd.service && change systemctl start pushd.service
    else
        # The sockets stay: who submits meanwhile waits, and is not refused.
        change systemctl try-restart pushd.service 'pushd@*.service'
    fi || die "it does not start: see journalctl -u pushd.service -n 50; install.sh --rollback goes back to what was before"
}

by_hand() {
    cat <<'EOT'
systemd does not run here, so nothing was started. Where it runs later on:
    systemctl enable pushd.service
Without it, this is what the unit amounts to:
    install -d -o pushd -g pushd -m 700 /var/lib/pushd
    install -d -o pushd -g pushd -m 755 /run/pushd
    cd /var/lib/pushd && HOME=/var/lib/pushd STATE_DIRECTORY=/var/lib/pushd RUNTIME_DIRECTORY=/run/pushd \
        setpriv --reuid=pushd --regid=pushd --init-groups /opt/pushd/bin/python -P -m pushd
EOT
}

# Whether the release reads the configurations there are; as the daemon, which may see less than root.
check_configuration() {
    local file python=$prefix/releases/$release/bin/python
    [ -z "$root$dry" ] || return 0
    for file in /etc/pushd/pushd.toml $(states | sed -n 's|^/var/lib/pushd-\(.*\)|/etc/pushd/\1.toml|p'); do
        [ ! -e "$file" ] || as_daemon "$python" -I -m pushd --config "$file" --check-config ||
            die "the configuration is not good for $release, and nothing was changed"
    done
}

as_daemon() {
    if [ "$(id -u)" = 0 ] && id pushd >/dev/null 2>&1; then
        (cd / && HOME=/var/lib/pushd STATE_DIRECTORY=/var/lib/pushd setpriv --reuid=pushd --regid=pushd --init-groups -- "$@")
    else
        "$@"
    fi
}

# ----------------------------------------------------------------------------------------------------------- the verbs

do_install() {
    choose_python
    case $root:$("$python" -c 'import sys; print(sys.base_prefix)') in
    :/root/* | :/home/*) die "$python lies in a home directory, where the daemon's unit sees nothing: set PYTHON to another" ;;
    esac
    name_release
    case $verb:$before in
    install: | "install:$release" | "upgrade:$release") ;;
    install:*) die "$before is installed: install.sh --upgrade brings it to $release" ;;
    upgrade:) die "nothing is installed in $prefix: leave out --upgrade" ;;
    esac
    build_release
    check_configuration
    if [ -n "$before" ] && [ "$before" != "$release" ]; then
        local state refused=''
        [ -n "$dry" ] || refused=$(too_new "$release")
        for state in $refused; do
            die "$state/pushd.db was written by a newer pushd than $release, and nothing was changed"
        done
        copy_databases "$release" "before-$release"
    fi
    activate
    start_daemon
    [ -z "$start" ] || remove_old_releases
    [ -n "$dry" ] || printf 'pushd %s is installed in %s\n' "$release" "$prefix"
}

do_upgrade() {
    do_install
}

do_rollback() {
    local state copy refused units=''
    release=$(linked previous)
    if [ -z "$release" ] || ! is_whole "$release"; then
        die "there is no release to go back to in $prefix"
    fi
    refused=$(too_new "$release")
    for state in $refused; do
        copy=$(newest_copy "$state" "$release")
        if [ -z "$restoring" ]; then
            printf '%s: the database is too new for pushd %s.\n' "$state/pushd.db" "$release" >&2
            printf 'The copy made before: %s\n' "${copy:-there is none}" >&2
            die "nothing was changed. --rollback --restore puts the copy in its place; what was accepted since is then not known"
        fi
        [ -n "$copy" ] || die "$state/backups holds no copy that pushd $release can read, and nothing was changed"
    done
    if [ -n "$refused" ] && managed; then
        units=$(running)
        # shellcheck disable=SC2086 # words
        [ -z "$units" ] || change systemctl stop $units
    fi
    for state in $refused; do
        copy=$(newest_copy "$state" "$release")
        if [ -n "$dry" ]; then
            printf 'would put %s in the place of %s\n' "$copy" "$state/pushd.db"
        else
            database "$state" "$release" restore "$copy" "$state/pushd.db" || die "it was not restored, and $before stays"
        fi
    done
    activate
    # shellcheck disable=SC2086 # words
    start_daemon $units
    [ -n "$dry" ] || printf 'pushd %s is in use again; --rollback leads to %s now\n' "$release" "$(linked previous)"
}

do_backup() {
    [ -n "$before" ] || die "nothing is installed in $prefix"
    copy_databases "$before" backup
}

do_uninstall() {
    local name state
    if managed; then
        change systemctl --quiet disable --now pushd.service pushd.socket || true
        change systemctl stop 'pushd@*.socket' 'pushd@*.service'
    elif [ -n "$root" ] && command -v systemctl >/dev/null; then
        change systemctl --quiet --root="$root" disable pushd.service || true
    fi
    [ ! -e "$prefix/installed" ] || while read -r name; do
        change rm -f -- "$root$name"
    done <"$prefix/installed"
    for name in pushd.service.d pushd@.service.d; do
        name=$root/usr/local/lib/systemd/system/$name
        [ ! -d "$name" ] || change rmdir --ignore-fail-on-non-empty "$name"
    done
    change rm -rf -- "$prefix"
    ! managed || change systemctl daemon-reload
    if [ -z "$purge" ]; then
        printf 'Queue and keys (%s) and configuration (%s) stay; --uninstall --purge removes them.\n' \
            "$root/var/lib/pushd" "$root/etc/pushd"
        return
    fi
    for state in "$root/var/lib/pushd" "$root"/var/lib/pushd-* "$root/etc/pushd"; do
        [ ! -e "$state/lock" ] || as_owner "$state" flock -n "$state/lock" true ||
            die "a daemon works on $state, which stays: stop it, and try again"
        [ ! -e "$state" ] || change rm -rf -- "$state"
    done
    printf 'The user pushd and the groups pushd and pushd-admin stay, so that nobody else is given their numbers.\n'
}

do_fetch() {
    fetch_wheels "$fetched"
}

# Two at once would build over each other.
if [ "$verb" != fetch ] && [ -z "$dry" ]; then
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || die "this needs root; --root DIR installs elsewhere, --dry-run tells what would be done"
    mkdir -p "$prefix/releases"
    exec 9>>"$prefix/.lock"
    flock -n 9 || die "another install.sh is at work in $prefix"
fi
before=$(linked current)
"do_$verb"
