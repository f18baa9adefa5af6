"""Completion of the command `delf` in bash, zsh and fish: `delf completion bash`.

Made from what there is: the table of words (`delf.command.WORDS`, whose usage names the options of
each) and delf_config.yaml (settings, what they mean, what can be chosen). It is switched on by

    bash:  eval "$(delf completion bash)"                   (in ~/.bashrc)
    zsh:   eval "$(delf completion zsh)"                    (in ~/.zshrc, behind compinit)
    fish:  delf completion fish | source                    (in ~/.config/fish/config.fish)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from delf.command import WORDS, Word
from model_utils.bounds import DEFAULT_CONFIG, YAML_LOADER
from src.common.errors import UserError

#: Options of every word.
_OF_ALL = ("--quiet", "--verbose", "--help")
_OPTION = re.compile(r"--(\w+)(=?)([\w|]*)")


@dataclass(frozen=True)
class Option:
    """An option of a word.

    Attributes:
        text: "--top=", or "--forget" where it takes no value.
        help: what it is.
        choices: its values; none: any, such as a file's name.
    """

    text: str
    help: str = ""
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Without dashes and "="."""
        return self.text.strip("-=")


def options(word: Word, settings: Sequence[Option]) -> list[Option]:
    """Return the options of a word: its own, those of all, and the settings where it takes any."""
    own = [Option(text) for text in _OF_ALL]
    for name, equals, values in _OPTION.findall(word.usage):
        choices = tuple(values.split("|")) if "|" in values else ()
        own.append(Option(f"--{name}{equals}", choices=choices))
    if not word.settings:
        return own
    known = {option.text for option in own}
    return [*own, *(option for option in settings if option.text not in known)]


def alternatives(word: Word) -> tuple[str, ...]:
    """Return what can follow a word whose usage is a choice: ("bash", "zsh", "fish")."""
    return tuple(word.usage.split("|")) if re.fullmatch(r"\w+(\|\w+)+", word.usage) else ()


def settings() -> list[Option]:
    """Return the settings of delf_config.yaml as options."""
    text = DEFAULT_CONFIG.read_text(encoding="utf-8")
    values, helps, choices = yaml.load_all(text, YAML_LOADER)
    found = []
    for name, value in values.items():
        allowed = choices.get(name)
        if isinstance(value, bool):
            allowed = ["True", "False"]
        chosen = tuple(map(str, allowed)) if isinstance(allowed, list) else ()
        found.append(Option(f"--{name}=", str(helps.get(name, "")), chosen))
    return found


def script(shell: str, words: Mapping[str, Word] = WORDS) -> str:
    """Return what a shell is to run to complete the command.

    Raises:
        UserError: it is none of `SHELLS`.
    """
    if shell not in SHELLS:
        raise UserError(f"delf completes in {', '.join(SHELLS)}, not in {shell!r}")
    known = settings()
    of_words = {name: options(word, known) for name, word in words.items()}
    return SHELLS[shell](words, of_words)


def _bash(words: Mapping[str, Word], of_words: Mapping[str, Sequence[Option]]) -> str:
    # "=" parts words in bash: --engine=auto comes as three.
    cases = [
        f"    {name}) options={_quoted(' '.join(option.text for option in own))} ;;"
        for name, own in of_words.items()
    ]
    return "\n".join(
        [
            "_delf() {",
            "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}",
            "  local option= options= values=",
            '  [[ $before == "=" ]] && option=${COMP_WORDS[COMP_CWORD-2]}',
            '  [[ $current == "=" ]] && option=$before && current=',
            "  COMPREPLY=()",
            "  if (( COMP_CWORD == 1 )); then",
            f'    COMPREPLY=($(compgen -W {_quoted(" ".join(words))} -- "$current"))',
            "    return",
            "  fi",
            "  if [[ -n $option ]]; then",
            "    case ${COMP_WORDS[1]}$option in",
            *_value_cases(of_words, "      {word}--{name}) values={values} ;;"),
            "    esac",
            '    [[ -n $values ]] && COMPREPLY=($(compgen -W "$values" -- "$current"))',
            "    return",
            "  fi",
            "  if [[ $current != -* ]]; then",
            "    case ${COMP_WORDS[1]} in",
            *(f"      {name}) values={_quoted(' '.join(of))} ;;" for name, of in _choices(words)),
            "    esac",
            '    [[ -n $values ]] && COMPREPLY=($(compgen -W "$values" -- "$current"))',
            "    return",
            "  fi",
            "  case ${COMP_WORDS[1]} in",
            *cases,
            "  esac",
            '  COMPREPLY=($(compgen -W "$options" -- "$current"))',
            "  [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace",
            "  return 0",
            "}",
            "complete -o default -F _delf delf",
            "",
        ]
    )


def _zsh(words: Mapping[str, Word], of_words: Mapping[str, Sequence[Option]]) -> str:
    told = " ".join(_quoted(f"{name}:{word.help}") for name, word in words.items())
    cases = [
        f"    {name}) options=({' '.join(_quoted(option.text) for option in own)}) ;;"
        for name, own in of_words.items()
    ]
    return "\n".join(
        [
            "#compdef delf",
            "_delf() {",
            "  local -a known options values",
            "  if (( CURRENT == 2 )); then",
            f"    known=({told})",
            "    _describe -t commands word known",
            "    return",
            "  fi",
            "  if [[ $PREFIX == --*=* ]]; then",
            "    case ${words[2]}${PREFIX%%=*} in",
            *_value_cases(of_words, "      {word}--{name}) values=({listed}) ;;"),
            "    esac",
            "    compset -P '*='",
            "    if (( $#values )); then compadd -a values; else _files; fi",
            "    return",
            "  fi",
            "  if [[ $PREFIX != -* ]]; then",
            "    case ${words[2]} in",
            *(f"      {name}) compadd {' '.join(of)}; return ;;" for name, of in _choices(words)),
            "    esac",
            "    _files",
            "    return",
            "  fi",
            "  case ${words[2]} in",
            *cases,
            "  esac",
            "  compadd -S '' -- ${(M)options:#*=}",
            "  compadd -- ${options:#*=}",
            "}",
            "compdef _delf delf",
            "",
        ]
    )


def _fish(words: Mapping[str, Word], of_words: Mapping[str, Sequence[Option]]) -> str:
    lines = ["complete -c delf -e"]
    for name, word in words.items():
        lines.append(
            f"complete -c delf -f -n __fish_use_subcommand -a {name} -d {_fish_quoted(word.help)}"
        )
    for name, of in _choices(words):
        seen = f"'__fish_seen_subcommand_from {name}'"
        lines.append(f"complete -c delf -f -n {seen} -a '{' '.join(of)}'")
    for option, names in _words_of(of_words).items():
        line = f"complete -c delf -n '__fish_seen_subcommand_from {' '.join(names)}'"
        line += f" -l {option.name}"
        if option.choices:
            line += f" -x -a {_fish_quoted(' '.join(option.choices))}"
        elif option.text.endswith("="):
            line += " -r"
        lines.append(line + (f" -d {_fish_quoted(option.help)}" if option.help else ""))
    return "\n".join([*lines, ""])


def _choices(words: Mapping[str, Word]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the words that a choice follows, and the choice."""
    return [(name, alternatives(word)) for name, word in words.items() if alternatives(word)]


def _value_cases(of_words: Mapping[str, Sequence[Option]], form: str) -> list[str]:
    """Return a line for each option that has choices: of which words, and which."""
    return [
        form.format(
            word=names[0] if len(names) == 1 else "*",
            name=option.name,
            values=_quoted(" ".join(option.choices)),
            listed=" ".join(map(_quoted, option.choices)),
        )
        for option, names in _words_of(of_words).items()
        if option.choices
    ]


def _words_of(of_words: Mapping[str, Sequence[Option]]) -> dict[Option, list[str]]:
    """Return which words take each option."""
    words_of: dict[Option, list[str]] = {}
    for name, own in of_words.items():
        for option in own:
            words_of.setdefault(option, []).append(name)
    return words_of


def _quoted(text: str) -> str:
    """Quote a text for bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the completion of a shell."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["-h"], ["--help"]):
        print(f"usage: delf completion {'|'.join(SHELLS)}\n\n{__doc__}")
        return
    if len(given) != 1:
        raise UserError(f"give the shell: delf completion {'|'.join(SHELLS)}")
    print(script(given[0]), end="")
