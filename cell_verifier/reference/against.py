"""The names of the three recurrences, without an import of torch."""

from typing import Literal

Against = Literal["rnn", "gru", "lstm"]
