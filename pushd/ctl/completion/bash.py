"""Completion for bash. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.completion.outline import ASKED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pushd.ctl.completion.outline import Option, Outline, Value

# bash's own word splitting takes `:` and `=` for ends of words, and `compgen -W` runs what looks like a command in
# what it is given: so words are found in the line itself, and what the daemon says is compared and nothing else.
_HEAD = """\
# bash completion for pushctl; written by `pushctl completion bash`.

_pushctl_offer() {  # the words of "$@" that begin with what is being typed
    local word
    for word in "$@"; do
        [[ $word == "$_pushctl_typed"* ]] && COMPREPLY+=("$word")
    done
}

_pushctl_ask() {  # what the daemon knows
    local -a known
    mapfile -t known < <(command pushctl ${_pushctl_socket:+--socket "$_pushctl_socket"} \\
        completion bash --words "$1" 2>/dev/null)
    _pushctl_offer "${known[@]}"
}

_pushctl_files() {  # files that begin with "$1", with $2 before each
    local file
    while IFS= read -r file; do
        [[ -d $file ]] && file+=/
        COMPREPLY+=("$2$file")
    done < <(compgen -f -- "$1")
    compopt -o nospace 2>/dev/null
}

_pushctl_source() {
    if [[ $_pushctl_typed == docker-daemon:* ]]; then
        return  # engines are not asked for what they have
    elif [[ $_pushctl_typed == *:* ]]; then
        _pushctl_files "${_pushctl_typed#*:}" "${_pushctl_typed%%:*}:"
    else
        compopt -o nospace 2>/dev/null
        _pushctl_offer "$@"
    fi
}

_pushctl() {
    COMPREPLY=()
    local line=${COMP_LINE:0:COMP_POINT} _pushctl_typed="" _pushctl_socket="" _pushctl_options=" "
    local command="" before="" word
    local -i operands=0
    local -a words
    read -ra words <<<"$line"
    if [[ $line != *[[:space:]] ]]; then
        _pushctl_typed=${words[-1]}
        unset "words[-1]"
    fi
    for word in "${words[@]:1}"; do
        if [[ -n $before ]]; then
            [[ $before == --socket ]] && _pushctl_socket=$word
            before=""
        elif [[ $word == -?* && $word != -:* ]]; then
            _pushctl_options+="${word%%=*} "
            _pushctl_takes "$command" "$word" && before=$word
        elif [[ -z $command ]]; then
            command=$word
        else
            operands+=1
        fi
    done
    _pushctl_at "$command" "$before" "$operands"
    if [[ $_pushctl_typed == *:* && $COMP_WORDBREAKS == *:* ]]; then
        local cut=${_pushctl_typed%"${_pushctl_typed##*:}"}
        COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    fi
}
"""


def bash(outline: Outline) -> str:
    """Write the script."""
    return "\n".join([_HEAD, *_takes(outline), "", *_at(outline), "", "complete -F _pushctl pushctl", ""])


def _takes(outline: Outline) -> Iterator[str]:
    """Write the function that says whether an option is followed by a value."""
    yield "_pushctl_takes() {"
    yield '    case "$1 $2" in'
    for name, options in _places(outline):
        for option in options:
            if option.value is not None:
                yield f"        {_patterns(name, option)}) return 0 ;;"
    yield "    esac"
    yield "    return 1"
    yield "}"


def _at(outline: Outline) -> Iterator[str]:
    """Write the function that offers what may stand in one place: $1 the command, $2 the option before, $3 operands."""
    yield "_pushctl_at() {"
    yield '    case "$1 $2" in'
    for name, options in _places(outline):
        for option in options:
            if option.value is not None:
                yield f"        {_patterns(name, option)}) {_offer(option.value)}; return ;;"
    yield "    esac"
    yield "    if [[ $_pushctl_typed == -* && $_pushctl_typed != -:* ]]; then"
    yield '        case "$1" in'
    for name, options in _places(outline):
        names = " ".join(name for option in options for name in option.names)
        yield f'            "{name}") _pushctl_offer {names} ;;'
    yield "        esac"
    yield "        return"
    yield "    fi"
    for command in outline.commands:
        if command.other is not None:
            yield f'    if [[ $1 == {command.name} && $_pushctl_options == *" {command.other.option} "* ]]; then'
            yield '        case "$3" in'
            yield from (f"            {place}) {offer} ;;" for place, offer in _by_place(command.other.operands))
            yield "        esac"
            yield "        return"
            yield "    fi"
    yield '    case "$1:$3" in'
    yield f"        :*) _pushctl_offer {' '.join(command.name for command in outline.commands)} ;;"
    for command in outline.commands:
        yield from (f"        {command.name}:{place}) {offer} ;;" for place, offer in _by_place(command.operands))
    yield "    esac"
    yield "}"


def _by_place(operands: Iterable[Value]) -> Iterator[tuple[str, str]]:
    """Give a pattern for each place, which matches after those before it did not, and what is offered there."""
    for place, value in enumerate(operands):
        yield "*" if value.many else str(place), _offer(value)


def _places(outline: Outline) -> Iterator[tuple[str, tuple[Option, ...]]]:
    yield "", outline.options
    for command in outline.commands:
        yield command.name, command.options


def _patterns(command: str, option: Option) -> str:
    return "|".join(f'"{command} {name}"' for name in option.names)


def _offer(value: Value) -> str:
    match value.kind:
        case Kind.WORDS:
            return f"_pushctl_offer {' '.join(value.words)}"
        case asked if asked in ASKED:
            return f"_pushctl_ask {value.kind.value}"
        case Kind.FILES:
            return '_pushctl_files "$_pushctl_typed" ""'
        case Kind.SOURCE:
            return f"_pushctl_source {' '.join(value.words)}"
        case _:
            return ":"
