"""Wrong cells and wrong layers: each has one common mistake, as a small change of a correct one."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratch_cells.cell import Cell, map_state
from scratch_cells.gru import GRUCell
from scratch_cells.layers import layer_of
from scratch_cells.lstm import LSTMCell
from scratch_cells.recurrent_stack import RecurrentStack
from scratch_cells.rnn import RNNCell
from scratch_cells.unroll import unroll

State = Any


# --- cells --------------------------------------------------------------------------------------


def lstm_with_gates(
    order: str = "ifgo", sigmoid: Any = torch.sigmoid, g: Any = torch.tanh
) -> type[LSTMCell]:
    """An LSTM cell with another gate order or other activations."""

    def gates(self: LSTMCell, projected: Tensor, state: State) -> LSTMCell.Gates:
        chunks = (projected + self.hidden_to_hidden(state[0])).chunk(4, dim=-1)
        by_letter = dict(zip(order, chunks, strict=True))
        activated = {k: g(v) if k == "g" else sigmoid(v) for k, v in by_letter.items()}
        return self.Gates(*(activated[letter] for letter in "ifgo"))

    return type("WrongLSTMCell", (LSTMCell,), {"gates": gates})


def lstm_with_update(function: Any) -> type[LSTMCell]:
    """An LSTM cell with another update: (i, f, g, o, h, c) -> (h, c)."""

    def update(self: LSTMCell, gates: Any, state: State) -> State:
        return function(*gates, *state)

    return type("WrongLSTMCell", (LSTMCell,), {"update": update})


def correct_update(i: Tensor, f: Tensor, g: Tensor, o: Tensor, h: Tensor, c: Tensor) -> State:
    c = f * c + i * g
    return o * torch.tanh(c), c


def output_from_old_cell(*gates_and_state: Tensor) -> State:
    i, f, g, o, _, c = gates_and_state
    return o * torch.tanh(c), f * c + i * g


def stored_tanh(*gates_and_state: Tensor) -> State:
    h, c = correct_update(*gates_and_state)
    return h, torch.tanh(c)


def missing_output_tanh(i: Tensor, f: Tensor, g: Tensor, o: Tensor, h: Tensor, c: Tensor) -> State:
    c = f * c + i * g
    return o * c, c


def tanh_after_output_gate(
    i: Tensor, f: Tensor, g: Tensor, o: Tensor, h: Tensor, c: Tensor
) -> State:
    c = f * c + i * g
    return torch.tanh(o * c), c


class DroppedBias(LSTMCell):
    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        bias = self.hidden_to_hidden.bias
        return super().gates(projected if bias is None else projected - bias, state)


class DoubleBias(RNNCell):
    def gates(self, projected: Tensor, h: Tensor) -> RNNCell.Gates:
        bias = self.hidden_to_hidden.bias
        return super().gates(projected if bias is None else projected + bias, h)


class ForgetBiasAdded(LSTMCell):
    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        one = torch.zeros(4, self.hidden_size, dtype=projected.dtype)
        one[1] = 1.0
        return super().gates(projected + one.flatten(), state)


class HiddenNotCarried(LSTMCell):
    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        return super().gates(projected, (torch.zeros_like(state[0]), state[1]))


class DetachedState(LSTMCell):
    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        return super().gates(projected, (state[0].detach(), state[1]))


class UntransposedRecurrent(RNNCell):
    def gates(self, projected: Tensor, h: Tensor) -> RNNCell.Gates:
        product = h @ self.hidden_to_hidden.weight
        bias = self.hidden_to_hidden.bias
        return self.Gates(self.activation(projected + product + (0 if bias is None else bias)))


class AlwaysTanh(RNNCell):
    def activation(self, n: Tensor) -> Tensor:
        return torch.tanh(n)


class GRUWithAnotherReset(GRUCell):
    """A GRU whose subclass computes the candidate: (n_x, r, h, W_hn, b_hn) -> pre-activation."""

    candidate: Any

    def gates(self, projected: Tensor, h: Tensor) -> GRUCell.Gates:
        r_x, z_x, n_x = projected.chunk(3, dim=-1)
        r_h, z_h, _ = self.hidden_to_hidden(h).chunk(3, dim=-1)
        weight = self.hidden_to_hidden.weight.chunk(3)[2]
        bias = self.hidden_to_hidden.bias
        b = torch.zeros(self.hidden_size, dtype=h.dtype) if bias is None else bias.chunk(3)[2]
        r = torch.sigmoid(r_x + r_h)
        n = torch.tanh(type(self).candidate(n_x, r, h, weight, b))
        return self.Gates(r, torch.sigmoid(z_x + z_h), n)


def gru_with_candidate(function: Any) -> type[GRUCell]:
    return type("WrongGRUCell", (GRUWithAnotherReset,), {"candidate": staticmethod(function)})


class UpdateBeforeReset(GRUCell):
    def gates(self, projected: Tensor, h: Tensor) -> GRUCell.Gates:
        z_x, r_x, n_x = projected.chunk(3, dim=-1)
        z_h, r_h, n_h = self.hidden_to_hidden(h).chunk(3, dim=-1)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        return self.Gates(r, z, torch.tanh(n_x + r * n_h))


class SwappedUpdate(GRUCell):
    def update(self, gates: Any, h: Tensor) -> Tensor:
        _, z, n = gates
        return z * n + (1 - z) * h


WRONG_CELLS: dict[str, type[Cell]] = {
    "gate-order i,g,f,o": lstm_with_gates(order="igfo"),
    "gate-order i,f,o,g": lstm_with_gates(order="ifog"),
    "gate-order i,o,f,g": lstm_with_gates(order="iofg"),
    "hard-sigmoid": lstm_with_gates(sigmoid=lambda u: (0.2 * u + 0.5).clamp(0, 1)),
    "sigmoid-candidate": lstm_with_gates(g=torch.sigmoid),
    "relu-candidate": lstm_with_gates(g=torch.relu),
    "missing-bias": DroppedBias,
    "double-bias": DoubleBias,
    "forget-bias-added": ForgetBiasAdded,
    "hidden-not-carried": HiddenNotCarried,
    "detached-state": DetachedState,
    "swapped-input-forget": lstm_with_update(lambda i, f, *rest: correct_update(f, i, *rest)),
    "added-not-multiplied": lstm_with_update(
        lambda i, f, g, o, h, c: (o * torch.tanh(f * c + i + g), f * c + i + g)
    ),
    "coupled-gates": lstm_with_update(lambda i, f, *rest: correct_update(1 - f, f, *rest)),
    "cell-not-carried": lstm_with_update(
        lambda i, f, g, o, h, c: correct_update(i, f, g, o, h, torch.zeros_like(c))
    ),
    "tanh-stored-cell": lstm_with_update(stored_tanh),
    "missing-output-tanh": lstm_with_update(missing_output_tanh),
    "tanh-after-output-gate": lstm_with_update(tanh_after_output_gate),
    "output-from-old-cell": lstm_with_update(output_from_old_cell),
    "state-order": lstm_with_update(lambda *all_: correct_update(*all_)[::-1]),
    "reset-before-matmul": gru_with_candidate(lambda x, r, h, w, b: x + (r * h) @ w.T + b),
    "reset-outside-bias": gru_with_candidate(lambda x, r, h, w, b: x + r * (h @ w.T) + b),
    "reset-over-everything": gru_with_candidate(lambda x, r, h, w, b: r * (x + h @ w.T + b)),
    "no-reset": gru_with_candidate(lambda x, r, h, w, b: x + h @ w.T + b),
    "gate-order z,r,n": UpdateBeforeReset,
    "swapped-update": SwappedUpdate,
    "untransposed-recurrent": UntransposedRecurrent,
    "wrong-nonlinearity": AlwaysTanh,
}


# --- layers -------------------------------------------------------------------------------------


class DropoutOnLastLayer(RecurrentStack):
    def run(self, input: Any, hx: Any, unroll: Any) -> Any:
        output, state = super().run(input, hx, unroll)
        if isinstance(output, Tensor):
            return F.dropout(output, self.dropout, self.training), state
        return output._replace(data=F.dropout(output.data, self.dropout, self.training)), state


class DropoutInsideRecurrence(RecurrentStack):
    def forward(self, input: Any, hx: Any = None) -> Any:
        def with_dropout(cell: Cell, *arguments: Any, **options: Any) -> Any:
            gates = cell.gates
            cell.gates = lambda projected, state: gates(
                projected,
                map_state(lambda part: F.dropout(part, self.dropout, self.training), state),
            )
            try:
                return unroll(cell, *arguments, **options)
            finally:
                del cell.gates

        return self.run(input, hx, with_dropout)


class ReverseNotFlipped(RecurrentStack):
    def forward(self, input: Any, hx: Any = None) -> Any:
        def not_flipped(*arguments: Any, reverse: bool) -> Any:
            output, state = unroll(*arguments, reverse=reverse)
            return output.flip(0) if reverse else output, state

        return self.run(input, hx, not_flipped)


class ReverseIgnored(RecurrentStack):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return self.run(input, hx, lambda *arguments, reverse: unroll(*arguments, reverse=False))


class FinalStateAfterPadding(RecurrentStack):
    """Padding is processed as time steps: the state of a finished sequence still changes."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        def through_the_padding(
            cell: Cell, data: Tensor, state: State, sizes: Any, reverse: bool
        ) -> Any:
            output, final = unroll(cell, data, state, sizes, reverse=reverse)
            if sizes is None or reverse or sizes[-1] == sizes[0]:
                return output, final
            padding = data.new_zeros(sizes[0], data.size(-1))
            updated = cell.step(cell.project(padding), final)
            active = torch.arange(sizes[0]).unsqueeze(1) < sizes[-1]
            return output, map_state(lambda old, new: torch.where(active, old, new), final, updated)

        return self.run(input, hx, through_the_padding)


class SharedInitialState(RecurrentStack):
    def initial_state(self, *arguments: Any) -> State:
        return map_state(lambda part: part[:1].expand_as(part), super().initial_state(*arguments))


class StateNotUsed(RecurrentStack):
    def initial_state(self, *arguments: Any) -> State:
        return map_state(lambda part: part * 0, super().initial_state(*arguments))


class DirectionLayerState(RecurrentStack):
    """h_n ordered (direction, layer) instead of (layer, direction)."""

    def run(self, *arguments: Any) -> Any:
        output, state = super().run(*arguments)
        directions = 2 if self.bidirectional else 1

        def reorder(part: Tensor) -> Tensor:
            return part.unflatten(0, (-1, directions)).transpose(0, 1).flatten(0, 1)

        return output, map_state(reorder, state)


class FirstLayerInput(RecurrentStack):
    """A later layer reads the input of the first layer, if the feature sizes are equal."""

    def run(self, input: Any, hx: Any, unroll: Any = None) -> Any:
        inputs = []
        unroll = unroll or self._run_cell

        def with_first_input(cell: Cell, data: Tensor, *arguments: Any, **options: Any) -> Any:
            inputs.append(data)
            same_size = inputs[0].size(-1) == data.size(-1)
            return unroll(cell, inputs[0] if same_size else data, *arguments, **options)

        return super().run(input, hx, with_first_input)


class NoGradientForState(RecurrentStack):
    def initial_state(self, *arguments: Any) -> State:
        return map_state(Tensor.detach, super().initial_state(*arguments))


class ZeroGradients(RecurrentStack):
    """Exact outputs and zero gradients: only a comparison of gradients can detect this."""

    def run(self, *arguments: Any) -> Any:
        output, state = super().run(*arguments)
        zero = sum((w * 0).sum() for w in self.parameters())
        if isinstance(output, Tensor):
            output = output.detach() + zero
            return output, map_state(lambda part: part.detach() + zero, state)
        output = output._replace(data=output.data.detach() + zero)
        return output, map_state(lambda part: part.detach() + zero, state)


WRONG_LAYERS: dict[str, type[RecurrentStack]] = {
    "dropout-on-last-layer": DropoutOnLastLayer,
    "dropout-inside-recurrence": DropoutInsideRecurrence,
    "reverse-not-flipped": ReverseNotFlipped,
    "reverse-ignored": ReverseIgnored,
    "final-state-after-padding": FinalStateAfterPadding,
    "shared-initial-state": SharedInitialState,
    "state-not-used": StateNotUsed,
    "state-layout": DirectionLayerState,
    "first-layer-input": FirstLayerInput,
    "no-gradient-for-state": NoGradientForState,
    "zero-gradients": ZeroGradients,
}


def wrong_layer(name: str, kind: str) -> type[RecurrentStack]:
    """The layer class of ``kind`` with the planted bug ``name``; "nothing" plants no bug."""
    if name in WRONG_CELLS:
        return layer_of(WRONG_CELLS[name])
    cell_class = {"RNN": RNNCell, "GRU": GRUCell, "LSTM": LSTMCell}[kind]
    layer_class = RecurrentStack if name == "nothing" else WRONG_LAYERS[name]
    return type("WrongLayer", (layer_class,), {"cell_class": cell_class})


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds of layer that can have the bug."""
    if name not in WRONG_CELLS:
        return ("RNN", "GRU", "LSTM")
    cell = WRONG_CELLS[name]
    return tuple(
        kind
        for kind, correct in (("RNN", RNNCell), ("GRU", GRUCell), ("LSTM", LSTMCell))
        if issubclass(cell, correct)
    )
