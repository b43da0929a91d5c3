"""The arguments of the user's constructor: which are the two sizes, and what to pass for others."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from cell_verifier.calling.config_object import config_argument, config_object
from cell_verifier.errors import CannotCheckError


def names(text: str) -> frozenset[str]:
    """The names in a text, separated by spaces."""
    return frozenset(text.split())


TORCH_DEFAULTS: dict[str, Any] = {
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "nonlinearity": "tanh",
    "proj_size": 0,
}
"""torch.nn's optional arguments; passed only if the constructor requires them, or to test them."""

OTHER_NAMES = {
    "num_layers": "n_layers layers nlayers num_layer n_layer layer_num number_of_layers depth",
    "bias": "use_bias with_bias has_bias",
    "batch_first": "batchfirst is_batch_first",
    "dropout": "drop drop_prob drop_rate dropout_p dropout_prob dropout_rate p_dropout",
    "bidirectional": "bidir bidirection is_bidirectional",
    "nonlinearity": "activation act",
}
"""Other common names of torch.nn's optional arguments, separated by spaces."""

INPUT_NAMES = names(
    "input_size input_dim input_sz input_features input_units in_features in_dim in_size inp_size "
    "n_input n_inputs n_in num_input num_inputs input_channels in_channels d_in dim_in x_dim "
    "x_size nin n_x embed_dim embed_size embedding_dim embedding_size feature_size n_features "
    "num_features features ninp n_inp inp_dim inp_sz d_input emb_dim emb_size emsize"
)
HIDDEN_NAMES = names(
    "hidden_size hidden_dim hidden_sz hidden_units hidden_features hidden hiddens n_hidden "
    "n_hiddens num_hidden num_hiddens hid_dim hid_size h_dim h_size hdim nhid n_hid n_h n_a units "
    "n_units num_units state_size state_dim d_hidden dim_hidden cell_size hidden_channels"
)
"""Common names of the two sizes. Without such names, the first two arguments are the sizes."""

HEAD_NAMES = names(
    "output_size output_dim out_size out_dim out_features n_output n_outputs num_output "
    "num_outputs output d_out n_out n_y num_classes n_classes classes n_class nclass num_labels "
    "n_labels target_size n_categories vocab_out output_sz"
)
"""Common names of the width of an output layer."""

VOCABULARY_NAMES = names(
    "vocab_size vocab n_vocab num_vocab vocabulary_size num_embeddings n_tokens ntoken num_tokens "
    "dict_size voc_size"
)
"""Common names of the number of rows of an embedding."""

VOCABULARY_SIZE = 11
"""The number of rows passed for an embedding."""

HEAD_WIDTH = 5
"""The width passed for an output layer: none of the widths of a cell, so it cannot be mistaken."""


@dataclass(frozen=True)
class Constructor:
    """The user's class or function, called as ``constructor(input_size, hidden_size, **options)``.

    ``options`` have torch.nn's names. Sizes go to the arguments that are named like them, or to the
    first two. An argument without a default gets a value where its name or annotation makes it
    clear what it is; ``num_layers``, ``bidirectional`` and ``dropout`` get torch.nn's default.

    Attributes:
        make: the user's class or function.
        arguments: values for its other arguments, from the caller of ``verify``.
        part: path of the submodule that is compared, in a module that is more than a cell.
    """

    make: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""

    @property
    def __name__(self) -> str:
        return str(getattr(self.make, "__name__", type(self.make).__name__))

    def __call__(self, input_size: int, hidden_size: int, **options: Any) -> Any:
        positional, named = self.call_arguments(input_size, hidden_size, options)
        return self.make(*positional, **named)

    def call_arguments(
        self, input_size: int, hidden_size: int, options: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the named arguments of a call.

        Raises:
            CannotCheckError: an argument is required, and it is not clear what to pass.
        """
        config = config_argument(self._parameters())
        if config is not None and config.name not in self.arguments:
            both = {"input": input_size, "hidden": hidden_size}
            return [config_object(config, lambda name: self._config_value(name, both))], {}
        self._check_arguments()
        named = self.passed()
        named |= {self.own_name(name) or name: value for name, value in options.items()}
        sizes = self._size_names()
        if sizes and list(sizes) != list(self._parameters())[:2]:
            return [], {sizes[0]: input_size, sizes[1]: hidden_size, **named}
        return [input_size, hidden_size], named

    def _config_value(self, name: str, sizes: Mapping[str, int]) -> Any:
        """The value of a field of a configuration; None if it is not clear."""
        if name in self.arguments:
            return self.arguments[name]
        if name.lower() in INPUT_NAMES:
            return sizes["input"]
        if name.lower() in HIDDEN_NAMES:
            return sizes["hidden"]
        try:
            return self._value_for(name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY))
        except CannotCheckError:
            return None

    def filled(self) -> dict[str, Any]:
        """The arguments that are passed although the caller of ``verify`` did not give them.

        Raises:
            CannotCheckError: an argument is required, and it is not clear what to pass.
        """
        values: dict[str, Any] = {}
        if config_argument(self._parameters()) is not None:
            return values
        for name, parameter in self._others().items():
            option = _torch_name(name)
            required = parameter.default is parameter.empty
            if name in self.arguments:
                continue
            if required or (name == "device" and parameter.default is not None):
                values[name] = self._value_for(name, parameter)
            elif option in ("num_layers", "bidirectional", "dropout"):
                default = TORCH_DEFAULTS[option]
                if parameter.default != default and isinstance(parameter.default, int | float):
                    values[name] = default
        return values

    def passed(self) -> dict[str, Any]:
        """All arguments that are passed in addition to the sizes."""
        return self.filled() | dict(self.arguments)

    def own_name(self, option: str) -> str:
        """The user's name for one of torch.nn's options, or an empty string."""
        names = [
            name
            for name, parameter in self._others().items()
            if _torch_name(name) == option
            and (name == option or isinstance(parameter.default, int | float | type))
        ]
        return option if option in names else next(iter(names), "")

    def has_kwargs(self) -> bool:
        """Whether any further named argument is accepted."""
        return any(each.kind is each.VAR_KEYWORD for each in self._parameters().values())

    def _value_for(self, name: str, parameter: inspect.Parameter) -> Any:
        option = _torch_name(name)
        if option in TORCH_DEFAULTS:
            return TORCH_DEFAULTS[option]
        if name.lower() in HEAD_NAMES:
            return HEAD_WIDTH
        if name.lower() in VOCABULARY_NAMES:
            return VOCABULARY_SIZE
        if name == "device" or parameter.annotation in (torch.device, "torch.device"):
            return torch.device("cpu")
        if name == "dtype" or parameter.annotation in (torch.dtype, "torch.dtype"):
            return torch.get_default_dtype()
        if parameter.annotation in (bool, "bool"):
            return False
        raise CannotCheckError(
            f"{self.__name__} requires the argument {name!r}: pass "
            f"arguments={{{name!r}: value}} to verify, or --args {name}=VALUE on the command line"
        )

    def _check_arguments(self) -> None:
        known = self._parameters()
        for name in self.arguments:
            if name in (self._size_names() or list(known)[:2]):
                raise CannotCheckError(
                    f"arguments: {name!r} is a size, which the verifier chooses: leave it out"
                )
            if name not in known and not self.has_kwargs():
                others = ", ".join(self._others()) or "none but the two sizes"
                raise CannotCheckError(
                    f"arguments: {self.__name__} has no argument {name!r}: expected {others}"
                )

    def _size_names(self) -> tuple[str, str] | None:
        """The names of input_size and hidden_size, if both have common names."""
        named = [
            name
            for name, parameter in self._parameters().items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        inputs = [name for name in named if name.lower() in INPUT_NAMES]
        hidden = [name for name in named if name.lower() in HIDDEN_NAMES]
        return (inputs[0], hidden[0]) if inputs and hidden else None

    def _others(self) -> dict[str, inspect.Parameter]:
        """The arguments that can be passed by name, without the sizes."""
        parameters = self._parameters()
        sizes = self._size_names() or list(parameters)[:2]
        return {
            name: each
            for name, each in parameters.items()
            if name not in sizes and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        }

    def _parameters(self) -> dict[str, inspect.Parameter]:
        try:
            return dict(inspect.signature(self.make).parameters)
        except (TypeError, ValueError):  # for example a callable written in C
            return {}


def constructor_of(make: Callable[..., Any]) -> Constructor:
    """``make`` as a ``Constructor``."""
    return make if isinstance(make, Constructor) else Constructor(make)


def _torch_name(name: str) -> str:
    """torch.nn's name for an option, if it is one, or an empty string."""
    if name in TORCH_DEFAULTS:
        return name
    return next((ours for ours, others in OTHER_NAMES.items() if name in others.split()), "")
