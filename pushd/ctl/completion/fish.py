"""Completion for fish. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.completion.outline import ASKED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pushd.ctl.completion.outline import Command, Option, Outline, Value

_HEAD = """\
# fish completion for pushctl; written by `pushctl completion fish`.

function __pushctl_ask  # what the daemon knows
    set -l words (commandline -opc)
    set -l socket
    if set -l place (contains -i -- --socket $words)
        set socket --socket $words[(math $place + 1)]
    end
    command pushctl $socket completion fish --words $argv[1] 2>/dev/null
end

function __pushctl_source
    set -l typed (commandline -ct)
    if string match -q 'docker-daemon:*' -- $typed
        return # engines are not asked for what they have
    else if string match -q '*:*' -- $typed
        set -l kind (string split -m 1 : -- $typed)[1]
        set -l rest (string split -m 1 : -- $typed)[2]
        for file in (__fish_complete_path $rest | string split -f 1 \\t)
            echo $kind:$file
        end
    else
        printf '%s\\n' $argv
    end
end

function __pushctl_typed  # whether this option was
    string match -qr -- "^$argv[1](=|\\$)" (commandline -opc)
end

complete -c pushctl -f
"""
_TOP = "__fish_use_subcommand"


def fish(outline: Outline) -> str:
    """Write the script."""
    lines = [_HEAD]
    lines.extend(f"complete -c pushctl -n {_TOP} {_option(option)}" for option in outline.options)
    for command in outline.commands:
        lines.append(f"complete -c pushctl -n {_TOP} -a {command.name} -d {_quoted(command.text)}")
        lines.extend(_command(command))
    return "\n".join([*lines, ""])


def _command(command: Command) -> Iterator[str]:
    behind = _quoted(f"__fish_seen_subcommand_from {command.name}")
    for option in command.options:
        yield f"complete -c pushctl -n {behind} {_option(option)}"
    if command.other is None:
        yield from _operands(behind, command.operands)
        return
    typed = f"__pushctl_typed {command.other.option}"
    yield from _operands(f"{behind} -n {_quoted(f'not {typed}')}", command.operands)
    yield from _operands(f"{behind} -n {_quoted(typed)}", command.other.operands)


def _operands(condition: str, operands: Iterable[Value]) -> Iterator[str]:
    for value in operands:
        if value.kind is not Kind.OTHER:
            yield f"complete -c pushctl -n {condition} {_value(value)}"


def _option(option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    if option.value is None:
        return f"{names} -d {_quoted(option.text)}"
    files = "-r" if option.value.kind is Kind.FILES else "-x"  # -x: something, and no file
    return f"{names} {f'{files} {_value(option.value)}'.rstrip()} -d {_quoted(option.text)}"


def _value(value: Value) -> str:
    match value.kind:
        case Kind.WORDS:
            return f"-a {_quoted(' '.join(value.words))}"
        case asked if asked in ASKED:
            return f"-a '(__pushctl_ask {value.kind.value})'"
        case Kind.FILES:
            return "-F"
        case Kind.SOURCE:
            return f"-a '(__pushctl_source {' '.join(value.words)})'"
        case _:
            return ""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
