"""What stands under the help of each command: an example, and what the options do not say."""

EXIT_CODES = """\
exit codes:
  0 done, 1 failed, 2 usage, 3 no daemon, 4 cancelled, 5 only some destinations,
  6 refused, 7 past its deadline, 8 detached
"""
PUSH = """\
examples:
  pushctl push oci:./build:1.4 registry.example.com/team/app:1.4 --wait
  pushctl push docker-daemon:app:1.4 registry.example.com/team/app:1.4
  docker save app:1.4 | pushctl push - registry.example.com/team/app:1.4
  pushctl push oci:./build:1.4 registry.example.com/team/app:1.4 --dry-run
  pushctl push oci:./build registry.example.com/team/app --tag 1.4 --tag latest
  pushctl push oci:./build:1.4 registry.example.com/team/app:1.4 \\
    mirror.example.net/team/app:1.4 --tags together
  pushctl push oci:./build registry.example.com/team/app:1 \\
    --platform linux/amd64,linux/arm64
  pushctl push docker://registry.example.com/team/app:1.4 \\
    mirror.example.net/team/app:1.4
  pushctl push docker://registry.example.com/team/app:1.4 \\
    mirror.example.net/team/app:1.4 --with-referrers
  pushctl push --artifact-type application/vnd.example.report.v1 \\
    registry.example.com/team/report:1 report.json:application/json charts

SOURCE is oci:DIR[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:REF] as
docker save and podman save write it, dir:DIR as skopeo does, docker://REF for
an image in a registry, docker-daemon: and NAME:TAG, NAME@DIGEST or sha256:ID
for one in Docker or podman, or -[:REF] for an OCI or docker archive on standard
input. What the daemon may not read of your files is streamed to it; so is what
an engine has, which pushctl asks at the socket in DOCKER_HOST, of Docker's
context, of Docker, or of podman. The job's id is printed once the job is safe
on the daemon's disk. With --wait the destinations are printed as they were read
back, NAME@DIGEST; progress goes to stderr, as bars on a terminal. With --json
the job is printed as one object: as taken, or with --wait as it ended. With
--dry-run nothing changes anywhere, and what would be done is printed.

With --artifact-type, files and directories are pushed as an OCI artifact, for
`oras pull` to write out again under the names they have here; more places are
named with --to. A name ends at its last colon if a media type follows, or
nothing: where it could be mistaken, add a colon. The same files give the same
digest; the time is told only if SOURCE_DATE_EPOCH is set.

With --tag each destination gets these tags beside its own; one that names no
tag gets these alone, and not latest. Each is a destination of the same job, and
a digest behind the name holds for all of them.

With --tags together no tag moves before everything is at all destinations; then
all of them do. Where one destination fails, none does, and the others fail with
it: `pushctl retry` brings what is missing, and nothing again that is there. A
destination that a newer job has tagged meanwhile keeps nobody back.

With --platform the index that is pushed lists these platforms alone, with their
attestations; it has another digest, and is an index also for a single one. An
image without an index must be for the platform.

With --validate full each layer is decompressed first and compared with what the
image says of it, and refused if it has in it what Docker, containerd or podman
would refuse to unpack; only then is anything sent.

With --compress layers that are plain tars are compressed by the daemon before
they are pushed, once for all destinations; the image gets a digest of its own.
What comes out of Docker is compressed unless --compress none says otherwise.
Docker's media types know gzip alone: its layers become that with zstd as well.

With --with-referrers all goes along that refers to the image, to any manifest
in it, and to what refers to those: signatures, SBOMs, attestations, those under
cosign's tags too. It is there before the tag is. With --platform that is what
refers to what is pushed, and not what refers to the whole index.

The registry is told your own credential, as `docker login` or `podman login`
left it, else one you stored with `pushctl login`, else the daemon's where you
may use that, else none; --credential chooses. So is the registry of a source.
"""
JOBS = """\
example:
  pushctl jobs --state running --state held --label build=4711
"""
SHOW = """\
example:
  pushctl show 3kX9aQmZ0bWd

With --json the job as one object: each destination with its digest, for what
comes next in a pipeline.
"""
WAIT = """\
example:
  pushctl wait $(pushctl push oci-archive:app.tar r.example.com/team/app:1.4)

Prints each job's destinations as it has ended, or with --json the job as one
object.
"""
WATCH = """\
example:
  pushctl watch 3kX9aQmZ0bWd

Without JOB, the newest that is not finished. Ctrl-C leaves, and the job goes
on. With --json each event is one object, and the last one is the job as it
ended.
"""
CANCEL = """\
examples:
  pushctl cancel 3kX9aQmZ0bWd
  pushctl cancel --registry registry.example.com

Destinations that are done stay done; nothing is removed from a registry. With a
registry, everybody's jobs are cancelled as far as they go there; only
administrators may.
"""
PAUSE = """\
examples:
  pushctl pause 3kX9aQmZ0bWd
  pushctl pause --registry registry.example.com

What runs stops at its next boundary, and goes on from there when it is
resumed. A registry is paused for everybody's jobs; only administrators may.
"""
RESUME = """\
examples:
  pushctl resume 3kX9aQmZ0bWd
  pushctl resume --registry registry.example.com
"""
RETRY = """\
example:
  pushctl retry 3kX9aQmZ0bWd

Only the destinations that failed or were cancelled are tried again, with your
own credentials as they are now.
"""
EVENTS = """\
example:
  pushctl events --follow --json

Numbered events as the daemon keeps them; with --json also progress, which has
no number.
"""
STATUS = """\
example:
  pushctl status
"""
TOP = """\
examples:
  pushctl top
  pushctl top --once

q or Ctrl-C ends it. With --json the status is printed as one object each
second.
"""
DOCTOR = """\
examples:
  pushctl doctor
  pushctl doctor registry.example.com/team/app

With a repository the right to push there is tried as well, with an upload
that is taken back. Your own credential is looked up, and tried; --credential
chooses another. The exit code is 0 when nothing fails, 1 otherwise, 3 without
a daemon.
"""
LOGIN = """\
examples:
  pushctl login registry.example.com --username alice
  pushctl login registry.example.com/team --username ci --password-stdin <token
  pushctl login registry.example.com --token-stdin --name refresh --expires 12h

The daemon keeps it sealed, for your jobs alone, and only where the registry
takes it. Jobs that wait for a credential go on. Without --password-stdin or
--token-stdin the password is asked for on the terminal. What `docker login`
left needs no login here: it is handed over with each push.
"""
LOGINS = """\
example:
  pushctl logins
"""
LOGOUT = """\
examples:
  pushctl logout registry.example.com
  pushctl logout refresh

Takes the name of a login, or the registry it is for.
"""
COMPLETION = """\
examples:
  pushctl completion bash > /etc/bash_completion.d/pushctl
  pushctl completion zsh > "${fpath[1]}/_pushctl"
  pushctl completion fish > ~/.config/fish/completions/pushctl.fish
"""
