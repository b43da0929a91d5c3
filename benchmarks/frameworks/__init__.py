"""Recurrent layers of several frameworks, timed in turn, each in a process of its own."""
