"""The configuration of an existing run.

A run's folder has it twice: in config.json, for people and other programs, and in the checkpoint or
the final weights, where a digest protects it. If the two differ, config.json was damaged or edited,
and the protected copy is the configuration that the run was made with.
"""

from pathlib import Path

from command_line.errors import ConfigError
from training_loop.config import CHANGEABLE, Config
from training_loop.runs import checkpoint, final_weights
from training_loop.runs.folder import MODEL


def load_config(folder: Path) -> Config:
    """The configuration that the run in ``folder`` was made with.

    Raises:
        ConfigError: there is no protected copy, and config.json is missing or invalid.
    """
    return protected_copy(folder) or Config.load(folder)


def protected_copy(folder: Path) -> Config | None:
    """The copy in the latest checkpoint, or in the final weights; None if neither is valid."""
    for read in (_from_checkpoint, _from_weights):
        try:
            return Config.from_options(read(folder))
        except (ConfigError, ValueError):
            continue
    return None


def config_warning(folder: Path) -> str:
    """One line for the user if config.json differs from the protected copy, else empty."""
    copy = protected_copy(folder)
    if copy is None:
        return ""
    try:
        written = Config.load(folder)
    except ConfigError as error:
        return f"{error}: using the copy in the run's checkpoint or weights"
    differences = [
        f"{name} is {value}, the copy has {getattr(copy, name)}"
        for name, value in vars(written).items()
        if name != "run_dir" and value != getattr(copy, name)
    ]
    if not differences:
        return ""
    return (
        f"{folder / 'config.json'} differs from the copy in the run's checkpoint or weights "
        f"({'; '.join(differences)}): using the copy"
    )


def require_same_run(config: Config, latest: checkpoint.Checkpoint) -> None:
    """Check that a checkpoint is resumed with the options that it was made with.

    Raises:
        ConfigError: an option that changes the results has another value.
    """
    try:
        copy = Config.from_options(latest.metadata.get("config"))
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"the checkpoint has no valid configuration: {error}") from error
    fixed = vars(copy).keys() - CHANGEABLE - {"run_dir"}
    if None in (config.cell, copy.cell):  # the user's own layer has no cell
        fixed -= {"cell"}
    for name in sorted(fixed):
        if getattr(config, name) != getattr(copy, name):
            raise ConfigError(
                f"{name} is {getattr(config, name)}: the checkpoint has {getattr(copy, name)}; "
                "resume with its value"
            )


def _from_checkpoint(folder: Path) -> object:
    return checkpoint.read_latest(folder)[0].metadata.get("config")


def _from_weights(folder: Path) -> object:
    return final_weights.read(folder / MODEL)[1]
