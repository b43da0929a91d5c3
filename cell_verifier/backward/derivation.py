"""The backward pass of one time step as equations that a mistake can replace.

The equations are text in the notation of the report: ``⊙`` multiplies elementwise, ``@`` is the
matrix product, ``.T`` the transpose, ``sum`` the sum over the batch. Rows are samples, as in
PyTorch. ``h``, ``c`` are the state before the step, ``h'``, ``c'`` after it; ``dh'``, ``dc'`` are
the gradients that the step receives, and ``da_i`` is the gradient with respect to the
pre-activation of gate i.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from torch import Tensor

Environment = dict[str, Tensor]
"""Name -> value, of one time step."""


@dataclass(frozen=True)
class Term:
    """A product of factors with a sign.

    Attributes:
        factors: names of tensors; ``W_hi.T`` is the transpose of ``W_hi``.
        operator: ``⊙`` or ``@`` between them, or the function of the only one (see ``REDUCTIONS``).
        sign: 1 or -1.
    """

    factors: tuple[str, ...]
    operator: str = "⊙"
    sign: int = 1

    def evaluate(self, values: Environment) -> Tensor:
        factors = [_value(name, values) for name in self.factors]
        if self.operator in REDUCTIONS:
            return self.sign * REDUCTIONS[self.operator](factors[0])
        result = factors[0]
        for factor in factors[1:]:
            result = result @ factor if self.operator == "@" else result * factor
        return self.sign * result

    def __str__(self) -> str:
        if self.operator in REDUCTIONS:
            return f"{self.operator}({self.factors[0]})"
        return f" {self.operator} ".join(self.factors)


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda part: part.sum(0),
    "mean": lambda part: part.mean(0),
    "sum over the features": lambda part: part.sum(1),
}

Expression = tuple[Term, ...]
Equations = Mapping[str, Expression]
"""The name of a gradient -> the sum of terms that it equals, in the order of evaluation."""


def text_of(name: str, expression: Expression) -> str:
    """An equation as one line: ``df = dc'_total ⊙ c``."""
    text = ""
    for n, term in enumerate(expression):
        sign = "-" if term.sign < 0 else "+"
        text += f" {sign} {term}" if n else f"{'-' if term.sign < 0 else ''}{term}"
    return f"{name} = {text or '0'}"


def evaluate(expression: Expression, values: Environment) -> Tensor:
    """The sum of the terms."""
    result = expression[0].evaluate(values)
    for term in expression[1:]:
        result = result + term.evaluate(values)
    return result


def _value(name: str, values: Environment) -> Tensor:
    return values[name[:-2]].transpose(-1, -2) if name.endswith(".T") else values[name]


RNN = """
da_h = dh' ⊙ (1-h'²)
dx = da_h @ W_ih
dh = da_h @ W_hh
"""

GRU_GATES = """
dz = dh' ⊙ h - dh' ⊙ n
dn = dh' ⊙ (1-z)
da_n = dn ⊙ (1-n²)
"""

GRU = f"""
{GRU_GATES}
dr = da_n ⊙ n_h
da_hn = da_n ⊙ r
da_r = dr ⊙ r ⊙ (1-r)
da_z = dz ⊙ z ⊙ (1-z)
dx = da_r @ W_ir + da_z @ W_iz + da_n @ W_in
dh = dh' ⊙ z + da_r @ W_hr + da_z @ W_hz + da_hn @ W_hn
"""

GRU_RESET_FIRST = f"""
{GRU_GATES}
d(r⊙h) = da_n @ W_hn
dr = d(r⊙h) ⊙ h
da_r = dr ⊙ r ⊙ (1-r)
da_z = dz ⊙ z ⊙ (1-z)
dx = da_r @ W_ir + da_z @ W_iz + da_n @ W_in
dh = dh' ⊙ z + d(r⊙h) ⊙ r + da_r @ W_hr + da_z @ W_hz
"""

LSTM = """
do = dh' ⊙ tanh(c')
dc'_total = dc' + dh' ⊙ o ⊙ (1-tanh²(c'))
di = dc'_total ⊙ g
df = dc'_total ⊙ c
dg = dc'_total ⊙ i
dc = dc'_total ⊙ f
da_i = di ⊙ i ⊙ (1-i)
da_f = df ⊙ f ⊙ (1-f)
da_g = dg ⊙ (1-g²)
da_o = do ⊙ o ⊙ (1-o)
dx = da_i @ W_ii + da_f @ W_if + da_g @ W_ig + da_o @ W_io
dh = da_i @ W_hi + da_f @ W_hf + da_g @ W_hg + da_o @ W_ho
"""


@dataclass(frozen=True)
class ForwardVariant:
    """A recurrence, with the two usual variations of a GRU.

    Attributes:
        kind: ``rnn``, ``gru`` or ``lstm``.
        reset_first: the candidate is W_hn (r ⊙ h) instead of r ⊙ (W_hn h + b_hn).
        swapped_update: h' = z ⊙ n + (1-z) ⊙ h instead of (1-z) ⊙ n + z ⊙ h.
    """

    kind: str
    reset_first: bool = False
    swapped_update: bool = False

    @property
    def letters(self) -> str:
        """One letter per gate, in torch.nn's order."""
        return {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}[self.kind]

    @property
    def difference(self) -> str:
        """How it differs from torch.nn's, or ``""``."""
        reset = "the reset gate is applied before the matrix product" if self.reset_first else ""
        update = "z and 1-z are exchanged" if self.swapped_update else ""
        return " and ".join(filter(None, (reset, update)))


@cache
def equations_of(variant: ForwardVariant) -> Equations:
    """The right backward pass of one time step."""
    gru = GRU_RESET_FIRST if variant.reset_first else GRU
    equations = parse({"rnn": RNN, "gru": gru, "lstm": LSTM}[variant.kind])
    if variant.swapped_update:
        equations["dz"] = tuple(replace(term, sign=-term.sign) for term in equations["dz"])
        equations["dn"] = (Term(("dh'", "z")),)
        direct = Term(("dh'", "(1-z)"))
        equations["dh"] = (direct, *equations["dh"][1:])
    for letter in variant.letters:
        recurrent, h = f"da_{letter}", "h"
        if variant.kind == "gru" and letter == "n":
            recurrent, h = ("da_n", "r⊙h") if variant.reset_first else ("da_hn", "h")
        equations[f"dW_i{letter}"] = (Term((f"da_{letter}.T", "x"), "@"),)
        equations[f"dW_h{letter}"] = (Term((f"{recurrent}.T", h), "@"),)
        equations[f"db_i{letter}"] = (Term((f"da_{letter}",), "sum"),)
        equations[f"db_h{letter}"] = (Term((recurrent,), "sum"),)
    return equations


def parse(text: str) -> dict[str, Expression]:
    """Equations from text, one a line."""
    pairs = (line.split(" = ") for line in text.splitlines() if line)
    return {name: _parse_expression(right) for name, right in pairs}


def _parse_expression(text: str) -> Expression:
    """Operators have spaces around them; ``(1-i)`` without spaces is one name."""
    terms, sign = [], 1
    for part in text.replace(" + ", "\n+\n").replace(" - ", "\n-\n").split("\n"):
        if part in "+-":
            sign = -1 if part == "-" else 1
            continue
        operator = "@" if " @ " in part else "⊙"
        terms.append(Term(tuple(part.split(f" {operator} ")), operator, sign))
    return tuple(terms)
