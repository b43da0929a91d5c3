"""The error of the explorer."""

from command_line.errors import ConfigError


class ExplorerError(ConfigError):
    """A run or an image cannot be used; the message is one line with the remedy."""
