"""What the explorer cannot do."""

from command_line.errors import ConfigError


class ExplorerError(ConfigError):
    """A run, an image or a target that cannot be used; its message is one line with the remedy."""
