"""Completion for zsh. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.completion.outline import ASKED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pushd.ctl.completion.outline import Option, Outline, Value

_HEAD = """\
#compdef pushctl
# zsh completion for pushctl; written by `pushctl completion zsh`.

_pushctl_ask() {  # what the daemon knows
    local -a known socket
    local named=${opt_args[--socket]:-$_pushctl_socket}
    [[ -n $named ]] && socket=(--socket ${(Q)named})
    known=(${(f)"$(command pushctl $socket completion zsh --words $1 2>/dev/null)"})
    compadd -a known
}

_pushctl_source() {
    if [[ $PREFIX == docker-daemon:* ]]; then
        return 1  # engines are not asked for what they have
    elif compset -P '*:'; then
        _files
    else
        compadd -S '' -- "$@"
    fi
}
"""


# In a directory of `fpath` the file itself is the function, and is run; otherwise it is sourced.
_TAIL = """
if [[ $funcstack[1] == _pushctl ]]; then
    _pushctl "$@"
else
    compdef _pushctl pushctl
fi
"""


def zsh(outline: Outline) -> str:
    """Write the script."""
    return "\n".join([_HEAD, *_commands(outline), "", *_top(outline), _TAIL])


def _commands(outline: Outline) -> Iterator[str]:
    yield "_pushctl_commands() {"
    yield "    local -a commands=("
    for command in outline.commands:
        yield f"        {_quoted(f'{command.name}:{command.text}')}"
    yield "    )"
    yield "    _describe command commands"
    yield "}"


def _top(outline: Outline) -> Iterator[str]:
    yield "_pushctl() {"
    yield "    local curcontext=$curcontext state line"
    yield "    local -A opt_args"
    yield "    _arguments -C \\"
    for option in outline.options:
        yield f"        {_option(option)} \\"
    yield "        '1: :_pushctl_commands' \\"
    yield "        '*:: :->words'"
    yield "    [[ $state == words ]] || return"
    yield "    local _pushctl_socket=${opt_args[--socket]}"
    yield "    case $line[1] in"
    for command in outline.commands:
        yield f"        {command.name})"
        if command.other is not None:
            yield f"            if (( ${{words[(I){command.other.option}(|=*)]}} )); then"
            yield from _arguments(command.options, command.other.operands)
            yield "                return"
            yield "            fi"
        yield from _arguments(command.options, command.operands)
        yield "            ;;"
    yield "    esac"
    yield "}"


def _arguments(options: Iterable[Option], operands: Iterable[Value]) -> Iterator[str]:
    yield "            _arguments \\"
    specs = [*(_option(option) for option in options), *_operands(operands)]
    yield from (f"                {spec} \\" for spec in specs[:-1])
    yield f"                {specs[-1]}"


def _option(option: Option) -> str:
    """Write one option as `_arguments` reads it; its names exclude one another unless it may be repeated."""
    text = _escaped(option.text)
    value = "" if option.value is None else f": :{_action(option.value)}"
    if len(option.names) == 1:
        star = "*" if option.repeats else ""
        return _quoted(f"{star}{option.names[0]}[{text}]{value}")
    names = " ".join(option.names)
    return " ".join(_quoted(f"({names}){name}[{text}]{value}") for name in option.names)


def _operands(operands: Iterable[Value]) -> Iterator[str]:
    for place, value in enumerate(operands, 1):
        yield _quoted(f"{'*' if value.many else place}: :{_action(value)}")


def _action(value: Value) -> str:
    """Write what `_arguments` does in one place; a space in front keeps it from handing over options of its own."""
    match value.kind:
        case Kind.WORDS:
            return f"({' '.join(value.words)})"
        case asked if asked in ASKED:
            return f" _pushctl_ask {value.kind.value}"
        case Kind.FILES:
            return "_files"
        case Kind.SOURCE:
            return f" _pushctl_source {' '.join(_escaped(word) for word in value.words)}"
        case _:
            return " "


def _escaped(text: str) -> str:
    """Take the meaning from what `_arguments` splits its descriptions at."""
    return text.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace(":", r"\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
