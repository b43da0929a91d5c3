"""Train a recurrent layer, written by hand or torch.nn's own, to classify images.

images (n, height, width) uint8    sequenced_mnist
  -> batches (batch, time, features)
  -> recurrent layer               scratch_cells, builtin_models, or a file of your own
  -> logits (batch, classes)       shared_interface.SequenceClassifier
  -> steps, tests, checkpoints     training_loop
  -> a run folder                  weights, configuration, metrics, plots

python train.py
python train.py --cell gru --implementation builtin
python train.py --resume runs/NAME
python train.py --evaluate runs/NAME
python train.py --compare runs/NAME runs/OTHER
"""

from command_line.imports import clean_imports, fast_imports

with clean_imports("train.py", __name__):  # from here on, Ctrl-C gives one line
    import dataclasses
    from pathlib import Path

    from command_line.errors import printable
    from command_line.program import clean_exit
    from training_loop.commands.options import PROGRAM, Options, parse_options
    from training_loop.config import Config
    from training_loop.runtime.startup import tune_malloc


def train(config: Config, resume: bool = False) -> Path:
    """Load the images, build the model, train and test it in each epoch, and save the run.

    Args:
        config: options of the run.
        resume: True to resume the unfinished run in ``config.run_dir``, which has this config.

    Returns:
        The run's folder.

    Raises:
        ConfigError, DataError, ImplementationError: an option, a file or a folder cannot be used.
        DivergedError: the loss is not finite, or far above that of guessing at the end of the run.
        Stopped: Ctrl-C or SIGTERM has stopped the run; a checkpoint has been written.
    """
    with fast_imports(PROGRAM):  # imported here, because --help does not need them
        import torch

        from training_loop.commands.next_commands import next_commands
        from training_loop.initialization import initialize
        from training_loop.loop import train_epoch
        from training_loop.model import build_model, count_parameters, describe_backend
        from training_loop.predict import predict
        from training_loop.reports.compilation import CompilationReport
        from training_loop.reports.saturation import can_trace
        from training_loop.runs.folder import open_folder
        from training_loop.runs.run import SATURATION_SEQUENCES, Run
        from training_loop.runtime.accelerator import describe, start_accelerator
        from training_loop.runtime.processes import require_same_options
        from training_loop.runtime.signals import stop_on_signals
        from training_loop.tasks.load import load_task
        from training_loop.trainer import DivergedError, Trainer

    accelerator = start_accelerator(config.device, config.precision)

    def report(line: str) -> None:
        accelerator.print(printable(line), flush=True)  # only the main process prints

    with accelerator.main_process_first():  # the main process downloads, the others then read
        task = load_task(config, accelerator)
    config, train_set, test_set = task.config, task.train_set, task.test_set
    require_same_options(accelerator, config, train_set.num_sequences)

    torch.manual_seed(config.seed)  # once, for the weights and then for dropout
    model = build_model(config, train_set.features, task.outputs, task.answers)
    initialize(model.layer, config.init, train_set.time)

    with (
        open_folder(config, f"{config.subject}-{config.reader}", resume, accelerator) as folder,
        stop_on_signals(accelerator) as stop,
    ):
        config = dataclasses.replace(config, run_dir=folder)
        trainer = Trainer(config, accelerator, model, train_set.num_sequences, task.objective)
        run = Run(folder, trainer, resume)
        with run.checkpoint_on_interrupt():
            for line in task.note, run.warning:
                if line:
                    report(line)
            report(f"data    {task.description}")
            report(
                f"model   {config.layer}, {config.num_layers} x {config.hidden_size}, "
                f"{count_parameters(model)} parameters, seed {config.seed}, {config.recipe} recipe"
            )
            report(f"device  {describe(accelerator)}")
            with accelerator.autocast():
                backend = describe_backend(config, model.layer, next(iter(train_set)).sequences)
            report(f"backend {backend}")
            compilation = CompilationReport(config.compile and accelerator.is_main_process)

            while trainer.epoch <= config.epochs:
                train_epoch(trainer, run, train_set, stop, compilation)
                run.save()  # so that a resumed run continues with the test

                with compilation.watch("test", f"test of epoch {trainer.epoch}"):
                    outputs = predict(
                        accelerator, trainer.model, stop.iterate(test_set), test_set.num_sequences
                    )
                result = task.measure(outputs)
                epoch = trainer.end_epoch(result)
                run.log_epoch(test_set.first(SATURATION_SEQUENCES))
                report(
                    f"epoch {epoch.number}: training loss {epoch.training_loss:.4f}, "
                    f"{task.summary(result)}, "
                    f"{epoch.sequences_per_second:.0f} sequences/s"
                )
                if trainer.divergence:
                    report(f"warning epoch {epoch.number} {trainer.divergence}")
            run.finish(task, outputs)

            report(
                f"result  {config.subject}: {'diverged, ' if trainer.divergence else ''}"
                f"{task.summary(result)} after epoch {config.epochs} "
                f"({config.reader}, {trainer.seconds:.1f} s) -> {folder}"
            )
    if accelerator.is_main_process:
        for index, line in enumerate(next_commands(folder, can_trace(model.layer))):
            report(f"{'' if index else 'next':8}{line}")
    if trainer.divergence:
        raise DivergedError(f"the run has {trainer.divergence}")
    return folder


def main(options: Options) -> None:
    """Run the command that the options select."""
    if options.compare:
        from training_loop.commands.compare import compare

        compare(options.compare)
    elif options.evaluate:
        from training_loop.commands.evaluate import evaluate

        evaluate(options.config)
    else:
        tune_malloc()
        train(options.config, resume=options.resume is not None)


if __name__ == "__main__":
    with clean_exit(PROGRAM):
        main(parse_options())
