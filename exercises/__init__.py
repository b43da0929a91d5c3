"""The course: exercises whose answers are checked line by line."""
