"""One run of the benchmark: who is measured at what, in which order, and what came of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from integration_fabric.local.settings import LocalSettings
from tests.performance import filling, handover, homes
from tests.performance.chart import Curves
from tests.performance.contenders import CONTENDERS, Contender, Failed, run
from tests.performance.contest import Answer, Task
from tests.performance.report import LIMIT, OURS, Figure, Figures, Row, memory, rate
from tests.performance.trials import (
    IN_FLIGHTS,
    LATENCIES_MS,
    RACERS,
    STEADY_IN_FLIGHT,
    STEADY_MS,
    Discipline,
    Log,
    Measure,
    Trial,
    waiting,
)


@dataclass(slots=True)
class Contest:
    """One run of the benchmark. Each trial is measured once a round, whatever asks for it."""

    bootstrap: str
    downstream: str
    stores: Mapping[Log, Callable[[], str]]
    """Gives the URL of a store; those that could not be started are missing."""
    folder: Path
    events: int
    rounds: int
    tell: Callable[[str], None]
    answers: dict[Trial, dict[str, list[Answer]]] = field(default_factory=dict)
    handovers: Figures = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Who or what could not take part, and why."""
    failed: set[tuple[Trial, str]] = field(default_factory=set)
    """Who gave no answer at what, and is not asked again."""
    commands: dict[str, Sequence[str]] = field(default_factory=dict)

    def fill(self, disciplines: Sequence[Discipline]) -> None:
        """Make topics and events."""
        wanted = filling.fillings(disciplines, self.events)
        self.tell(f"publishing {sum(each.events for each in wanted):,} events ...")
        asyncio.run(filling.fill(self.bootstrap, wanted))

    def measure(self, disciplines: Sequence[Discipline]) -> None:
        """Let everybody do everything. Rounds are interleaved: what else the machine does meanwhile hits all contenders alike."""
        ours = CONTENDERS[0]
        for discipline in disciplines:
            for number in range(1, self.rounds + 1):
                told = f"{discipline.number}, round {number}"
                if discipline.race is not None:
                    self._race(discipline.race, CONTENDERS, number, told)
                for name, trial in discipline.variants.items():
                    self._race(trial, (ours,), number, f"{told}: {name}")
            if discipline.measure is Measure.HANDOVER:
                self._hand_over()

    def sweep(self) -> None:
        """Measure what the picture needs and the table does not have."""
        racers = [contender for contender in CONTENDERS if contender.name in RACERS]
        side_by_side = [contender for contender in racers if not contender.one_by_one]
        for in_flight in IN_FLIGHTS:
            self._race(waiting(STEADY_MS, in_flight), racers if in_flight == 1 else side_by_side, 1, "picture")
        for latency_ms in LATENCIES_MS:
            self._race(waiting(latency_ms, STEADY_IN_FLIGHT), racers, 1, "picture")

    def rows(self, disciplines: Sequence[Discipline]) -> list[Row]:
        """The table of aims, as far as it was measured."""
        return [
            Row(discipline.number, discipline.title, discipline.aims, self._figures(discipline), discipline.race is not None)
            for discipline in disciplines
        ]

    def curves(self) -> tuple[Curves, Curves]:
        """Rates by what is in flight, and by latency."""
        by_in_flight = {float(in_flight): waiting(STEADY_MS, in_flight) for in_flight in IN_FLIGHTS}
        by_latency = {latency_ms: waiting(latency_ms, STEADY_IN_FLIGHT) for latency_ms in LATENCIES_MS}
        return self._curves(by_in_flight), self._curves(by_latency)

    def _curves(self, trials: Mapping[float, Trial]) -> Curves:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in (LIMIT, *RACERS)}
        for place, trial in trials.items():
            for name, answers in self.answers.get(trial, {}).items():
                if name in found:
                    found[name].append((place, rate(answers).median))
            assert trial.limit_per_s is not None
            found[LIMIT].append((place, trial.limit_per_s))
        return found

    def _figures(self, discipline: Discipline) -> Figures:
        if discipline.measure is Measure.HANDOVER:
            return self.handovers
        figure = memory if discipline.measure is Measure.MEMORY else rate
        if discipline.race is None:
            found = {name: self.answers.get(trial, {}).get(OURS) for name, trial in discipline.variants.items()}
            return {name: figure(answers) for name, answers in found.items() if answers}
        limit = discipline.race.limit_per_s
        limits = {} if limit is None else {LIMIT: Figure((limit,))}
        return {name: figure(answers) for name, answers in self.answers.get(discipline.race, {}).items()} | limits

    def _race(self, trial: Trial, contenders: Sequence[Contender], number: int, told: str) -> None:
        found = self.answers.setdefault(trial, defaultdict(list))
        for contender in contenders:
            is_out = contender.name in self.missing or (trial, contender.name) in self.failed
            if contender.is_asked(trial, number) and not is_out and len(found[contender.name]) < number:
                self._measure_one(trial, contender, found[contender.name], told)
        for name in [name for name, answers in found.items() if not answers]:
            del found[name]

    def _measure_one(self, trial: Trial, contender: Contender, answers: list[Answer], told: str) -> None:
        new_store = self.stores.get(trial.log)
        if trial.log is not Log.OFF and new_store is None:
            return
        task = Task(
            self.bootstrap,
            trial.work,
            contender.events(trial, self.events),
            trial.topic,
            latency_ms=trial.latency_ms,
            in_flight=trial.in_flight,
            store=new_store() if new_store else "",
            downstream=self.downstream if trial.over_http else "",
            whole_worker=trial.whole_worker,
        )
        try:
            command = self._command(contender)
        except Failed as failure:
            self._without(contender.name, failure)
            return
        try:
            answer = run(contender, task, command=command, log=self.folder / "contender.log")
        except Failed as failure:
            self.failed.add((trial, contender.name))
            self._without(f"{contender.name}, {trial.work}", failure)
            return
        answers.append(answer)
        waits = f", {trial.latency_ms:g} ms x {trial.in_flight}" if trial.latency_ms else ""
        memory_used = f", {answer.peak_mb:.0f} MB" if answer.peak_mb else ""
        self.tell(f"{told}{waits}: {contender.name}: {answer.rate:,.0f}/s in {answer.seconds:.1f} s{memory_used}")

    def _command(self, contender: Contender) -> Sequence[str]:
        found = self.commands.get(contender.name)
        if found is None:
            cache_dir = LocalSettings().cache_dir
            found = self.commands[contender.name] = homes.command(contender, cache_dir=cache_dir, folder=self.folder, tell=self.tell)
        return found

    def _hand_over(self) -> None:
        try:
            self.handovers = asyncio.run(handover.measure(self.bootstrap, self.folder, self.rounds, self.tell))
        except Failed as failure:
            self._without("P11", failure)

    def _without(self, what: str, failure: Failed) -> None:
        self.missing[what] = str(failure)
        self.tell(f"bench: {failure}")
