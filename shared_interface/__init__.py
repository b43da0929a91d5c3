"""What scratch, builtin and users' own recurrent layers have in common."""

from shared_interface.classifier import SequenceClassifier
from shared_interface.implementations import ImplementationError, implementation_target
from shared_interface.recurrent import RecurrentLayer, State, final_hidden

__all__ = [
    "ImplementationError",
    "RecurrentLayer",
    "SequenceClassifier",
    "State",
    "final_hidden",
    "implementation_target",
]
