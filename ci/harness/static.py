# SPDX-License-Identifier: GPL-2.0
"""The static gates of a run: scripts/check, the cheap gates before the walk, the others beside it."""

import concurrent.futures
import json
import threading
from collections.abc import Collection

from lib import gates, process
from lib.gates.walk import LANE
from lib.series import Series
from lib.verdict import Judgement, Verdict

from .paths import Paths
from .progress import Progress

# Seconds for all patches: those beside the walk get what it leaves of the machine.
BEFORE, BESIDE = 3600, 8 * 3600
# The gates that build are judged by the builds of the lanes.
COSTLY = [name for name in gates.COSTLY if name not in gates.BUILDING]


class Static:
    """series; steps: those to judge, none where the gates are left out; again: ignore kept
    verdicts."""

    def __init__(self, paths: Paths, series: Series, steps: Collection[int], progress: Progress,
                 again: bool = False) -> None:
        self.paths, self.progress, self.again = paths, progress, again
        self.patches = [p for p in series.patches if p.step in steps]
        self._beside: concurrent.futures.Future[list[Judgement]] = concurrent.futures.Future()

    def cheap(self) -> list[Judgement]:
        """Judge by the gates that take a second per patch; report at once what does not pass."""
        found = self._check("cheap", gates.CHEAP, BEFORE)
        for j in found:
            if j.verdict is not Verdict.PASS:
                self.progress.note(f"step {j.step} {LANE}: {j.gate} {j.verdict.value}: {j.reason}")
        if found:
            counts = ", ".join(f"{n} {v.value}" for v in Verdict
                               if (n := sum(j.verdict is v for j in found)))
            self.progress.note(f"{LANE}: {', '.join(gates.CHEAP)}: {counts}")
        return found

    def begin(self) -> None:
        """Let the other gates begin, at a priority below that of boots, which have bounds: they
        come after what a first answer needs."""
        threading.Thread(target=self._costly, daemon=True).start()

    def end(self) -> list[Judgement]:
        """Wait for the other gates: their judgements."""
        return self._beside.result()

    def _costly(self) -> None:
        try:
            self._beside.set_result(self._check("costly", COSTLY, BESIDE, ["nice", "-n", "10"]))
        except BaseException as error:  # pylint: disable=broad-except
            self._beside.set_exception(error)

    def _check(self, part: str, names: list[str], seconds: float, prefix: list[str] | None = None,
               ) -> list[Judgement]:
        if not self.patches:
            return []
        out = self.paths.cache / f"static-{part}.json"
        log = self.paths.logs / f"static-{part}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        for path in (out, log):
            path.unlink(missing_ok=True)
        arguments = [*["--again"] * self.again,
                     *(word for name in names for word in ("--gate", name)),
                     *(str(p.step) for p in self.patches)]
        self.progress.begin(part, f"{LANE} gates {', '.join(names)}")
        outcome = process.run([*(prefix or []), self.paths.top / "scripts/check", "--json", out, *arguments],
                              log, seconds, cwd=self.paths.top)
        self.progress.end(part)
        if out.exists():
            return [Judgement.read(data) for data in json.loads(out.read_text())]
        reason = log.read_text(errors="replace").strip().splitlines()[-1]
        return [Judgement(self.patches[0].step, LANE, "check", Verdict.LOST,
                          f"scripts/check {process.how_ended(outcome.rc, seconds)}: {reason}", str(log),
                          process.shell(["scripts/check", *arguments]))]
