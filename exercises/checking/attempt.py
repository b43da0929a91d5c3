"""What a check receives and what it raises."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


class Failure(Exception):  # noqa: N818  a wrong answer is not an error of the program
    """The attempt is wrong.

    Attributes:
        message: what is wrong, in one line, without its place.
        line: the line of the learner's file, counted from 1; 0 if unknown.
        source: the statement there; filled in from the file if empty.
        computes: what the line computes, if known.
        expected: what it should compute, if known.
        mistake: id of the mistake in the verifier's catalogue, if it is one of these.
        proved: whether the right value on this line makes everything else right.
    """

    def __init__(
        self,
        message: str,
        *,
        line: int = 0,
        source: str = "",
        computes: str = "",
        expected: str = "",
        mistake: str = "",
        proved: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.source = source
        self.computes = computes
        self.expected = expected
        self.mistake = mistake
        self.proved = proved


@dataclass(frozen=True)
class Attempt:
    """A learner's file and the solution.

    Attributes:
        module: the learner's module.
        solution: the module with the solution.
        seed: of the random inputs; the same seed gives the same inputs.
    """

    module: ModuleType
    solution: ModuleType
    seed: int = 0

    @property
    def file(self) -> Path:
        """The learner's file."""
        return Path(str(self.module.__file__))

    def generator(self, offset: int = 0) -> torch.Generator:
        """A random generator for the inputs; another offset gives other inputs."""
        return torch.Generator().manual_seed(self.seed + offset)

    def get(self, name: str) -> Any:
        """What the learner defines under a name.

        Raises:
            Failure: the name is missing.
        """
        try:
            return getattr(self.module, name)
        except AttributeError:
            raise Failure(f"{name} is not defined in this file: write it, or reset it") from None


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Normally distributed float64 values."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
