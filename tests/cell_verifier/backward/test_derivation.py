"""The derivation equals autograd, and every way to make a mistake changes a gradient."""

import pytest
import torch
from torch import Tensor

from cell_verifier.backward.catalogue import candidates
from cell_verifier.backward.derivation import ForwardVariant, equations_of, parse, text_of
from cell_verifier.backward.layout import Sizes, draw_inputs, random_normal
from cell_verifier.backward.passes import Edits, Tensors, Upstream, run_backward, run_forward
from cell_verifier.reference.kinds import KINDS

GRUS = [ForwardVariant("gru", first, swap) for first in (False, True) for swap in (False, True)]
VARIANTS = [ForwardVariant("rnn"), *GRUS, ForwardVariant("lstm")]
NAMES = ("x", "h", "c", "weight_ih", "weight_hh", "bias_ih", "bias_hh")


def experiment(variant: ForwardVariant, sizes: Sizes) -> tuple[Tensors, Upstream, Tensor]:
    """Inputs, upstream gradients, and the loss that has them."""
    inputs = {n: t.requires_grad_() for n, t in draw_inputs(variant, NAMES, sizes).items()}
    normal = random_normal(7)
    sequence = (sizes.time, sizes.batch, sizes.hidden_size)
    upstream = Upstream(normal(*sequence), normal(*sequence), *normal(2, *sequence[1:]))
    steps = run_forward(variant, inputs)
    loss = torch.zeros(())
    for h, c, step in zip(upstream.h, upstream.c, steps, strict=True):
        loss = loss + (h * step["h'"]).sum()
        loss = loss + (c * step["c'"]).sum() if "c'" in step else loss
    loss = loss + (upstream.final_h * steps[-1]["h'"]).sum()
    if "c'" in steps[-1]:
        loss = loss + (upstream.final_c * steps[-1]["c'"]).sum()
    return inputs, upstream, loss


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_derivation_equals_autograd(variant: ForwardVariant) -> None:
    inputs, upstream, loss = experiment(variant, Sizes())
    expected = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True)
    with torch.no_grad():
        got = run_backward(variant, run_forward(variant, inputs), upstream, Edits())
    for name, gradient in zip(inputs, expected, strict=True):
        assert (gradient is None) == (name not in got)
        if gradient is not None:
            torch.testing.assert_close(got[name], gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_forward_pass_equals_torch(kind: str) -> None:
    variant = ForwardVariant(kind)
    inputs = draw_inputs(variant, NAMES, Sizes())
    layer = KINDS[kind].layer(2, 4).double()
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(layer, f"{name}_l0").copy_(inputs[name].flatten(0, 1))
        state = (inputs["h"][None], inputs["c"][None]) if kind == "lstm" else inputs["h"][None]
        expected, _ = layer(inputs["x"], state)
    got = torch.stack([step["h'"] for step in run_forward(variant, inputs)])
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_way_changes_a_gradient(variant: ForwardVariant) -> None:
    """With square sizes, so that a transpose and a sum over another axis are possible."""
    gates = len(variant.letters)
    sizes = Sizes(batch=3 * gates, input_size=3 * gates, hidden_size=3)
    by_gate = Sizes(batch=4, input_size=4, hidden_size=4)
    unchanged = []
    for size in (sizes, by_gate):
        inputs, upstream, _ = experiment(variant, size)
        with torch.no_grad():
            steps = run_forward(variant, inputs)
            right = run_backward(variant, steps, upstream, Edits())
            for each in candidates(variant, is_step=False):
                try:
                    wrong = run_backward(variant, steps, upstream, each.edits)
                except RuntimeError:  # possible only with the other sizes
                    continue
                if all(torch.equal(wrong[name], right[name]) for name in right):
                    unchanged.append((each.mistake.id, each.way.wrong, size))
    # Both biases have the same gradient where r is applied before the product; and the sum over
    # the features of a stacked bias needs as many samples as rows.
    possible = {"swapped-gradients", "bias-summed-over-wrong-axis", "untransposed-input-weight"}
    assert {each[0] for each in unchanged} <= possible, unchanged


def test_an_equation_is_read_and_written() -> None:
    text = "dh = dh' ⊙ z - da_r @ W_hr.T + d(r⊙h) ⊙ (1-r)"
    ((name, expression),) = parse(text).items()
    assert text_of(name, expression) == text
    assert [term.sign for term in expression] == [1, -1, 1]
    assert text_of("dx", ()) == "dx = 0"


def test_the_right_line_is_that_of_the_derivation() -> None:
    for variant in VARIANTS:
        lines = {text_of(*pair) for pair in equations_of(variant).items()}
        for each in candidates(variant, is_step=True):
            if each.edits.equations and " = " in each.way.right:
                assert set(each.way.right.split("; ")) <= lines
