"""``verify_backward``: other conventions, errors of the user's code, and the report."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cell_verifier import CellDifferentError, verify_backward
from tests.cell_verifier.backward.cases import Case, report_of

STEP = Case("lstm_step_numpy")
Function = torch.autograd.Function


def changed(*changes: tuple[str, str], file: str = "lstm_step_numpy") -> Case:
    return Case(file, changes=changes)


def rnn(x: Any, h: Any, w: Any, u: Any, b: Any) -> tuple[Any, Any]:
    new = np.tanh(x @ w + h @ u + b)
    return new, (x, h, w, u, new)


def rnn_backward(dh: Any, cache: Any) -> Any:
    x, h, w, u, new = cache
    da = dh * (1 - new**2)
    return da @ w.T, da @ u.T, x.T @ da, h.T @ da, da.sum(0)


# --- conventions --------------------------------------------------------------------------------


def test_the_cache_may_come_first() -> None:
    def backward(cache: Any, dh: Any) -> Any:
        return rnn_backward(dh, cache)

    assert verify_backward(rnn, backward, against="rnn").verdict == "equal"


def test_the_weights_may_be_returned_before_the_state() -> None:
    def backward(dh: Any, cache: Any) -> Any:
        dx, dh, dw, du, db = rnn_backward(dh, cache)
        return dw, du, db, dx, dh

    assert verify_backward(rnn, backward, against="rnn").verdict == "equal"


def test_a_bias_may_have_an_axis_of_size_one() -> None:
    def backward(dh: Any, cache: Any) -> Any:
        *others, db = rnn_backward(dh, cache)
        return *others, db[None]

    assert verify_backward(rnn, backward, against="rnn").verdict == "equal"


def test_samples_may_be_columns() -> None:
    def forward(xt: Any, a_prev: Any, Wax: Any, Waa: Any, ba: Any) -> Any:  # noqa: N803  # a user's names
        a_next = np.tanh(Wax @ xt + Waa @ a_prev + ba)
        return a_next, (xt, a_prev, Wax, Waa, a_next)

    def backward(da_next: Any, cache: Any) -> Any:
        xt, a_prev, w, u, a_next = cache
        dz = (1 - a_next**2) * da_next
        return {
            "dxt": w.T @ dz,
            "da_prev": u.T @ dz,
            "dWax": dz @ xt.T,
            "dWaa": dz @ a_prev.T,
            "dba": dz.sum(axis=1, keepdims=True),
        }

    report = verify_backward(forward, backward, against="rnn")
    assert report.verdict == "equal", str(report)
    assert "samples are columns" in report.layout

    def wrong(da_next: Any, cache: Any) -> Any:
        return backward(da_next, cache) | {"dba": backward(da_next, cache)["dba"] / 5}

    report = verify_backward(forward, wrong, against="rnn")
    assert (report.mistakes, report.wrong) == (("averaged-over-batch",), ("ba",))


def test_functions_may_take_tensors() -> None:
    def forward(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Any:
        new = torch.tanh(x @ w + h @ u + b)
        return new, (x, h, w, u, new)

    def backward(dh: Tensor, cache: Any) -> Any:
        x, h, w, u, new = cache
        da = torch.mul(dh, 1 - new)
        return da @ w.T, da @ u.T, x.T @ da, h.T @ da, da.sum(0)

    report = verify_backward(forward, backward, against="rnn")
    assert report.mistakes == ("unsquared-tanh-derivative",)


def test_a_function_may_have_setup_context() -> None:
    class RNN(Function):
        @staticmethod
        def forward(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
            return torch.tanh(x @ w + h @ u + b)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
            ctx.save_for_backward(*inputs, output)

        @staticmethod
        def backward(ctx: Any, dh: Tensor) -> Any:
            x, h, w, u, _, new = ctx.saved_tensors
            da = dh * (1 - new**2)
            return da @ w.T, da @ u.T, x.T @ da, h.T @ da, da.sum(0)

    report = verify_backward(RNN, against="rnn")
    assert (report.verdict, report.subject) == ("equal", "RNN"), str(report)


def test_a_function_that_autograd_differentiates_is_equal() -> None:
    def forward(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(x @ w + h @ u + b)

    assert verify_backward(forward, against="rnn").verdict == "equal"


def test_a_detached_state_is_found_in_a_function_that_autograd_differentiates() -> None:
    def forward(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(x @ w + h.detach() @ u + b)

    report = verify_backward(forward, against="rnn")
    assert (report.mistakes, report.wrong) == (("gradient-is-zero",), ("h",))


@pytest.mark.parametrize("carried", [True, False])
def test_a_state_may_have_an_axis_for_layers(carried: bool) -> None:
    def forward(x: Any, h0: Any, w: Any, u: Any, b: Any) -> Any:
        outputs = [h0[0]]
        for x_t in x:
            outputs.append(np.tanh(x_t @ w + outputs[-1] @ u + b))
        return np.stack(outputs[1:]), outputs[-1][None], (x, w, u, outputs)

    def backward(d_output: Any, d_final: Any, cache: Any) -> Any:
        x, w, u, outputs = cache
        dx, (dw, du, db) = np.zeros_like(x), (np.zeros_like(w), np.zeros_like(u), np.zeros(len(u)))
        dh = d_final[0] if carried else np.zeros_like(d_final[0])
        for t in reversed(range(len(x))):
            da = (d_output[t] + dh) * (1 - outputs[t + 1] ** 2)
            dx[t], dh = da @ w.T, da @ u.T
            dw, du, db = dw + x[t].T @ da, du + outputs[t].T @ da, db + da.sum(0)
        return dx, dh[None], dw, du, db

    report = verify_backward(forward, backward, against="rnn")
    expected = () if carried else ("final-state-gradient-ignored",)
    assert (report.verdict == "equal", report.mistakes) == (carried, expected), str(report)


def test_a_class_is_verified_with_two_short_functions() -> None:
    """As the page shows: a class that holds its weights and its gradients."""

    class RNN:
        def __init__(self, w: Any, u: Any, b: Any) -> None:
            self.params, self.grads = (w, u, b), [np.zeros_like(each) for each in (w, u, b)]

        def forward(self, x: Any, h: Any) -> Any:
            h_next, self.cache = rnn(x, h, *self.params)
            return h_next

        def backward(self, dh: Any) -> Any:
            dx, dh, *grads = rnn_backward(dh, self.cache)
            for mine, new in zip(self.grads, grads, strict=True):
                mine[...] = new
            return dx, dh

    def forward(x: Any, h: Any, w: Any, u: Any, b: Any) -> Any:
        layer = RNN(w, u, b)
        return layer.forward(x, h), layer

    def backward(dh: Any, layer: Any) -> Any:
        return *layer.backward(dh), *layer.grads

    assert verify_backward(forward, backward, against="rnn").verdict == "equal"


def test_unusual_names_need_the_argument_arguments() -> None:
    def forward(p: Any, q: Any, k: Any, s: Any, t: Any) -> Any:
        new, cache = rnn(s, t, p, q, k)
        return new, cache

    def backward(dh: Any, cache: Any) -> Any:
        dx, dh, dw, du, db = rnn_backward(dh, cache)
        return dw, du, db, dx, dh

    assert verify_backward(forward, backward, against="rnn").verdict == "unchecked"
    roles = {"p": "weight_ih", "q": "weight_hh", "k": "bias", "s": "x", "t": "h"}
    report = verify_backward(forward, backward, against="rnn", arguments=roles)
    assert report.verdict == "equal"


# --- code that cannot be checked ----------------------------------------------------------------


def reason_of(forward: Callable[..., Any], backward: Any = None, **options: Any) -> str:
    report = verify_backward(forward, backward, against="rnn", **options)
    assert report.verdict == "unchecked"
    with pytest.raises(CellDifferentError):
        report.raise_if_different()
    return report.reason


def test_an_unknown_kind_raises() -> None:
    with pytest.raises(ValueError, match="against is 'elman': expected one of rnn, gru, lstm"):
        verify_backward(rnn, rnn_backward, against="elman")


def test_an_error_of_the_forward_pass_has_its_line() -> None:
    def forward(x: Any, h: Any, w: Any, u: Any, b: Any) -> Any:
        return undefined_name  # noqa: F821  # the error under test

    reason = reason_of(forward, rnn_backward)
    assert reason.startswith("the forward pass raises: test_verify_backward.py:")
    assert "NameError" in reason


def test_an_error_of_the_backward_pass_has_its_line() -> None:
    def backward(dh: Any, cache: Any) -> Any:
        raise KeyError("dh_next")

    reason = reason_of(rnn, backward)
    assert reason.startswith("the backward pass raises: test_verify_backward.py:")


def test_a_wrong_forward_pass_is_unchecked() -> None:
    def forward(x: Any, h: Any, w: Any, u: Any, b: Any) -> Any:
        return x @ w + h @ u + b, ()

    assert "do not equal torch.nn's RNN" in reason_of(forward, rnn_backward)


def test_a_forward_pass_without_a_cache_is_unchecked() -> None:
    def forward(x: Any, h: Any, w: Any, u: Any, b: Any) -> Any:
        return rnn(x, h, w, u, b)[0]

    assert "expected its outputs and then the cache" in reason_of(forward, rnn_backward)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": "x"}, "arguments names 'y', which is not an argument of the forward pass"),
        ({"x": "input"}, "arguments['x'] is 'input': expected one of x, h, c"),
        ({"x": "x"}, "arguments has no entry for h, w, u, b"),
    ],
)
def test_wrong_arguments_are_explained(arguments: dict[str, str], message: str) -> None:
    assert message in reason_of(rnn, rnn_backward, arguments=arguments)


def test_a_backward_pass_that_returns_nothing_is_unchecked() -> None:
    assert "returns no gradients" in reason_of(rnn, lambda dh, cache: None)


def test_a_gradient_with_an_unknown_key_is_unchecked() -> None:
    """Otherwise it would be left out of the comparison, and the verdict would be equal."""

    def backward(dh: Any, cache: Any) -> Any:
        dx, dh, dw, du, db = rnn_backward(dh, cache)
        return {"dx": dx, "dh": dh, "dw": dw, "recurrent": du, "db": db}

    assert "with the key 'recurrent': expected d and the name" in reason_of(rnn, backward)


def test_too_many_gradients_are_unchecked() -> None:
    def backward(dh: Any, cache: Any) -> Any:
        return *rnn_backward(dh, cache), np.zeros((7, 7))

    assert "1 of them have the shape of no argument" in reason_of(rnn, backward)


# --- the report ---------------------------------------------------------------------------------


def test_the_report_shows_the_right_and_the_wrong_line() -> None:
    report = report_of(changed(("df = dc * prev_c", "df = dc * next_c")))
    text = str(report)
    assert "right      df = dc'_total ⊙ c\n" in text
    assert "computes   df = dc'_total ⊙ c'\n" in text
    details = {each.argument: each.detail for each in report.gradients}
    assert details["b"] == details["Wx"] == "wrong for gate f"
    assert report.wrong == ("x", "prev_h", "Wx", "Wh", "b")


def test_json_has_the_mistakes() -> None:
    report = json.loads(report_of(changed(("da.sum(axis=0)", "da.sum(axis=1)"))).as_json())
    assert report["mistakes"] == ["bias-summed-over-wrong-axis"]
    assert report["gradients"][-1]["difference"] is None
    assert report["gradients"][-1]["detail"] == "its shape is (5,), expected (16,)"


@pytest.mark.parametrize(
    ("change", "starts"),
    [
        (("h[:, t] ** 2", "h[:, t]"), "in the first step that the backward pass computes"),
        (("dh[:, t] + dprev", "dh[:, t]"), "where a gradient passes to step T-2"),
        (("db +=", "db ="), "where a gradient passes to step T-2 or a sum contains 2 steps"),
    ],
)
def test_a_report_on_a_sequence_has_the_step(change: tuple[str, str], starts: str) -> None:
    assert report_of(changed(change, file="rnn_sequence_numpy")).starts.startswith(starts)


def test_the_gradient_of_x_has_the_wrong_time_steps() -> None:
    report = report_of(changed(("dh[:, t] + dprev", "dh[:, t]"), file="rnn_sequence_numpy"))
    details = {each.argument: each.detail for each in report.gradients}
    assert details["x"] == "wrong at time step 0, 1 of 3"


def test_a_variation_of_the_gru_is_noted() -> None:
    (note,) = report_of(Case("gru_step_numpy")).notes
    assert note.startswith("the forward pass differs from torch.nn's GRU: the reset gate is")


def test_a_gradient_that_is_not_returned_is_noted() -> None:
    report = verify_backward(rnn, lambda dh, cache: rnn_backward(dh, cache)[:4], against="rnn")
    assert report.verdict == "equal"
    assert report.notes == ("not returned, and not compared: the gradient of b",)


def test_an_unknown_mistake_has_its_gradients() -> None:
    report = verify_backward(
        rnn, lambda dh, cache: [np.sin(part) for part in rnn_backward(dh, cache)], against="rnn"
    )
    assert (report.verdict, report.mistakes) == ("different", ())
    assert report.reason == "wrong gradients of x, h, w, u, b; cause unknown"


def test_two_mistakes_are_found_in_different_equations() -> None:
    case = changed(("(1 - g ** 2)", "(1 - g)"), ("* f * (1 - f)", "* f"))
    assert set(report_of(case).mistakes) == {
        "partial-sigmoid-derivative",
        "unsquared-tanh-derivative",
    }
