"""Verify the mutants and count how often their line is found.

``python -m tests.cell_verifier.mutants [STYLE ...]``; without a style, all of them. The times
are those of the processor.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cell_verifier.mutants.further import FURTHER_STYLES
from tests.cell_verifier.mutants.judge import Outcome, judge_style
from tests.cell_verifier.mutants.mutate import MUTATED_STYLES


def main(styles: list[str]) -> None:
    outcomes: list[Outcome] = []
    for style in styles or (*MUTATED_STYLES, *FURTHER_STYLES):
        with TemporaryDirectory() as folder:
            found = judge_style(style, Path(folder))
        outcomes += found
        for each in found:
            if not each.is_only_location:
                mutant = each.mutant
                print(f"{style} {each.verdict} lines {each.lines}, {each.seconds:.1f} s")
                print(
                    f"  {mutant.operator}, line {mutant.line}: {mutant.right}\n  -> {mutant.wrong}"
                )
        print(style, _counts(found), flush=True)
    print("all", _counts(outcomes))


def _counts(outcomes: list[Outcome]) -> str:
    different = sum(each.verdict == "different" for each in outcomes)
    among = sum(each.is_among_locations for each in outcomes)
    only = sum(each.is_only_location for each in outcomes)
    seconds = sorted(each.seconds for each in outcomes)
    return (
        f"{len(outcomes)} mutants: different {different}, among the locations {among}, "
        f"only location {only}; {seconds[len(seconds) // 2]:.1f} s median, {seconds[-1]:.1f} s most"
    )


if __name__ == "__main__":
    started = time.monotonic()
    main(sys.argv[1:])
    print(f"{time.monotonic() - started:.0f} s")
