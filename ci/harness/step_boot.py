# SPDX-License-Identifier: GPL-2.0
"""The boots of a lane: a boot of a step is made, or its kept verdict is taken."""

import pathlib
from collections.abc import Sequence
from typing import Any, cast

from lib import process
from lib.command import output
from lib.kernel.record import Build
from lib.lane import Boot, Lane
from lib.store import write_atomically

from . import accelerator, devicetree, guest, machine, needs, results, screen, splat
from .attempt import Attempt, Shown
from .attempts import Attempts
from .cell import Booted, Built, Picture
from .picture import Seen
from .regress import Ran
from .work import Work

# Raise when the meaning of a kept record changes.
BOOT_VERSION = 1


class Boots:
    """All boots of one lane; CannotJudge where it cannot be booted here. toolchain: what its
    kernels are built by; accelerator: what it boots under, "" for unknown."""

    def __init__(self, lane: Lane, work: Work, toolchain: str) -> None:
        self.work = work
        self.guest = guest.Guest(lane, work.trees, work.paths, toolchain)
        self.qemu = machine.version(lane)
        self.lane, self.accelerator = accelerator.suited(lane, self.qemu)
        self.parser = results.parser(work.trees, work.paths)
        self.attempts = Attempts(lane.name, work)
        devicetree.check(work.policy.boots(lane))

    def name(self, step: int, boot: Boot) -> str:
        """The place of a boot in the run; of one with some of its tests alone, a place of its own."""
        every = next((one.tests for one in self.lane.boots if one.name == boot.name), boot.tests)
        alone = [",".join(boot.tests)] if boot.tests != every else []
        return self.work.name(step, self.lane.name, boot.name, *alone)

    def parts(self, step: int, boot: Boot) -> tuple[list[guest.CpioArchive], list[str]]:
        """(archives, tests) of a boot of a step; the step's modules are not among them."""
        return self.guest.archives(
            self.work.commits[step], self.work.commits[-1], boot.tests,
            own=lambda directory: self.work.policy.own_selftests(directory, step))

    def modules(self, boots: Sequence[Boot]) -> tuple[str, ...]:
        """Patterns of the modules that boots load."""
        return self.guest.modules_needed([test for boot in boots for test in boot.tests])

    def inputs(self, step: int, boot: Boot, record: Build) -> dict[str, Any]:
        """What a boot's verdict depends on, by name. record: of the step's build."""
        archives, tests = self.parts(step, boot)
        modules = needs.matching(record["modules"], self.modules([boot]))
        tree: dict[str, Any] = {"devicetree": boot.devicetree.read_text()} if boot.devicetree else {}
        tree |= {"dtb": record["dtb"]} if self.lane.dtb else {}
        tree |= {"screen": screen.VERSION} if boot.screen else {}
        return {**tree, "image": record["image"],
                "modules": {name: record["modules"][name] for name in modules},
                "initramfs": [self.guest.hash(p) for p in archives],
                "qemu": self.qemu,
                "command": [word.replace(str(self.lane.source.parent), "{lanes}") for word in
                            machine.command(self.lane, boot, tests, "image", "initrd", "results")],
                "bounds": [boot.seconds, boot.silence], "harness": BOOT_VERSION}

    def judged(self, step: int, boot: Boot, record: Build) -> bool:
        """Whether a boot has its verdict in the store."""
        return self.attempts.ended(step, boot, self.attempts.kept(
            step, boot, self.inputs(step, boot, record)))

    def latest(self, step: int, boot: Boot) -> list[Attempt]:
        """The attempts of a boot the last time that it was made; empty where that is not known."""
        store = self.work.store
        record = store.get("boot", store.latest("boot", self.name(step, boot))) or {"attempts": []}
        return cast(list[Attempt], record["attempts"])

    def seconds(self, step: int, boot: Boot) -> float:
        """How long a boot took the last time, or its limit where that is not known."""
        return sum(a["seconds"] for a in self.latest(step, boot)) or boot.seconds

    def ran(self, step: int, boot: Boot, record: Build) -> Ran | None:
        """A boot on a step that this run does not judge, where its verdict is in the store.

        record: of the step's build.
        """
        latest = self.work.store.latest("boot", self.name(step, boot))
        # so that nothing is made for a boot that was never run
        if latest.get("image") != record["image"]:
            return None
        attempts = self.attempts.kept(step, boot, self.inputs(step, boot, record))
        return self.attempts.ran(step, boot, attempts[-1],
                                 record.get("modules_failed", [])) if attempts else None

    def boot(self, step: int, boot: Boot, built: Built) -> Booted:
        """Boot a step that was built once, once more if something was wrong."""
        assert built.record is not None
        inputs = self.inputs(step, boot, built.record)
        # two steps with the same image share one boot: the second waits for it
        with self.work.key_lock(self.work.store.key(inputs)):
            attempts, cached = self._attempts(step, boot, built, inputs)
        self.work.store.point("boot", inputs, self.name(step, boot))
        judgement = self.attempts.judge(step, boot, attempts, cached)
        self.work.told(judgement, f"boot {boot.name}")
        final = attempts[-1]
        return Booted(
            boot.name, judgement,
            self.attempts.ran(step, boot, final, built.record.get("modules_failed", [])),
            tuple(line for test in final["tests"].values() for line in test.get("measured", [])),
            tuple(splat.Splat(**one) for one in self.work.expectations.unexpected(step, final)),
            frozenset(splat.told(one) for a in attempts for one in a["splats"]),
            tuple(Picture(one["name"], one["wrong"], self._log(one["seen"]), self._log(one["expected"]))
                  for one in final.get("pictures", ())))

    def _log(self, name: str) -> pathlib.Path | None:
        """The path of a log; None where a record names none."""
        return self.work.paths.log(name) if name else None

    def _attempts(self, step: int, boot: Boot, built: Built, inputs: dict[str, Any],
                  ) -> tuple[list[Attempt], bool]:
        """The attempts that make a verdict, and whether they were all kept."""
        work, name, cached = self.work, self.name(step, boot), True
        attempts = self.attempts.kept(step, boot, inputs)
        while not self.attempts.ended(step, boot, attempts):
            if work.why and not attempts:
                work.progress.note(f"boot {name}: {work.store.why('boot', inputs, name)}")
            work.progress.begin(("boot", name), f"boot {name}")
            attempts.append(self.once(step, boot, built, f"{work.store.key(inputs)}-{len(attempts)}"))
            if process.stopping():
                raise KeyboardInterrupt  # it was ended by us
            work.store.put("boot", inputs, {"attempts": attempts}, name)
            work.fresh.add(work.store.key(inputs))
            work.progress.end(("boot", name))
            cached = False
        return attempts, cached

    def once(self, step: int, boot: Boot, built: Built, key: str) -> Attempt:
        """Run the machine once. key: of its files in the cache."""
        work = self.work
        assert built.record is not None and built.image is not None
        scratch = work.paths.cache / "boots" / key
        archives, tests = self.parts(step, boot)
        archives.append(self.guest.modules(built.image, built.record["modules"], self.modules([boot])))
        initrd = work.paths.cache / "boots" / f"{key}.cpio"
        self.guest.initramfs(archives, initrd)
        raw = machine.run(self.lane, boot, tests, built.image / "image", initrd, scratch,
                          [self.guest.made(a) for a in archives])
        console, said = f"boot-{key}.console", f"boot-{key}.results"
        write_atomically(work.paths.log(console), raw["console"].encode())
        write_atomically(work.paths.log(said), raw["results"].encode())
        found, complete = results.read(self.parser, raw["results"])
        attempt = Attempt(
            ended=raw["ended"], rc=raw["rc"], seconds=raw["seconds"], cpu=raw["cpu"], judged=raw["judged"],
            console=console, results=said, due=tests, complete=complete,
            tests=found, splats=[], missing=[])
        if boot.screen:
            attempt["pictures"] = [self._keep(key, number, one)
                                   for number, one in enumerate(raw["pictures"], 1)]
        self.attempts.scan(attempt)
        output(["rm", "-rf", scratch, initrd])
        return attempt

    def _keep(self, key: str, number: int, one: Seen) -> Shown:
        """Keep a picture, and beside one that is wrong the right one, as logs."""
        def kept(which: str, png: bytes) -> str:
            name = f"boot-{key}.{number}-{one.name}-{which}.png" if png else ""
            if png:
                write_atomically(self.work.paths.log(name), png)
            return name
        return Shown(name=one.name, wrong=one.wrong, seen=kept("seen", one.seen),
                     expected=kept("expected", one.expected if one.wrong else b""))
