"""Mistakes in the gradients that a backward pass returns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cell_verifier.backward.derivation import Environment, ForwardVariant, equations_of
from cell_verifier.backward.mistake import BackwardMistake, Way, mistake, rewrite, with_factor
from cell_verifier.backward.passes import Edits, Tensors

Finish = Callable[[Tensors, Sequence[Environment], str], Tensors]


def returned(right: str, wrong: str, finish: Finish) -> Way:
    """The way that changes the gradients before they are returned."""
    return Way(Edits(loop={"finish": finish}), right, wrong)


def divided(names: tuple[str, ...], axis: Callable[[Tensors], int]) -> Finish:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        size = axis(gradients)
        return gradients | {name: gradients[name] / size for name in names}

    return finish


def _scaled(factor: float, *names: str) -> Finish:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        return gradients | {name: factor * gradients[name] for name in names}

    return finish


WEIGHTS = ("weight_ih", "weight_hh")
BIASES = ("bias_ih", "bias_hh")


@mistake(
    "averaged-over-batch",
    why="the gradient of a sum over samples is the sum of their gradients, not the mean",
    fix="remove the division by the batch size; the loss contains it if it is a mean",
)
def averaged_over_batch(variant: ForwardVariant) -> Iterator[Way]:
    for text, names in {"dW and db": WEIGHTS + BIASES, "db": BIASES, "dW": WEIGHTS}.items():
        finish = divided(names, lambda gradients: gradients["h"].shape[0])
        yield returned(f"{text}: sum over the batch", f"{text}: mean over the batch", finish)


@mistake(
    "swapped-gradients",
    why="two gradients of the same shape are returned in each other's place",
    fix="return the gradients in the order of the arguments of the forward pass",
)
def swapped_gradients(variant: ForwardVariant) -> Iterator[Way]:
    def swapped(first: str, second: str) -> Finish:
        def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
            return gradients | {first: gradients[second], second: gradients[first]}

        return finish

    pairs = {"lstm": [("h", "c")], "gru": [("bias_ih", "bias_hh")]}
    for first, second in pairs.get(variant.kind, []):
        right, wrong = f"return d{first}, d{second}", f"return d{second}, d{first}"
        yield returned(right, wrong, swapped(first, second))


@mistake(
    "gradient-is-zero",
    why="a gradient is returned as zero or as None",
    fix="compute and return the gradient of every input that requires one",
)
def gradient_is_zero(variant: ForwardVariant) -> Iterator[Way]:
    states = ("h", "c") if variant.kind == "lstm" else ("h",)
    for name in (*states, "x", *WEIGHTS, *BIASES):
        yield returned(f"return d{name}", f"return 0 for d{name}", _scaled(0, name))


@mistake(
    "doubled-gradient",
    why="a contribution is added twice",
    fix="add the contribution of each step once",
)
def doubled_gradient(variant: ForwardVariant) -> Iterator[Way]:
    for text, names in {"dW and db": WEIGHTS + BIASES, "db": BIASES, "dW": WEIGHTS}.items():
        yield returned(text, f"2 * ({text})", _scaled(2, *names))
    for name in WEIGHTS:
        yield returned(f"d{name}", f"2 * d{name}", _scaled(2, name))


def _flat(step: Environment, letters: str) -> Tensor:
    """The gradients of all pre-activations side by side, as in the user's weights, (B, G*H)."""
    return torch.cat([step[f"da_{letter}"] for letter in letters], dim=-1)


@mistake(
    "bias-summed-over-wrong-axis",
    why="the gradient of a bias is summed over the features instead of over the batch",
    fix="sum over the axis of the samples, so that the result has the shape of the bias",
)
def bias_summed_over_wrong_axis(variant: ForwardVariant) -> Iterator[Way]:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        shape = gradients["bias_ih"].shape
        total = torch.stack([_flat(step, letters).sum(1) for step in steps]).sum(0)
        if total.numel() != shape.numel():
            return gradients
        order = [letters.index(letter) for letter in variant.letters]
        return gradients | dict.fromkeys(BIASES, total.reshape(shape)[order])

    yield returned("db = da.sum(0)", "db = da.sum(1)", finish)
    gates = variant.letters if len(variant.letters) > 1 else ""
    right = equations_of(variant)
    changes = {
        name: tuple(replace(term, operator="sum over the features") for term in right[name])
        for gate in gates
        for name in (f"db_i{gate}", f"db_h{gate}")
    }
    for gate in gates:
        names = (f"db_i{gate}", f"db_h{gate}")
        yield rewrite(variant, {name: changes[name] for name in names})
    yield rewrite(variant, changes)


@mistake(
    "untransposed-input-weight",
    why="the forward pass multiplies x by a matrix, and the backward pass by its transpose",
    fix="use the transpose of the matrix that the forward pass uses",
)
def untransposed_input_weight(variant: ForwardVariant) -> Iterator[Way]:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        weight = torch.cat([steps[0][f"W_i{letter}"] for letter in letters])
        if weight.shape[0] != weight.shape[1]:
            return gradients
        return gradients | {"x": torch.stack([_flat(step, letters) @ weight.T for step in steps])}

    yield returned("dx = da @ W_ih", "dx = da @ W_ih.T", finish)
    wrong = dx = equations_of(variant)["dx"]
    for letter in variant.letters:
        weight = f"W_i{letter}"
        yield rewrite(variant, {"dx": with_factor(dx, weight, f"{weight}.T")})
        wrong = with_factor(wrong, weight, f"{weight}.T")
    yield rewrite(variant, {"dx": wrong})


@mistake(
    "transposed-weight-gradient",
    why="the gradient of a weight is the transpose of the right one",
    fix="exchange and transpose the factors: (da.T @ h).T = h.T @ da",
)
def transposed_weight_gradient(variant: ForwardVariant) -> Iterator[Way]:
    def transposed(*names: str) -> Finish:
        def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
            return gradients | {
                name: _transpose(gradients[name], letters, variant) for name in names
            }

        return finish

    for names in (("weight_hh",), ("weight_ih",), WEIGHTS):
        text = " and ".join(f"d{name}" for name in names)
        yield returned(text, f"the transpose of {text}", transposed(*names))


def _transpose(gradient: Tensor, letters: str, variant: ForwardVariant) -> Tensor:
    """Of the gradient stacked in the user's order if it is square, else of every gate's."""
    gates, rows, columns = gradient.shape
    if gates * rows == columns:
        to_user = [variant.letters.index(letter) for letter in letters]
        to_torch = [letters.index(letter) for letter in variant.letters]
        stacked = gradient[to_user].reshape(columns, columns)
        return stacked.T.reshape(gradient.shape)[to_torch]
    return gradient.transpose(-1, -2) if rows == columns else gradient


MISTAKES: tuple[BackwardMistake, ...] = (
    averaged_over_batch,
    swapped_gradients,
    gradient_is_zero,
    doubled_gradient,
    bias_summed_over_wrong_axis,
    untransposed_input_weight,
    transposed_weight_gradient,
)
