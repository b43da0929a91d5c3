"""The interface that scratch, builtin and users' own recurrent layers share."""

from shared_interface.classifier import SequenceClassifier, StepwiseClassifier
from shared_interface.implementations import ImplementationError, implementation_target
from shared_interface.recurrent import RecurrentLayer, State, final_hidden

__all__ = [
    "ImplementationError",
    "RecurrentLayer",
    "SequenceClassifier",
    "State",
    "StepwiseClassifier",
    "final_hidden",
    "implementation_target",
]
