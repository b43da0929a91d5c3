"""benchmarks.gpu: every stage records what it measures, and one that fails does not stop others."""

import json
import math
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import measure, page, stages
from benchmarks.gpu.cases import CUDNN, PUBLISHED, SMALL, Case, cases
from benchmarks.gpu.offline import missing
from benchmarks.gpu.records import read, writer
from benchmarks.gpu.stages import STAGES, Setup
from command_line.errors import ConfigError

CPU = torch.device("cpu")
TIMED = [name for name, stage in STAGES.items() if stage.run is stages.timings]


def case_of(*contenders: str, **options: Any) -> Case:
    return Case(SMALL["rows"], "GRU", "float32", contenders, 0, min_rounds=2, **options)


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("stage", TIMED)
def test_every_case_is_compared_with_cudnn(stage: str, small: bool) -> None:
    found = cases(stage, small)
    assert found
    assert {case.contenders[0] for case in found} == {CUDNN}
    if small:
        assert max(case.task.batch * case.task.time for case in found) <= 64


def test_the_published_setting_comes_first_in_tf32() -> None:
    first = cases("published", small=False)[:2]
    assert [(case.kind, case.precision) for case in first] == [("LSTM", "tf32"), ("GRU", "tf32")]
    assert (PUBLISHED.batch, PUBLISHED.time, PUBLISHED.hidden_size) == (2048, 256, 128)


@pytest.mark.parametrize("loss_of", ["final state", "outputs"])
def test_each_contender_has_a_record_for_each_phase(loss_of: Any) -> None:
    names = (CUDNN, "plain", "bptt graph", "cell loop")
    records = list(measure.measure(case_of(*names, loss_of=loss_of), CPU))
    assert [(each["contender"], each["phase"]) for each in records] == [
        (name, phase) for phase in ("train", "inference") for name in names
    ]
    assert all(each["difference"] < 1e-5 for each in records)
    json.dumps(records)


def test_a_contender_that_cannot_run_is_recorded_and_the_others_are_measured() -> None:
    case = case_of(CUDNN, "bptt", "plain")
    with mock.patch.object(measure, "_model", wraps=measure._model) as model:
        model.side_effect = lambda base, *rest: (
            mock.DEFAULT if base != "bptt" else torch.empty(-1)  # raises RuntimeError
        )
        first, *others = measure.measure(case, CPU)
    assert (first["contender"], first["problem"][:13]) == ("bptt", "RuntimeError:")
    assert {each["contender"] for each in others} == {CUDNN, "plain"}


def test_another_backend_than_the_named_one_is_not_measured() -> None:
    bfloat16 = Case(SMALL["rows"], "GRU", "bfloat16", (CUDNN, "bptt"), 0, min_rounds=2)
    problem = next(measure.measure(bfloat16, CPU))["problem"]
    assert "the bptt backend supports float32 and float64" in problem


def test_a_wrong_gradient_shows_as_a_difference() -> None:
    case = case_of(CUDNN, "plain")
    model = measure._model

    def wrong(base: str, *rest: Any) -> Any:
        made = model(base, *rest)
        if base == "plain":
            next(made.parameters()).register_hook(lambda gradient: -gradient)
        return made

    with mock.patch.object(measure, "_model", wrong):
        records = list(measure.measure(case, CPU))
    assert {each["contender"]: each["difference"] > 0.1 for each in records} == {
        CUDNN: False,
        "plain": True,
    }
    nan = {"x": torch.tensor([torch.nan])}
    assert math.isnan(measure.difference(nan, {"x": torch.ones(1)}))


def test_a_graph_is_captured_after_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: the calls of torch.cuda are recorded."""
    cuda = mock.MagicMock()
    monkeypatch.setattr(measure, "torch", SimpleNamespace(cuda=cuda))
    number = iter(range(10))
    replay = measure.captured(lambda: next(number), SimpleNamespace(type="cuda"))
    cuda.graph.assert_called_once_with(cuda.CUDAGraph.return_value)
    assert [replay(), replay(), next(number)] == [3, 3, 4]
    assert cuda.CUDAGraph.return_value.replay.call_count == 2


def test_a_stage_writes_its_results_as_they_come(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    stages.main(Setup("machine", results, device="cpu", small=True))
    found = read([results])
    assert [sorted(record) for record in found[:2]] == [["facts", "stage"], ["rates", "stage"]]
    assert found[-1]["end"] == "finished"
    assert len(found[1]["rates"]) == 4


def test_one_case_that_fails_does_not_end_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "cases", lambda *_: [case_of(CUDNN)] * 2)
    found = iter([RuntimeError("no memory"), [{"contender": CUDNN}]])

    def measured(*_: Any) -> Any:
        result = next(found)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(stages, "measure", measured)
    stages.main(Setup("speed", tmp_path / "results.jsonl", device="cpu"))
    first, second, _ = read([tmp_path / "results.jsonl"])
    assert first["problem"] == "RuntimeError: no memory"
    assert "problem" not in second


def test_failed_tests_are_recorded_by_name(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><skipped/></testcase>'
        '<testcase name="c[LSTM]"><failure message="differs&#10;more">trace</failure></testcase>'
        "</testsuite></testsuites>"
    )
    assert stages.outcomes(report) == {
        "passed": 1,
        "skipped": 1,
        "failed": 1,
        "failures": {"c[LSTM]": "differs"},
    }


def test_a_stage_and_its_processes_are_ended_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = tmp_path / "beat"
    script = tmp_path / "stage.sh"
    script.write_text(f"#!/bin/sh\n(while :; do date >> {beat}; sleep 0.05; done) &\nwait\n")
    script.chmod(0o755)
    monkeypatch.setattr(command.sys, "executable", str(script))
    arguments = command.Arguments(tmp_path, device="cpu", small=True)
    assert command.run_stage("machine", 1, arguments) == "stopped after 1 s"
    seen = beat.stat().st_size
    assert seen
    time.sleep(0.3)
    assert beat.stat().st_size == seen


def test_a_stage_that_fails_or_has_no_time_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def run(name: str, seconds: float, _: Any) -> str:
        ran.append((name, seconds))
        writer(tmp_path / "results.jsonl", name)(rates={"copy, GB/s": 1.0})
        return "failed with exit status 1" if name == "machine" else "finished"

    monkeypatch.setattr(command, "run_stage", run)
    chosen = ("machine", "training")
    command.main(command.Arguments(tmp_path, stages=chosen, budget=100, device="cpu"))
    assert [(name, round(seconds)) for name, seconds in ran] == [("machine", 45), ("training", 100)]
    assert "This stage: failed with exit status 1." in (tmp_path / "results.md").read_text()
    command.main(command.Arguments(tmp_path, stages=("sizes",), budget=1, device="cpu"))
    assert "This stage: not started." in (tmp_path / "results.md").read_text()
    with pytest.raises(ConfigError, match="stages has size: expected some of machine, parity"):
        command.Arguments(tmp_path, stages=("size",), device="cpu")


def results_of(folder: Path, device: str, stage: str = "speed") -> Path:
    """A file with invented results of every kind of table."""
    path = folder / f"{device}-{stage}.jsonl"
    writer(path, "machine")(facts={"device": device, "torch": "2.11"})
    about = {"task": "rows", "setting": "batch 2", "cell": "LSTM", "precision": "float32"}
    ratio = {"median": 1.25, "low": 1.0, "high": 1.5, "milliseconds": 3.0, "difference": 1e-7}
    timed = writer(path, stage)
    for phase in ("train", "inference"):
        timed(**about, **ratio, contender="triton", phase=phase, bytes=2**20)
    timed(**about, contender="plain", problem="OutOfMemoryError: a | b")
    writer(path, "parity")(passed=3, skipped=0, failed=1, failures={"b": "why"})
    writer(path, "training")(cell="rnn", variant="scratch", accuracies=[90.0, 95.0])
    resources = {"registers": 80, "stack": 8, "shared_memory": 2048}
    writer(path, "kernels")(kernel="k", hidden_size=16, precision="tf32", **resources)
    return path


@pytest.fixture
def copied_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "gpu.md"
    shutil.copy(page.PAGE, copy)
    monkeypatch.setattr(page, "PAGE", copy)
    return copy


def test_the_page_gets_the_results_of_every_stage(copied_page: Path, tmp_path: Path) -> None:
    files = [results_of(tmp_path, "NVIDIA H100", stage) for stage in TIMED]
    page.main(page.Arguments(tuple(files)))
    text = copied_page.read_text()
    assert "Measured on one NVIDIA H100 with torch 2.11." in text
    assert "Not yet" not in text
    line = "| rows | LSTM | float32 | triton | 3.000 | 1.25 (1.00 to 1.50) | 3.000 |"
    assert text.count(line) == len(TIMED)
    for each in (
        "| rows | LSTM | float32 | 1.0 of cuDNN's time | 1.25 of cuDNN's time | 25% |",
        "| rows | LSTM | float32 | plain | OutOfMemoryError: a / b |",
        "| failed: b | why |",
        "| rnn | scratch | 90.00, 95.00 |",
        "| k | 16 | 80, 8 B, 2 KiB |",
    ):
        assert each in text


def test_results_of_a_cpu_do_not_get_onto_the_page(copied_page: Path, tmp_path: Path) -> None:
    before = copied_page.read_text()
    with pytest.raises(ConfigError, match="without a GPU"):
        page.main(page.Arguments((results_of(tmp_path, "cpu"),)))
    assert copied_page.read_text() == before


def test_a_later_file_replaces_the_stages_that_it_has(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    writer(first, "machine")(facts=1)
    writer(first, "speed")(a=1)
    writer(second, "speed")(a=2)
    assert read([first, second]) == [{"stage": "machine", "facts": 1}, {"stage": "speed", "a": 2}]
    second.write_text("[]\n")
    with pytest.raises(ConfigError, match="2, line 1: not a result"):
        read([second])


def test_only_packages_that_the_machine_lacks_are_installed(tmp_path: Path) -> None:
    for name in ("torch-2.0-py3-none-any.whl", "no_such_package-1.0-py3-none-any.whl"):
        (tmp_path / name).touch()
    assert [wheel.name for wheel in missing(tmp_path)] == ["no_such_package-1.0-py3-none-any.whl"]
