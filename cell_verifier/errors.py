"""The error that ends a verification."""


class CannotCheckError(Exception):
    """The module cannot be verified; the message gives the reason, what was tried, the remedy."""

    exit_status = 2
