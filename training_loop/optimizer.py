"""Adam without the import of ``torch.compile``'s compiler."""

from inspect import unwrap
from typing import Any

import torch
from torch.optim import Adam


class EagerAdam(Adam):
    """``torch.optim.Adam``, whose methods are not wrapped for ``torch.compile``.

    The wrappers exclude an optimizer from a compiled function, and import the compiler at their
    first call, which takes about a second. Here the optimizer is never part of a compiled function:
    ``--compile`` compiles the model alone. The arithmetic and the state are those of ``Adam``.
    """

    add_param_group = unwrap(Adam.add_param_group)
    zero_grad = unwrap(Adam.zero_grad)
    state_dict = unwrap(Adam.state_dict)
    load_state_dict = unwrap(Adam.load_state_dict)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one optimizer step; see ``torch.optim.Adam.step``."""
        return unwrap(Adam.step)(self, closure)
