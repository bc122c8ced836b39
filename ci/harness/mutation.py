# SPDX-License-Identifier: GPL-2.0
"""Judge mutants: build each, boot what should notice it, until something does.

What a build or a boot of a fault showed is kept by the content of the changed file and by all
that the same build or boot of the last step is made from. A boot that notices is repeated,
and must notice again. Where a case is named that must notice, a boot runs the test alone that has
it, where the case passes so without the fault; all tests only if that one does not notice.
"""

import dataclasses
import enum
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from lib import process
from lib.command import CannotJudge, full
from lib.lane import Lane
from lib.store import digest

from . import notice
from .expectations import Expectations, lost
from .mutant import Mutant
from .notice import Notice
from .route import Place, Route, name_of
from .testbed import FaultyBuild, Testbed

# Raise when the meaning of a kept record changes.
VERSION = 2

# A record of the store, or the inputs that it is made from.
Record = dict[str, Any]


class Detection(enum.Enum):
    """What became of a mutant."""

    CAUGHT = "caught"
    MISSED = "missed"
    EQUIVALENT = "equivalent"  # no test can tell, with a reason
    UNCOMPILED = "uncompiled"  # a generated one that does not compile, and does not count
    LOST = "lost"  # could not be judged


@dataclasses.dataclass(frozen=True)
class Result:
    """gate: "build", "diagnostics" or as Notice's; where: lane/boot or lane; reason: a sentence;
    cases: that noticed; boots: those that ran or whose verdict was kept; flaky: those that
    noticed once in two times; cpu, seconds: what builds and boots cost when they were made;
    made: whether any was made now."""

    mutant: Mutant
    outcome: Detection
    gate: str = ""
    where: str = ""
    reason: str = ""
    log: str = ""
    cases: tuple[str, ...] = ()
    boots: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    cpu: float = 0.0
    seconds: float = 0.0
    made: bool = False


class Judge:
    """Judges mutants, several at once. again: no kept verdict counts."""

    def __init__(self, bed: Testbed, route: Route, expectations: Expectations, again: bool = False) -> None:
        self._bed, self._route, self._again = bed, route, again
        self._expected = [expectations.deny.key, [dataclasses.astuple(k) for k in expectations.known]]
        self._fresh: set[str] = set()

    def judge(self, mutant: Mutant) -> Result:
        """The result of one mutant."""
        if mutant.equivalent:
            return Result(mutant, Detection.EQUIVALENT, reason=mutant.equivalent)
        trial = _Trial(self, self._bed, mutant)
        try:
            return trial.walk(self._route.of(mutant))
        finally:
            trial.end()

    # --- the store

    def get(self, kind: str, inputs: Record) -> Record | None:
        """A kept record, unless it is to be made anew."""
        if self._again and self._bed.store.key(inputs) not in self._fresh:
            return None
        return self._bed.store.get(kind, inputs)

    def put(self, kind: str, inputs: Record, record: Record, name: str) -> None:
        """Keep a record."""
        self._fresh.add(self._bed.store.key(inputs))
        self._bed.store.put(kind, inputs, record, name)

    @property
    def expected(self) -> list[Any]:
        """What the verdict on a boot depends on besides the boot."""
        return self._expected


class _Trial:
    """One mutant on its way through the boots."""

    def __init__(self, judge: Judge, bed: Testbed, mutant: Mutant) -> None:
        self._judge, self._bed, self._mutant = judge, bed, mutant
        self._plan: Sequence[Place] = ()
        self._records: dict[str, Record] = {}  # of builds, by lane
        self._built: dict[str, FaultyBuild] = {}  # those that are there, to boot
        self._result = Result(mutant, Detection.MISSED)
        self._lost: list[str] = [f"lane {name} cannot run here: {why}" for name, why in bed.unable.items()]

    def end(self) -> None:
        """Remove the kernels."""
        for built in self._built.values():
            self._bed.forget(built)

    def walk(self, plan: Sequence[Place]) -> Result:
        """Go from boot to boot until one notices."""
        self._plan = plan
        for place in plan:
            try:
                if self._caught(place):
                    return self._result
            except CannotJudge as error:
                if full(error):
                    raise
                self._lost.append(f"{name_of(place)}: {error}")
        try:
            return self._missed()
        except CannotJudge as error:
            self._settle(Detection.LOST, "", "", str(error), "")
            return self._result

    def _caught(self, place: Place) -> bool:
        """Whether a boot, or the build for it, settles the matter."""
        lane, boot = place
        if not self._bed.builds(lane, self._mutant.file) or not self._has_case(place):
            return False
        record = self._build(lane)
        if not record["ok"]:
            listed = not self._mutant.operator
            self._settle(Detection.CAUGHT if listed else Detection.UNCOMPILED, "build", lane.name,
                         record["reason"], record["log"])
            return True
        if record["warnings"]:
            new = "; ".join(record["warnings"][:3])
            self._settle(Detection.CAUGHT, "diagnostics", lane.name, f"new: {new}", record["log"])
            return True
        if record["same"]:
            return False
        return self._noticed(place)

    def _has_case(self, place: Place) -> bool:
        """Whether the case that must notice passes in a boot without the fault."""
        return not self._mutant.case or bool(self._cases(place))

    def _settle(self, outcome: Detection, gate: str, where: str, reason: str, log: str) -> None:
        self._note(outcome=outcome, gate=gate, where=where, reason=reason, log=self._bed.log(log))

    def _note(self, **fields: Any) -> None:
        """Let fields of the result have these values."""
        self._result = dataclasses.replace(self._result, **fields)

    # --- builds

    def _build(self, lane: Lane) -> Record:
        """The record of the mutant's build in a lane."""
        if lane.name in self._records:
            return self._records[lane.name]
        inputs = self._inputs(lane)
        record = self._judge.get("mutant-build", inputs)
        if record is None:
            record = self._make(lane)
        self._pay(record)
        self._records[lane.name] = record
        return record

    def _inputs(self, lane: Lane) -> Record:
        return {"file": self._mutant.file, "content": digest(self._text(lane)), "step": self._bed.key(lane),
                "harness": VERSION}

    def _text(self, lane: Lane) -> str:
        """The file with the fault. It is not the same in all lanes: some have test-only patches."""
        return self._mutant.apply(self._bed.text(lane, self._mutant.file))

    def _make(self, lane: Lane) -> Record:
        """Build, so that the lane's kernel is there to boot; the record, kept."""
        boots = [boot for one, boot in self._plan if one.name == lane.name]
        built = self._bed.build(lane, self._mutant.file, self._text(lane), boots)
        self._note(made=True)
        self._built[lane.name] = built
        _stop()
        if built.lost:
            raise CannotJudge(f"the build in lane {lane.name}: {built.reason}; log: {built.log}")
        record = {name: getattr(built, name)
                  for name in ("ok", "reason", "warnings", "same", "log", "seconds", "cpu")}
        self._judge.put("mutant-build", self._inputs(lane), record, f"{self._mutant.name}/{lane.name}")
        return record

    def _pay(self, record: Record) -> None:
        self._note(cpu=self._result.cpu + record["cpu"], seconds=self._result.seconds + record["seconds"])

    # --- boots

    def _noticed(self, place: Place) -> bool:
        """Whether a boot notices the fault, twice: the test that has the case, or else all of it."""
        return any(self._noticed_by(one) for one in [*self._alone(place), place])

    def _alone(self, place: Place) -> list[Place]:
        """The boot with those tests alone that have the case, where it passes so without the fault."""
        lane, boot = place
        have = {case.split("/")[2] for case in self._cases(place)}
        alone = (lane, dataclasses.replace(boot, tests=[test for test in boot.tests if test in have]))
        if not alone[1].tests or alone[1].tests == boot.tests:
            return []
        try:
            return [alone] if self._cases(alone) else []
        except CannotJudge:
            return []  # it needs what another test does before it

    def _cases(self, place: Place) -> list[str]:
        """The cases that pass in a boot without the fault, of those that must notice; none is named:
        none."""
        return [case for case, word in self._bed.words(*place).items()
                if word == "pass" and fnmatch.fnmatchcase(case, self._mutant.case)]

    def _noticed_by(self, place: Place) -> bool:
        """Whether a boot notices the fault, twice."""
        lane, boot = place
        before = self._bed.words(lane, boot)
        inputs = {**self._inputs(lane), "boot": self._bed.key(lane, boot), "expected": self._judge.expected,
                  "case": self._mutant.case}
        record = self._judge.get("mutant-boot", inputs)
        if record is None:
            record = self._boot(place, before, inputs)
            unsure = record.pop("unsure")
            if record["flaky"]:
                self._note(flaky=(*self._result.flaky, f"{name_of(place)}: {record['text']}"))
            elif not unsure:
                self._judge.put("mutant-boot", inputs, record, f"{self._mutant.name}/{name_of(place)}")
        self._pay(record)
        self._note(boots=tuple(dict.fromkeys((*self._result.boots, name_of(place)))))
        if not record["noticed"]:
            return False
        self._settle(Detection.CAUGHT, record["gate"], name_of(place), record["text"], record["log"])
        self._note(cases=tuple(record["cases"]))
        return True

    def _boot(self, place: Place, before: Mapping[str, str], inputs: Record) -> Record:
        """Boot once, and once more if that notices; the record."""
        lane, boot = place
        if lane.name not in self._built:
            self._make(lane)  # only its record was kept
        seen: list[Notice] = []
        silent = 0
        record: Record = {"noticed": False, "flaky": False, "gate": "", "text": "", "cases": [],
                          "log": "", "seconds": 0.0, "cpu": 0.0}
        for number in range(2):
            one = self._bed.boot(lane, boot, self._built[lane.name], inputs, number)
            _stop()
            self._note(made=True)
            record["seconds"] += one.record["seconds"]
            record["cpu"] += one.record["cpu"]
            record["log"] = one.record["console"]
            silent += lost(one.record)
            found = notice.of(one, before)
            if found is None or not self._by_case(found):
                break
            seen.append(found)
        if seen:
            both = seen[0].both(seen[-1])
            record |= {"noticed": len(seen) == 2, "flaky": len(seen) == 1, "gate": both.gate,
                       "text": both.text, "cases": both.cases[:20]}
        # a machine that only hung may have been short of the host's time: caught, but not for good
        record["unsure"] = bool(seen) and silent == len(seen)
        return record

    def _by_case(self, found: Notice) -> bool:
        """Whether the case that must notice has done so; any does where none is named."""
        return not self._mutant.case or any(fnmatch.fnmatchcase(c, self._mutant.case) for c in found.cases)

    # --- nothing noticed

    def _missed(self) -> Result:
        case, boots = self._mutant.case, self._result.boots
        if self._lost:
            self._settle(Detection.LOST, "", "", "; ".join(self._lost), "")
        elif case and not self._records:
            self._settle(Detection.LOST, "", "",
                         f"no case {case} passes on the last step without the fault", "")
        elif not self._records:
            self._note(reason="no lane builds the file" if self._plan else
                       "no boot has cases of the patches that touch the file")
        elif all(record["same"] for record in self._records.values()):
            self._settle(*self._unbuilt())
        else:
            self._note(reason=f"{case} does not notice" if case else
                       f"none of {len(boots)} boots notices: {', '.join(boots)}")
        if self._result.outcome is Detection.MISSED and self._result.flaky:
            self._note(reason=f"{self._result.reason}; once in two times only: "
                       f"{'; '.join(self._result.flaky)}")
        return self._result

    def _unbuilt(self) -> tuple[Detection, str, str, str, str]:
        """No lane's kernel differs: because none has the line, or since its code is the same."""
        lanes = {lane.name: lane for lane, _ in self._plan if lane.name in self._records}
        for name, lane in lanes.items():
            if not self._left_out(lane):
                return (Detection.EQUIVALENT, "", name,
                        f"the compiler makes the same code of it in lane {name}", "")
        return Detection.MISSED, "", "", "no lane builds the line", ""

    def _left_out(self, lane: Lane) -> bool:
        """Whether a lane's build leaves out the line of the fault: it passes with an #error there."""
        inputs = {**self._inputs(lane), "marked": True}
        record = self._judge.get("mutant-build", inputs)
        if record is None:
            built = self._bed.build(lane, self._mutant.file, self._marked(lane), [])
            self._bed.forget(built)
            _stop()
            if built.lost:
                raise CannotJudge(f"the build in lane {lane.name}: {built.reason}; log: {built.log}")
            record = {"ok": built.ok, "seconds": built.seconds, "cpu": built.cpu}
            self._judge.put("mutant-build", inputs, record, f"{self._mutant.name}/{lane.name}/marked")
            self._note(made=True)
        self._pay(record)
        return bool(record["ok"])

    def _marked(self, lane: Lane) -> str:
        text = self._bed.text(lane, self._mutant.file)
        at = text.rfind("\n", 0, self._mutant.place(text)) + 1
        return f"{text[:at]}#error the line of the fault\n{text[at:]}"


def _stop() -> None:
    """What just ended was ended by us, where the whole run ends."""
    if process.stopping():
        raise KeyboardInterrupt
