"""Which values of the learner's statements the solution has too."""

from collections.abc import Collection, Sequence
from pathlib import Path

from exercises.checking.attempt import Attempt
from exercises.checking.events import Group, by_statement, same_event
from exercises.checking.partial_sums import PREFIX
from exercises.checking.probes import Event, ProbedFile, Recording, Site, functions_of


class Matching:
    """The statements of the learner's run compared with those of the solution's.

    Attributes:
        vocabulary: the values of the solution, by site.
        sums: those of its sites that are parts of its statements.
        statements: the other ones.
        given: the statements of the solution; where the learner has the same, another one is
            more likely to be wrong.
    """

    def __init__(
        self, learner: ProbedFile, solution: ProbedFile, observed: Recording, right: Recording
    ) -> None:
        self.learner, self.solution = learner, solution
        self.observed, self.right = observed, right
        self.given = {site.statement for site in solution.sites}
        self.vocabulary = right.by_site()
        self.sums = [site for site in self.vocabulary if site.name.startswith(PREFIX)]
        self.statements = {s: e for s, e in self.vocabulary.items() if s not in self.sums}

    def suspects(self, recording: Recording, without: Collection[Site] = ()) -> list[Group]:
        """The statements whose values are not the solution's, the first wrong value first."""
        sites = recording.by_site()
        wrong = [s for s in sites if s not in without and not self.matches(s, sites[s])]
        position = {id(event): n for n, event in enumerate(recording.events)}
        first = {s: position[id(self.first_wrong(s, sites[s]))] for s in wrong}
        return sorted(by_statement(wrong), key=lambda group: min(first[s] for s in group))

    def first_wrong(self, site: Site, events: Sequence[Event]) -> Event:
        """The first event that differs from the solution's of the same name."""
        for right in self.namesakes(site)[:1]:
            for ours, theirs in zip(events, self.vocabulary[right], strict=False):
                if not same_event(ours, theirs):
                    return ours
            return events[-1]
        alike = (self.count_alike(events, right) for right in self.statements.values())
        return events[max(alike, default=0)]

    def count_alike(self, events: Sequence[Event], right: Sequence[Event]) -> int:
        """How many events agree before the first one that differs; never all of them."""
        pairs = list(zip(events, right, strict=False))[: len(events) - 1]
        return next((n for n, (a, b) in enumerate(pairs) if not same_event(a, b)), len(pairs))

    def matches(self, site: Site, events: Sequence[Event]) -> bool:
        """Whether the solution has a site with these values: of the same name, if it has it."""
        return any(
            self.same_events(events, self.vocabulary[each])
            for each in self.namesakes(site) or self.statements
        )

    def same_events(self, events: Sequence[Event], right: Sequence[Event]) -> bool:
        """Whether two statements have the same values, up to the error if there is one."""
        interrupted = self.observed.error is not None and len(events) < len(right)
        return (interrupted or len(events) == len(right)) and all(
            same_event(a, b) for a, b in zip(events, right, strict=False)
        )

    def unnamed(self) -> list[Group]:
        """Statements of the learner's own variables, with values that the solution has.

        Such a value may be the wrong one of the solution's values.
        """
        groups = by_statement(self.observed.by_site())
        return [
            group
            for group in groups
            if group[0].name != "return"
            and group[0].statement not in self.given
            and not any(map(self.namesakes, group))
        ]

    def is_in_solution(self, site: Site) -> bool:
        """Whether the site's function is not the learner's own."""
        return any(each.function == site.function for each in self.solution.sites)

    def is_result(self, site: Site) -> bool:
        """Whether it is a ``return`` that the solution has too, which every mistake reaches."""
        return site.name == "return" and self.is_in_solution(site)

    def is_partial_sum(self, site: Site) -> bool:
        """Whether the solution has the values only as a part of a statement."""
        events = self.observed.by_site()[site]
        return any(self.same_events(events, self.vocabulary[each]) for each in self.sums)

    def unlike_solution(self, suspects: Sequence[Group]) -> list[tuple[Site, Site]]:
        """Statements whose variable the solution has, with values that occur nowhere in it."""
        sites = self.observed.by_site()
        return [
            (site, right)
            for site in (site for group in suspects for site in group if site.name != "return")
            for right in self.namesakes(site)[:1]
            if site.statement not in self.given
            and not any(self.same_events(sites[site], e) for e in self.statements.values())
        ]

    def namesakes(self, site: Site) -> list[Site]:
        """The solution's sites of the same name in the same function, the likeliest first."""
        ours = [each for each in self.learner.sites if each.variable == site.variable]
        theirs = [each for each in self.solution.sites if each.variable == site.variable]
        if len(ours) == len(theirs):
            theirs = [theirs[ours.index(site)]]
        count = len(self.observed.by_site().get(site, ()))
        found = [each for each in theirs if each in self.vocabulary]

        def unlike(right: Site) -> tuple[bool, bool]:
            return not right.called & site.called, len(self.vocabulary[right]) != count

        return sorted(found, key=unlike)


def same_functions(attempt: Attempt) -> frozenset[str]:
    """The functions that the learner has not written: their code is the solution's."""
    learner = functions_of(attempt.file.read_text(encoding="utf-8-sig"))
    solution = functions_of(Path(str(attempt.solution.__file__)).read_text(encoding="utf-8-sig"))
    return frozenset(name for name, code in learner.items() if solution.get(name) == code)
