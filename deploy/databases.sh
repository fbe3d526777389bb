# shellcheck shell=bash
# shellcheck disable=SC2154 # `root`, `prefix` and `dry` are the caller's
# The databases there are, copied and put back as deploy/install.sh needs it. Sourced, not run, after deploy/release.sh.

# The state directories there are: of pushd.service, and of instances of pushd@.service.
states() {
    local directory
    for directory in "$root"/var/lib/pushd "$root"/var/lib/pushd-*; do
        [ ! -e "$directory/pushd.db" ] || printf '%s\n' "$directory"
    done
}

# as_owner DIRECTORY COMMAND...: root itself follows nothing in a directory that is somebody else's.
as_owner() {
    local owner
    owner=$(stat -c '--reuid=%u --regid=%g' "$1")
    shift
    if [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086 # two words
        setpriv $owner --clear-groups -- "$@"
    else
        "$@"
    fi
}

# database STATE RELEASE VERB ARGUMENT...: the script comes by standard input, as its owner need not be able to read it.
database() {
    local state=$1 python=$prefix/releases/$2/bin/python
    shift 2
    (cd "$state" && as_owner "$state" "$python" -I - "$@") <deploy/database.py
}

# copy_databases RELEASE NAME: copy what there is, by the release's Python; of those from upgrades the last three are kept.
copy_databases() {
    local state copy old
    for state in $(states); do
        copy=$state/backups/$2-$(date -u +%Y%m%dT%H%M%SZ).db
        if [ -n "$dry" ]; then
            printf 'would copy %s to %s\n' "$state/pushd.db" "$copy"
            continue
        fi
        as_owner "$state" mkdir -p -m 700 "$state/backups"
        database "$state" "$1" copy "$state/pushd.db" "$copy" ||
            die "the database could not be copied, and nothing was changed; is there room on the disk?"
        copies "$state" 'before-*.db' | tail -n +4 | while read -r old; do as_owner "$state" rm -f -- "$old"; done
    done
}

# copies STATE PATTERN: newest first.
copies() {
    [ -d "$1/backups" ] || return 0
    find "$1/backups" -name "$2" -type f -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2-
}

# newest_copy STATE RELEASE: the newest copy that the release can read, or nothing.
newest_copy() {
    local copy known
    known=$(known_schema "$2")
    copies "$1" '*.db' | while read -r copy; do
        if [ "$(database "$1" "$2" schema "$copy")" -le "$known" ]; then
            printf '%s' "$copy"
            cat >/dev/null # the rest
        fi
    done
}

# too_new RELEASE: the state directories whose database it cannot read.
too_new() {
    local state known found
    known=$(known_schema "$1")
    for state in $(states); do
        found=$(database "$state" "$1" schema "$state/pushd.db")
        [ "$found" -le "$known" ] || printf '%s\n' "$state"
    done
}
