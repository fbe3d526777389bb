"""What a person types after `pushctl`."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, cast

from pushd import __version__
from pushd.ctl import arguments, examples
from pushd.job import AUTO, Compress, JobState, Tags, Validate, Verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.ctl.exits import Exit

    Verb = Callable[[argparse.Namespace], Exit]


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help for terminals of 80 columns. Asking how wide this one is would import shutil, in every command."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)


def parser() -> argparse.ArgumentParser:
    """Build the parser. What it parses has `run`, the verb to call, and `parser`, which knows the verb's usage."""
    top = argparse.ArgumentParser(
        prog="pushctl",
        description="Push images to registries through the pushd daemon.",
        epilog=examples.EXIT_CODES,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"pushctl {__version__}")
    top.add_argument(
        "--socket", metavar="PATH", help="the daemon's socket (default: $PUSHD_SOCKET, or where it usually is)"
    )
    verbs = top.add_subparsers(metavar="COMMAND", required=True)

    def verb(name: str, module: str, text: str, example: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=example,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        # People type it behind the command as well; there it must not undo what stood before.
        added.add_argument("--socket", metavar="PATH", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        added.add_argument("--json", action="store_true", help="print JSON, one object a line, and nothing else")
        added.set_defaults(run=_late(module, name), parser=added, quoting=True)
        return added

    _push(verb("push", "push", "push an image, or files, to one or more places", examples.PUSH))
    _jobs(verb("jobs", "jobs", "list jobs, newest first", examples.JOBS))
    verb("show", "show", "show everything about a job", examples.SHOW).add_argument("job", metavar="JOB")
    verb("wait", "watch", "wait until jobs have ended", examples.WAIT).add_argument("jobs", metavar="JOB", nargs="+")
    watch = verb("watch", "watch", "look on while a job is delivered", examples.WATCH)
    watch.add_argument("job", metavar="JOB", nargs="?")
    for name, text, example in (
        ("cancel", "cancel jobs, or all that goes to a registry", examples.CANCEL),
        ("pause", "hold jobs back, or a registry", examples.PAUSE),
        ("resume", "let what was paused go on", examples.RESUME),
    ):
        added = verb(name, "control", text, example)
        added.add_argument("jobs", metavar="JOB", nargs="*")
        added.add_argument("--registry", metavar="HOST", help="a registry, with its port if it has one, and no job")
    retry = verb("retry", "control", "try again what failed of jobs, and nothing else", examples.RETRY)
    retry.add_argument("jobs", metavar="JOB", nargs="+")
    _credential(retry, "with any word but `auto` nothing is handed over anew (default: your own is)")
    events = verb("events", "daemon", "print what happened", examples.EVENTS)
    events.add_argument(
        "--after", type=arguments.number, default=0, metavar="SEQ", help="only what came after this number"
    )
    events.add_argument("--job", metavar="JOB", help="only this job's")
    events.add_argument("--follow", action="store_true", help="go on with what happens now")
    verb("status", "daemon", "show what the daemon is doing", examples.STATUS)
    screen = verb("top", "top", "look on while the daemon works", examples.TOP)
    screen.add_argument("--once", action="store_true", help="print it once, as plain text, and end")
    doctor = verb("doctor", "doctor", "see what is wrong with the daemon, or on the way to a registry", examples.DOCTOR)
    doctor.add_argument("registry", metavar="REGISTRY", nargs="?", help="HOST[:PORT], or HOST[:PORT]/REPOSITORY")
    _credential(doctor, "which to try, as `push` takes it (default: your own, else as a push would)")
    _login(verb("login", "login", "store a credential of yours for a registry", examples.LOGIN))
    verb("logins", "login", "list the credentials you stored", examples.LOGINS)
    logout = verb("logout", "login", "have a stored credential forgotten", examples.LOGOUT)
    logout.add_argument("login", metavar="LOGIN", help="its name, or its registry")
    completion = verb("completion", "completion", "print what completes this command in a shell", examples.COMPLETION)
    completion.add_argument("shell", metavar="SHELL", choices=["bash", "zsh", "fish"], help="bash, zsh or fish")
    completion.add_argument("--words", choices=["jobs", "registries", "logins", "credentials"], help=argparse.SUPPRESS)
    return top


def _push(push: argparse.ArgumentParser) -> None:
    push.usage = """%(prog)s [options] SOURCE DESTINATION...
       %(prog)s [options] --artifact-type TYPE DESTINATION
                    [FILE[:MEDIATYPE]...]"""
    source = push.add_argument(
        "source", metavar="SOURCE", type=arguments.shown,
        help="oci:DIR[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:REF], dir:DIR, docker://REF, "
        "docker-daemon:IMAGE, or -[:REF]",
    )  # fmt: skip
    destinations = push.add_argument(
        "destinations", metavar="DESTINATION", nargs="+", default=[], help="a reference, HOST/NAME:TAG"
    )
    # With --artifact-type they are a destination and files, and there need be none: the verb tells what is missing.
    source.required = destinations.required = False
    push.add_argument(
        "--artifact-type", type=arguments.media_type, metavar="TYPE",
        help="push files as an artifact of this media type, to the DESTINATION that is named first",
    )  # fmt: skip
    push.add_argument(
        "--annotation", dest="annotations", type=arguments.label, action="append", default=[], metavar="K=V",
        help="an annotation of the artifact; may be repeated",
    )  # fmt: skip
    push.add_argument(
        "--to", type=arguments.named, action="append", default=[], metavar="DESTINATION",
        help="one more place for the artifact; may be repeated",
    )  # fmt: skip
    push.add_argument(
        "--tag", dest="tags", type=arguments.tag, action="append", default=[], metavar="TAG",
        help="also under this tag, in each destination's repository; may be repeated",
    )  # fmt: skip
    push.add_argument(
        "--tags", dest="moving", type=Tags, choices=list(Tags), default=Tags.EACH, metavar="WHEN",
        help="move tags `together`, once everything is at all destinations (default: each, as soon as it can)",
    )  # fmt: skip
    push.add_argument(
        "--platform", dest="platforms", type=arguments.platforms, action="extend", default=[], metavar="OS/ARCH",
        help="of an index only this platform, OS/ARCH[/VARIANT]; may be repeated, or have commas",
    )  # fmt: skip
    push.add_argument(
        "--compress", type=Compress, choices=list(Compress), default=Compress.AUTO, metavar="HOW",
        help="compress plain layers first: gzip, zstd, default (as the daemon is set), none, or auto: default for what "
        "Docker saved, else none",
    )  # fmt: skip
    push.add_argument(
        "--with-referrers", action="store_true",
        help="take along what refers to the image: signatures, SBOMs, attestations",
    )  # fmt: skip
    push.add_argument("--wait", action="store_true", help="wait until it is done, and show how it goes")
    push.add_argument("--dry-run", action="store_true", help="only say what would be done")
    push.add_argument("--priority", type=int, default=0, metavar="N", help="larger goes first (default: 0)")
    push.add_argument(
        "--label", dest="labels", type=arguments.label, action="append", default=[], metavar="K=V",
        help="your own words, shown with the job; may be repeated",
    )  # fmt: skip
    push.add_argument(
        "--deadline", type=arguments.duration, metavar="D", help="fail what is unfinished after 90s, 15m, 2h or 1d"
    )
    push.add_argument(
        "--not-before", type=arguments.moment, metavar="TIME",
        help="begin then: a time such as 2026-07-01T22:00:00+02:00, or 10m for ten minutes from now",
    )  # fmt: skip
    push.add_argument(
        "--if-tag", type=arguments.if_tag, metavar="WHAT",
        help="push only where the tag does not exist (`absent`), or names this digest",
    )  # fmt: skip
    push.add_argument(
        "--spool", action="store_true", help="have the daemon copy the image first, so that it may be deleted here"
    )
    push.add_argument(
        "--verify", type=Verify, choices=list(Verify), default=Verify.TAG, metavar="WHAT",
        help="read back the `tag`, or all `blobs` as well (default: tag)",
    )  # fmt: skip
    push.add_argument(
        "--validate", type=Validate, choices=list(Validate), default=Validate.DIGEST, metavar="WHAT",
        help="before anything is sent: `full` looks into each layer (default: digest, each blob's, as it is sent)",
    )  # fmt: skip
    push.add_argument(
        "--idempotency-key", type=arguments.key, metavar="KEY",
        help="the same key gives the same job again, and pushes nothing twice",
    )  # fmt: skip
    _credential(
        push,
        "`daemon`, `anonymous`, or the NAME of one you stored with login (default: your own, as `docker login` or "
        "`podman login` left it, else one you stored, else the daemon's)",
    )


def _credential(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--credential", type=arguments.named, default=AUTO, metavar="WHICH", help=text)


def _login(login: argparse.ArgumentParser) -> None:
    login.add_argument(
        "registry", metavar="REGISTRY", type=arguments.named, help="HOST[:PORT], or a part of it: HOST[:PORT]/PATH"
    )
    login.add_argument(
        "-u", "--username", type=arguments.named, metavar="USER", help="asked for on the terminal otherwise"
    )
    secret = login.add_mutually_exclusive_group()
    secret.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    secret.add_argument("--token-stdin", action="store_true", help="read an identity token from there instead")
    login.add_argument("-p", "--password", nargs="?", action=arguments.TypedPassword, help=argparse.SUPPRESS)
    login.add_argument(
        "--name", type=arguments.named, metavar="NAME", help="what to call it (default: after the registry)"
    )
    login.set_defaults(quoting=False)  # what is typed too much may be a password
    login.add_argument("--expires", type=arguments.duration, metavar="D", help="forget it after 15m, 2h or 1d")


def _jobs(jobs: argparse.ArgumentParser) -> None:
    jobs.add_argument(
        "--state", dest="states", type=arguments.state, action="append", default=[],
        metavar="STATE", help=f"only these: {', '.join(JobState)}; may be repeated",
    )  # fmt: skip
    jobs.add_argument(
        "--label", dest="labels", type=arguments.label, action="append", default=[], metavar="K=V",
        help="only those with this label; may be repeated",
    )  # fmt: skip
    jobs.add_argument("--registry", metavar="HOST", help="only those that go to this registry")
    jobs.add_argument("--limit", type=arguments.positive, default=50, metavar="N", help="at most so many (default: 50)")


def _late(module: str, name: str) -> Verb:
    """Give the verb `name`, which is imported once it runs: each command imports what it alone needs."""

    def run(typed: argparse.Namespace) -> Exit:
        return cast("Verb", getattr(import_module(f"pushd.ctl.verbs.{module}"), name))(typed)

    return run
