"""Mistake hunts: the given mistake is described, not located; the learner's own are located."""

from pathlib import Path

from exercises.checking.judge import judge
from exercises.exercise import all_exercises, find_exercise
from exercises.result import Result


def result_of(exercise: str, folder: Path, *changes: tuple[str, str]) -> Result:
    """The check of the learner's copy with some texts replaced."""
    entry = find_exercise(exercise)
    text = entry.template.learners_copy()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = folder / entry.file_name
    path.write_text(text, encoding="utf-8")
    return judge(entry, path, seed=0)


def test_every_hunt_has_one_wrong_line_which_is_not_named(tmp_path: Path) -> None:
    hunts = [entry for entry in all_exercises() if entry.part == "part_5_mistakes"]
    assert len(hunts) == 10
    for entry in hunts:
        pairs = [
            (given, right.partition("  # ")[0])
            for region in entry.template.regions
            for given, right in zip(region.given, region.solution, strict=True)
        ]
        (wrong,) = [given for given, right in pairs if given != right]
        result = result_of(entry.name, tmp_path, (wrong, f"{wrong}  "))
        assert result.status in ("failed", "unwritten")
        assert result.line == 0
        assert "compared with the right layer" in result.message


def test_what_agrees_is_named(tmp_path: Path) -> None:
    message = result_of("hunt_1_lstm", tmp_path, ("outputs = []", "outputs = list()")).message
    assert "output, h_n and c_n differ from time step 0 on" in message
    assert "in a single step c_n agrees, output and h_n differ" in message
    message = result_of("hunt_10_gradients", tmp_path, ("outputs = []", "outputs = list()")).message
    assert "every value agrees, the gradients differ" in message


def test_a_second_mistake_of_the_learner_is_located(tmp_path: Path) -> None:
    result = result_of("hunt_2_gru", tmp_path, ("x_n + r * h_n", "x_n + z * h_n"))
    assert result.source.startswith("n = torch.tanh(x_n + z * h_n)")
    result = result_of("hunt_1_lstm", tmp_path, ("f * c + i * g", "f * c + g"))
    assert result.source.startswith("c = f * c + g")


def test_a_wrong_correction_is_located(tmp_path: Path) -> None:
    result = result_of("hunt_9_lengths", tmp_path, ("(t <= lengths)", "(t < lengths - 1)"))
    assert "t < lengths - 1" in result.source
