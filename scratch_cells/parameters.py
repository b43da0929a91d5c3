"""The weights under torch.nn's parameter names.

The modules of this package compute with ``nn.Linear``s. Each of their weights is registered twice:
in its ``nn.Linear`` and, as the same Parameter, under torch.nn's name in the cell and in the layer.
So ``parameters()``, ``named_parameters()`` and ``state_dict()`` have torch.nn's names and order, a
tool that is given ``layer`` and ``"weight_hh_l0"`` acts, and so does one that is given an
``nn.Linear``.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from typing import Any, NoReturn

from torch import Tensor, nn

MISSING = object()
"""The value of a name under which no parameter is registered."""

Place = tuple[str, tuple[str, ...], str]
"""A weight: its torch.nn name, the path of its ``nn.Linear``, and its name there."""


class TorchNamedModule(nn.Module):
    """A module that registers the weights of its ``nn.Linear``s under torch.nn's names, too.

    ``share_weights`` keeps both registrations the same Parameter. It runs before the weights
    are used, listed, saved or loaded, because both can change in ways that nothing reports:

    - A registration is replaced, for example by ``linear.weight = ...`` or ``to_empty``. Then the
      new Parameter is registered in both places.
    - It is removed from the ``nn.Linear``, by a parametrization or a pruning method, or because
      another module has the place of the ``nn.Linear``. Then it is removed here, too. The same
      holds if ``fully_shard`` is called with the ``nn.Linear`` itself.
    - It is removed here, by a parametrization or a pruning method for torch.nn's name. Then it is
      removed from the ``nn.Linear``, too, and this module *provides* the weight: a call computes
      with the value of the attribute of this module.
    """

    def __init__(self) -> None:
        super().__init__()
        self._places: tuple[Place, ...] = ()
        self._owners: tuple[tuple[tuple[str, ...], list[tuple[str, str]]], ...] = ()
        self._shared: dict[str, nn.Parameter | None] = {}  # as share_weights left them
        self._provided: set[str] = set()
        self.register_state_dict_post_hook(remove_second_names)

    def __prepare_scriptable__(self) -> NoReturn:
        """``torch.jit.script`` calls this first."""
        raise TypeError(
            f"torch.jit.script cannot compile {type(self).__name__}: TorchScript has only a part "
            "of Python; use torch.export, or script torch.nn's layer: to_torch(model)"
        )

    @abstractmethod
    def torch_names(self) -> dict[str, str]:
        """Map torch.nn's name of each weight, in torch.nn's order, to its path in this module."""

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each weight with its torch.nn name, in torch.nn's order."""
        for name in self.torch_names():
            weight = getattr(self, name)
            if weight is not None:
                yield name, weight

    def register_torch_names(self) -> None:
        """Register the weights under torch.nn's names. Called once, when they exist."""
        places = []
        for name, path in self.torch_names().items():
            owner_path, _, attribute = path.rpartition(".")
            owner = self.get_submodule(owner_path)
            if isinstance(owner, TorchNamedModule):  # a cell of a layer: the path ends at a Linear
                owner_path, _, attribute = (
                    f"{owner_path}.{owner.torch_names()[attribute]}".rpartition(".")
                )
            places.append((name, tuple(owner_path.split(".")), attribute))
        self._places = tuple(places)
        by_owner: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for name, owner_names, attribute in places:
            by_owner.setdefault(owner_names, []).append((name, attribute))
        self._owners = tuple(by_owner.items())
        self.weights_in = itemgetter(*[name for of_it in by_owner.values() for name, _ in of_it])
        self.share_weights()

    # Keeping both registrations the same

    def share_weights(self) -> bool:
        """Make the weights of the ``nn.Linear``s and those registered here the same Parameters.

        Returns:
            Whether they were the same already.
        """
        if self._are_the_same():  # in every call, except for the first one after a change
            return True
        were_the_same = True
        for name, path, attribute in self._places:
            owner = _submodule(self, path)
            theirs = MISSING if owner is None else owner._parameters.get(attribute, MISSING)
            own = self._parameters.get(name, MISSING)
            if own is theirs and own is not MISSING:
                if self._shared.get(name, MISSING) is not own and _is_registrable(own):
                    self._shared[name] = own  # type: ignore[assignment]  # not MISSING
            else:
                were_the_same = False
                if _is_sharded(self, path):
                    theirs = MISSING  # FSDP replaces these weights during a call of the nn.Linear
                self._resolve(name, owner, attribute, own, theirs)
        return were_the_same

    def _are_the_same(self) -> bool:
        """Whether each weight is registered here and in its ``nn.Linear``, as it was before."""
        own, shared = self._parameters, self._shared
        try:
            for path, weights in self._owners:
                owner: Any = self
                for name in path:
                    owner = owner._modules[name]
                theirs = owner._parameters
                for name, attribute in weights:
                    if not (own[name] is theirs[attribute] is shared[name]):
                        return False
        except (KeyError, AttributeError):  # a module or a weight is missing, or None has its place
            return False
        return True

    def _resolve(
        self, name: str, owner: nn.Module | None, attribute: str, own: Any, theirs: Any
    ) -> None:
        """Update the registrations of one weight, which differ."""
        before = self._shared.get(name, MISSING)
        if theirs is MISSING and name in self._provided:
            if own is not MISSING and owner is not None:  # for example, after prune.remove
                self._provided.discard(name)
                owner._parameters[attribute] = self._shared[name] = own
        elif theirs is MISSING:
            self._parameters.pop(name, None)
            self._shared.pop(name, None)
        elif own is MISSING and before is not MISSING:
            assert owner is not None
            del owner._parameters[attribute], self._shared[name]
            self._provided.add(name)
        elif _is_registrable(theirs) and (own is MISSING or own is before):
            self._parameters[name] = self._shared[name] = theirs
            self._reorder([name for name, *_ in self._places])
        elif own is not before and _is_registrable(own):
            assert owner is not None
            owner._parameters[attribute] = self._shared[name] = own
        # Otherwise functional_call has replaced one of them, until its end.

    def _reorder(self, first: list[str]) -> None:
        """Move the parameters that are named first to the front, in this order."""
        order = [name for name in first if name in self._parameters]
        order += [name for name in self._parameters if name not in first]
        if order != list(self._parameters):  # else a caller may be iterating over them
            for name in order:
                self._parameters[name] = self._parameters.pop(name)

    def _own_values(self) -> list[tuple[nn.Module, str, Tensor]]:
        """The weights for which a call must compute with the value of this module's attribute.

        Returns:
            The ``nn.Linear``, the name of the weight in it, and the value, of each.
        """
        values = []
        for name, path, attribute in self._places:
            own = self._parameters.get(name, MISSING)
            shared = self._shared.get(name, MISSING)
            if name in self._provided or (own is not shared and own is not MISSING):
                owner = _submodule(self, path)
                if owner is not None and (
                    own is MISSING or owner._parameters[attribute] is not own
                ):
                    values.append((owner, attribute, getattr(self, name)))
        return values

    def computing_with_own_values(self) -> Any:
        """A context in which the ``nn.Linear``s have the values of this module's attributes."""
        return nullcontext() if self.share_weights() else replaced(self._own_values())

    # Where torch.nn.Module reads or writes the registered parameters

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Module]]:
        """Yield the modules, with the weights registered as they are at this moment."""
        self.share_weights()  # parameters(), named_parameters() and modules() call this method
        modules: Iterator[tuple[str, nn.Module]] = super().named_modules(*args, **kwargs)
        return modules

    def __getattr__(self, name: str) -> Any:
        modules = vars(self).get("_modules", ())
        if name in modules:  # the usual case, first
            return modules[name]
        place = _place(self, name)
        if place is not None:
            self.share_weights()
            if name not in self._parameters and name not in self._provided:
                with self.computing_with_own_values():
                    return getattr(_submodule(self, place[1]), place[2])
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        place = _place(self, name)
        if place is None:
            super().__setattr__(name, value)
            return
        self.share_weights()
        if name in self._shared or name in self._provided:
            super().__setattr__(name, value)
            self.share_weights()
        else:
            setattr(_submodule(self, place[1]), place[2], value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Apply ``fn`` once to each weight: by way of its ``nn.Linear``."""
        self.share_weights()
        order = list(self._parameters)
        for name in self._shared:
            del self._parameters[name]
        try:
            return super()._apply(fn, recurse)
        finally:
            self._parameters.update(self._shared)
            self._reorder(order)
            self.share_weights()

    def _save_to_state_dict(self, *args: Any) -> None:
        self.share_weights()
        super()._save_to_state_dict(*args)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load the weights by torch.nn's names. Their other names load the loaded values."""
        self.share_weights()
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.share_weights()
        for name, path in self.torch_names().items():
            if self._parameters.get(name) is not None:
                state_dict[prefix + path] = self._parameters[name]


def _is_registrable(weight: Any) -> bool:
    """Whether a weight was registered, not put in place by ``functional_call``."""
    return weight is None or isinstance(weight, nn.Parameter)


def _submodule(module: nn.Module, path: tuple[str, ...]) -> nn.Module | None:
    """The module at a path, or None if another module has the place of one on the path."""
    found: nn.Module | None = module
    for name in path:
        if found is None:
            return None
        found = found._modules.get(name)
    return found


def _is_sharded(module: nn.Module, path: tuple[str, ...]) -> bool:
    """Whether ``fully_shard`` was called with a module at or above a path, below ``module``."""
    owners = (_submodule(module, path[:length]) for length in range(1, len(path) + 1))
    return any(is_sharded(owner) for owner in owners)


def is_sharded(module: nn.Module | None) -> bool:
    """Whether ``fully_shard`` was called with this very module."""
    # By name, because torch.distributed is slow to import and not on every platform.
    return any(cls.__name__ == "FSDPModule" for cls in type(module).__mro__)


def _place(module: nn.Module, name: str) -> Place | None:
    """The place of a weight by its torch.nn name, or None for another name."""
    if not name.startswith(("weight_", "bias_")):
        return None
    return next((place for place in vars(module).get("_places", ()) if place[0] == name), None)


def remove_second_names(
    module: TorchNamedModule, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    """Keep only torch.nn's name of each weight in a ``state_dict``."""
    for name, path in module.torch_names().items():
        if prefix + name in state_dict:
            state_dict.pop(prefix + path, None)


def parameters_of(module: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """Every registered parameter in a module, in its present state, for ``replaced``."""
    return [
        (each, name, value) for each in module.modules() for name, value in each._parameters.items()
    ]


@contextmanager
def replaced(values: list[tuple[nn.Module, str, Any]]) -> Iterator[None]:
    """A context in which the parameters of modules have other values."""
    before = [module._parameters.get(name, MISSING) for module, name, _ in values]
    try:
        for module, name, value in values:
            module._parameters[name] = value
        yield
    finally:
        for (module, name, _), parameter in zip(values, before, strict=True):
            if parameter is MISSING:
                module._parameters.pop(name, None)
            else:
                module._parameters[name] = parameter  # type: ignore[assignment]  # not MISSING
