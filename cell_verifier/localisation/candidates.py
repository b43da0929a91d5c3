"""The terms of torch.nn's equations that can replace the tensors of a group of slots."""

from functools import cache
from itertools import product

import torch

from cell_verifier.localisation.bench import (
    GROUPS,
    SAMPLES,
    STEPS,
    Bench,
    Candidate,
)
from cell_verifier.localisation.slots import (
    Slot,
    SlotGroup,
    arrange,
    is_return,
    is_without_batch,
)
from cell_verifier.localisation.terms import Term, in_order


def candidates_for(bench: Bench, group: SlotGroup) -> list[Candidate]:
    """The terms that have the shapes of the group's slots."""
    terms = bench.candidates
    fitting = [[term for term in terms if fits(term, slot)] for slot in group.slots]
    if len(group.slots) == 1:
        ordered = _in_order_of_keys(group.slots[0], fitting[0])
        return [(term,) for term in [*fitting[0], *ordered]]
    if len(group.slots) > 4 or not all(fitting):
        return []
    if is_return(group):
        results = [[t for t in some if t.name[0] in "hc" and len(t.name) > 1] for some in fitting]
        return list(product(*(some for some in results)))
    names = [{term.name for term in some} for some in fitting]
    found = list(bench.terms.arrangements(len(group.slots)))
    if len(group.slots) == 2 and len(bench.subject.kind.state) == 2:
        by_name = {term.name: term for term in terms}
        found += [(by_name[one], by_name[two]) for one, two in STATE_PAIRS]
    return [
        each for each in found if all(t.name in some for t, some in zip(each, names, strict=True))
    ]


STATE_PAIRS = (("h", "c"), ("c", "h"), ("h'", "c'"), ("c'", "h'"), ("h_0", "c_0"), ("c_0", "h_0"))


def fits(term: Term, slot: Slot) -> bool:
    """Whether a term can have the layout of a slot."""
    once = len(slot.operations) == 1
    shape = term.values.shape if once or term.values.dim() == 2 else term.values.shape[1:]
    if not once and term.values.dim() == 2:
        return False
    whole = (*shape[:-2], GROUPS * SAMPLES, shape[-1])
    if is_without_batch(slot, term.values.size(-1)):
        return True
    if slot.shape.numel() != torch.Size(whole).numel():
        return False
    return _can_be_arranged(torch.Size(whole), slot.shape)


@cache
def _can_be_arranged(values: torch.Size, shape: torch.Size) -> bool:
    return arrange(torch.zeros(()).expand(values), shape) is not None


def _in_order_of_keys(slot: Slot, terms: list[Term]) -> list[Term]:
    """h' in the order in which ``outputs[key] = h`` writes it, if that is not the order of time.

    At each step torch.nn's value for the place that is written, instead of the one for the step.
    """
    keys = [each.key for each in slot.operations]
    order = tuple(key % STEPS for key in keys if key is not None)
    if not slot.is_argument or sorted(order) != list(range(STEPS)) or order == tuple(sorted(order)):
        return []
    return [in_order(term, order) for term in terms if term.name == "h'"]
