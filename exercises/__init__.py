"""The course: exercises whose answers are checked line by line."""

from typing import TYPE_CHECKING

from command_line.imports import lazy_attributes

if TYPE_CHECKING:
    from exercises.notebook import Answer, ExerciseFailedError, check, hint

__all__ = ["Answer", "ExerciseFailedError", "check", "hint"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Answer": "notebook",
        "ExerciseFailedError": "notebook",
        "check": "notebook",
        "hint": "notebook",
    },
)
