"""What train.py narrates, and the same for programs of your own.

    from training_loop import Config, Training, build_model, start_accelerator

A name is imported when it is first asked for: the arguments are read and judged before torch, which
takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_loop.command_line import clean_exit as clean_exit
    from training_loop.command_line import parse_arguments as parse_arguments
    from training_loop.command_line import sudden_interrupts as sudden_interrupts
    from training_loop.comparison import compare as compare
    from training_loop.config import Config as Config
    from training_loop.config import ConfigError as ConfigError
    from training_loop.config import SettledConfig as SettledConfig
    from training_loop.device import describe as describe
    from training_loop.device import start_accelerator as start_accelerator
    from training_loop.evaluation import evaluate as evaluate
    from training_loop.initialization import initialize as initialize
    from training_loop.interruptions import LostProcessError as LostProcessError
    from training_loop.interruptions import Stopped as Stopped
    from training_loop.loop import train_epoch as train_epoch
    from training_loop.memory import imports_uncollected as imports_uncollected
    from training_loop.memory import keep_freed_memory as keep_freed_memory
    from training_loop.model import build_model as build_model
    from training_loop.model import count_parameters as count_parameters
    from training_loop.progress import progress_bar as progress_bar
    from training_loop.request import Request as Request
    from training_loop.request import parse_request as parse_request
    from training_loop.run import Run as Run
    from training_loop.run_folder import open_folder as open_folder
    from training_loop.stopping import heeding_signals as heeding_signals
    from training_loop.testing import accuracy as accuracy
    from training_loop.testing import score as score
    from training_loop.training import LOOK_EVERY as LOOK_EVERY
    from training_loop.training import DivergedError as DivergedError
    from training_loop.training import Epoch as Epoch
    from training_loop.training import Look as Look
    from training_loop.training import Training as Training

HOME = {
    "clean_exit": "command_line",
    "parse_arguments": "command_line",
    "sudden_interrupts": "command_line",
    "compare": "comparison",
    "Config": "config",
    "ConfigError": "config",
    "SettledConfig": "config",
    "describe": "device",
    "start_accelerator": "device",
    "evaluate": "evaluation",
    "initialize": "initialization",
    "LostProcessError": "interruptions",
    "Stopped": "interruptions",
    "train_epoch": "loop",
    "imports_uncollected": "memory",
    "keep_freed_memory": "memory",
    "build_model": "model",
    "count_parameters": "model",
    "progress_bar": "progress",
    "Request": "request",
    "parse_request": "request",
    "Run": "run",
    "open_folder": "run_folder",
    "heeding_signals": "stopping",
    "accuracy": "testing",
    "score": "testing",
    "LOOK_EVERY": "training",
    "DivergedError": "training",
    "Epoch": "training",
    "Look": "training",
    "Training": "training",
}
"""Each name's module."""


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOME[name]}"), name)
