"""Explain in one line why a command line cannot be parsed.

tyro parses the arguments. What it prints about an error is made for a terminal: several lines in a
box, which do not always name the option. So when tyro has rejected the arguments, this module
finds the first error in them and describes it: the option, the value, the rule and the remedy.
"""

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro


@dataclasses.dataclass(frozen=True)
class Argument:
    """One option or positional argument of a command.

    Attributes:
        name: ``--hidden-size``; of a positional argument ``TARGET``.
        kind: the type of one value: bool for a flag, int, float, str, Path or a Literal.
        many: whether it takes any number of values.
        positional: whether it is given without a name.
        required: whether it has no default.
        may_be_empty: whether it takes any number of values and its default is None, so that the
            option without a value differs from no option.
    """

    name: str
    kind: Any
    many: bool
    positional: bool
    required: bool
    may_be_empty: bool = False

    @property
    def expected(self) -> str:
        """The rule for one value, in words."""
        if get_origin(self.kind) is Literal:
            *others, last = map(str, get_args(self.kind))
            return f"{', '.join(others)} or {last}" if others else last
        words = {bool: "no value", int: "an integer", float: "a number", Path: "a path"}
        return words.get(self.kind, "a string")

    @property
    def no_value(self) -> str:
        """The error of an option that is given without a value."""
        return f"{self.name} has no value: expected {self.expected}"

    def accepts(self, value: str) -> bool:
        """Whether the text can be converted to the type of one value."""
        if get_origin(self.kind) is Literal:
            return value in map(str, get_args(self.kind))
        if self.kind in (int, float):
            try:
                self.kind(value)
            except ValueError:
                return False
        return self.kind is not bool

    def errors(self, values: Sequence[str]) -> Iterator[str]:
        """Describe what is wrong with the values that the option is given."""
        if not values and self.kind is not bool and not self.may_be_empty:
            yield self.no_value
        for value in values:
            if not self.accepts(value):
                yield f"{self.name} is {value!r}: expected {self.expected}"


def explain(kind: type, words: Sequence[str]) -> str:
    """Describe the first error in the arguments of a command.

    Args:
        kind: the dataclass of the command's options.
        words: the arguments that cannot be parsed, without the program's name.

    Returns:
        One line with the option, the value, the rule and the remedy.
    """
    unknown_error = f"cannot parse {' '.join(words)!r}: see --help"
    return next(_errors(arguments_of(kind), words), unknown_error)


def list_without_values(kind: type, words: Sequence[str]) -> str | None:
    """Describe an option with any number of values that is given with none.

    tyro accepts it, as an empty list: ``train.py --compare`` would start a training.
    """
    lists = {
        argument.name: argument
        for argument in arguments_of(kind)
        if argument.many and not argument.may_be_empty
    }
    for word, next_word in pairwise([*words, "--"]):
        option = lists.get(word.replace("_", "-"))
        if option is not None and next_word.startswith("--"):
            return option.no_value
    return None


def _errors(arguments: Sequence[Argument], words: Sequence[str]) -> Iterator[str]:
    options = {argument.name: argument for argument in arguments if not argument.positional}
    positionals = [argument.name for argument in arguments if argument.positional]
    given: set[str] = set()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = name.replace("_", "-")
            if name not in options:
                yield f"unrecognized option {name}: {_suggestion(name, list(options))}"
                continue
            given.add(name)
            yield from options[name].errors([value] if equals else _take(options[name], rest))
        elif positionals:
            given.add(positionals.pop(0))
        else:
            yield f"unexpected argument {word!r}: see --help"
    for argument in arguments:
        if argument.required and argument.name not in given:
            what = "argument" if argument.positional else "option"
            yield f"the {what} {argument.name} is missing: expected {argument.expected}"


def arguments_of(kind: type) -> list[Argument]:
    """The arguments that tyro makes of a dataclass, of its nested dataclasses too."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in dataclasses.fields(kind):
        value_type, markers = _without_annotations(hints[field.name])
        if dataclasses.is_dataclass(value_type):
            found += arguments_of(value_type)  # type: ignore[arg-type]  # a class, no instance
            continue
        many = get_origin(value_type) is tuple
        positional = tyro.conf.Positional in markers
        found.append(
            Argument(
                name=field.name.upper() if positional else f"--{field.name.replace('_', '-')}",
                kind=_without_annotations(get_args(value_type)[0])[0] if many else value_type,
                many=many,
                positional=positional,
                required=field.default is field.default_factory is dataclasses.MISSING,
                may_be_empty=many and field.default is None,
            )
        )
    return found


def _without_annotations(hint: Any) -> tuple[Any, list[Any]]:
    """``Annotated[int | None, marker]`` -> ``int, [marker]``."""
    markers: list[Any] = []
    while get_origin(hint) in (Annotated, Union, UnionType):
        first, *others = get_args(hint)
        if get_origin(hint) is Annotated:
            markers += others
        elif first is NoneType:
            first = others[0]
        hint = first
    return hint, markers


def _take(option: Argument, rest: list[str]) -> list[str]:
    """Remove the option's values from the front of ``rest``."""
    most = 0 if option.kind is bool else len(rest) if option.many else 1
    values: list[str] = []
    while len(values) < most and rest and not rest[0].startswith("--"):
        values.append(rest.pop(0))
    return values


def _suggestion(name: str, names: list[str]) -> str:
    nearest = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {nearest[0]}?" if nearest else "see --help"
