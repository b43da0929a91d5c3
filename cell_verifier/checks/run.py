"""All checks: comparisons of the identified module with torch.nn, which a verdict is based on."""

from cell_verifier.checks.cell import cell_checks
from cell_verifier.checks.check import Check
from cell_verifier.checks.inputs import input_checks
from cell_verifier.checks.layer import batch_first_check, multi_layer_check, without_bias_check
from cell_verifier.identification.identify import Identification


def run_checks(identification: Identification) -> tuple[Check, ...]:
    """Make every comparison that applies to the module."""
    subject = identification.subject
    if subject.axis_error:
        covers = "more time steps than samples"
        return (Check("outputs", covers, False, detail=subject.axis_error),)
    checks = list(cell_checks(subject))
    if identification.without_bias is not None:
        checks.append(without_bias_check(identification.without_bias))
    checks += map(batch_first_check, identification.batch_first)
    if not identification.mistakes and subject.explained:
        checks += input_checks(subject)
    checks += [multi_layer_check(subject, match) for match in identification.layers]
    return tuple(checks)
