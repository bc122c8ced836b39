# SPDX-License-Identifier: GPL-2.0
"""The walk of the static gates over patches: cheap gates of all patches first."""

import contextlib
import traceback
from collections.abc import Iterator, Sequence

from .. import cache, clone, environment, lane, release, replay, series
from ..command import CannotJudge, Failed, Missing, cache_directory, full
from ..series import Patch, Series
from ..store import Store
from ..usage import Meter
from ..verdict import Judgement, Verdict
from . import BUILDING, GATES
from .gate import Answer, Gate, skip
from .step import Step
from .tools import Tools

LANE = "static"


def _log(name: str, details: str) -> str:
    """The path of a log with the details, "" where there are none."""
    if not details:
        return ""
    path = cache.logs() / f"{LANE}-{name}.log"
    if not path.exists() or path.read_text(encoding="utf-8", errors="surrogateescape") != details + "\n":
        cache.write_atomically(path, details + "\n")
    return str(path)


def _spent(meter: Meter) -> tuple[float, float]:
    """Seconds of wall time, and of CPU time by us and by the commands that we waited for."""
    used = meter.read()
    return round(used.wall, 2), round(used.cpu, 2)


def _ask(gate: Gate, step: Step, tools: Tools, again: bool,
         ) -> tuple[Answer, str, tuple[float, float], bool]:
    """A gate's answer, kept or given now: (answer, log, what it took, whether it was kept).

    again: ask anew. Errors of the gate go through; only an answer is kept.
    """
    if why := gate.idle(step):
        return Answer(Verdict.PASS, why), "", (0.0, 0.0), False
    store = Store(cache.store())
    inputs = {"gate": gate.name, "code": gate.digest(), **gate.inputs(step, tools)}
    record = None if again else store.get(LANE, inputs)
    kept = record is not None
    if record is None:
        meter = Meter()
        answer = gate.judge(step, tools)
        seconds, cpu = _spent(meter)
        record = {"verdict": answer.verdict.value, "reason": answer.reason,
                  "details": answer.details, "seconds": seconds, "cpu": cpu}
        store.put(LANE, inputs, record, f"{series.slug(step.patch)}/{gate.name}")
    answer = Answer(Verdict(record["verdict"]), record["reason"], record["details"])
    spent = record["seconds"], record.get("cpu", 0.0)
    return answer, _log(store.key(inputs), answer.details), spent, kept


def judge(gate: Gate, step: Step, tools: Tools, again: bool) -> tuple[Judgement, str]:
    """One gate's judgement of one patch, and its details; LOST where it could not be had."""
    meter, avoidable = Meter(), False
    try:
        answer, log, spent, kept = _ask(gate, step, tools, again)
    except Missing as error:
        answer, log, spent, kept = skip(str(error)), "", _spent(meter), False
        avoidable = True
    except Failed:
        raise
    except Exception as error:  # pylint: disable=broad-except
        if full(error):
            raise
        text = str(error) if isinstance(error, CannotJudge) else \
            f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        answer = Answer(Verdict.LOST, text.splitlines()[0], text)
        log, kept = _log(f"lost-{step.patch.step}-{gate.name}", text), False
        spent = _spent(meter)
    return Judgement(step.patch.step, LANE, gate.name, answer.verdict, answer.reason, log,
                     f"scripts/check --gate {gate.name} --again {step.patch.step}",
                     *spent, cached=kept, avoidable=avoidable), answer.details


def _not_applied(patches: Sequence[Patch], broken: Patch, refusal: str,
                 ) -> Iterator[tuple[Judgement, str]]:
    """The judgements of the patch that does not apply, and of those after it."""
    for patch in patches:
        if patch is broken:
            yield Judgement(patch.step, LANE, "apply", Verdict.FAIL, " ".join(refusal.split()),
                            command="scripts/apply"), refusal
        elif patch.step > broken.step:
            yield Judgement(patch.step, LANE, "apply", Verdict.SKIP,
                            f"step {broken.step} does not apply", command="scripts/apply"), ""


@contextlib.contextmanager
def _turn(name: str) -> Iterator[None]:
    """Hold the worktree of the checks for one judgement, unless the gate builds in the lanes.

    The holder of check-next.lock gets it next, so that a short run need not wait for all of a
    long one.
    """
    with contextlib.ExitStack() as stack:
        if name in BUILDING:
            yield  # it holds them when nothing is kept
            return
        with cache.lock("check-next"):
            stack.enter_context(cache.lock("check"))
        yield


def prepare(names: Sequence[str]) -> None:
    """What the gates of these names need, before any begins: CannotJudge or Failed without it."""
    if set(names) & set(BUILDING):
        if why := environment.buildable(cache_directory()):
            raise CannotJudge(why)
        lane.building(clone.TOP)
    release.base()


def walk(listing: Series, patches: Sequence[Patch], names: Sequence[str], again: bool,
         ) -> Iterator[tuple[Judgement, str]]:
    """Judge patches by the gates of these names: judgements with their details, as they are made.

    Gates of one round are asked patch by patch, those of the next after all patches.
    """
    commits, refusal = replay.steps(listing.patches)
    if refusal:
        yield from _not_applied(patches, listing.patches[len(commits) - 1], refusal)
    everything = sorted({f for p in listing.patches for f in series.paths(p.text)})
    steps = [Step(p, commits[p.step - 1], commits[p.step], everything)
             for p in patches if p.step < len(commits)]
    tools = Tools(steps)
    for number in sorted({GATES[name].round for name in names}):
        for step in steps:
            for name in names:
                if GATES[name].round == number:
                    with _turn(name):
                        judged = judge(GATES[name], step, tools, again)
                    yield judged
