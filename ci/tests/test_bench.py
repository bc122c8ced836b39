# SPDX-License-Identifier: GPL-2.0
"""ci/bench: its parser and its rule on made-up counts, and the command on the fake kernel."""

import json
import pathlib
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import LANE, Fixture  # noqa: E402
from marks import slow  # noqa: E402
from harness import measure  # noqa: E402
from lib import lane  # noqa: E402
from lib.command import CannotJudge  # noqa: E402
from lib.verdict import Verdict  # noqa: E402


def counts(*values, calls=10, name="map", unit=""):
    """What a benchmark prints for these repetitions, as a text."""
    return "".join(f"# measured {name} {calls} {v} {unit}".rstrip() + "\n" for v in values)


def series(*values, allowed="", **kwargs):
    text = counts(*values, **kwargs) + (f"# allowed map {allowed}\n" if allowed else "")
    return measure.read(measure.lines(text))[0]["map"]


class ReadTest(unittest.TestCase):
    def test_lines_are_found_among_ktap(self):
        text = ("KTAP version 1\n1..1\n# measured map 10 500\n    # measured in_subtest 1 7 faults\n"
                "# a remark that says measured\n# compared map other\n# allowed map any\nok 1 map\n")
        self.assertEqual(measure.lines(text), ["measured map 10 500", "measured in_subtest 1 7 faults",
                                               "compared map other", "allowed map any"])

    def test_values_are_a_call_each(self):
        found, _ = measure.read(measure.lines(counts(500, 510, 490) + counts(3, name="f", calls=1,
                                                                             unit="faults")))
        self.assertEqual(found["map"].values, [50, 51, 49])
        self.assertEqual((found["map"].median, found["map"].spread), (50, 2))
        self.assertEqual((found["map"].unit, found["f"].unit), ("instructions", "faults"))

    def test_a_pair_of_one_boot(self):
        found, pairs = measure.read(measure.lines(counts(300) + counts(200, name="other")
                                                  + "# compared map other\n"))
        self.assertEqual(pairs, [("map", "other")])
        self.assertIn("1.5000", measure.comparisons(found, pairs))

    def test_what_is_no_measurement_is_refused(self):
        for line, words in (("measured map 10", "not a measurement: measured map 10"),
                            ("measured map ten 500", "not a measurement"),
                            ("measured map 0 500", "of no calls"),
                            ("compared a b", "a is compared but not measured"),
                            ("allowed a 1.05", "a is allowed but not measured"),
                            ("allowed a 0.9", "not a measurement"),
                            ("allowed a much", "not a measurement")):
            with self.subTest(line), self.assertRaisesRegex(CannotJudge, words):
                measure.read([line])
        with self.assertRaisesRegex(CannotJudge, "in instructions and in faults"):
            measure.read(measure.lines(counts(1) + counts(1, unit="faults")))


class JudgeTest(unittest.TestCase):
    def judge(self, before, after):
        return measure.Row("map", before, after).judge()

    def test_equal_and_cheaper_pass(self):
        base = series(5000, 5000, 5000)
        self.assertEqual(self.judge(base, base)[0], Verdict.PASS)
        self.assertEqual(self.judge(base, series(4990, 4990, 4990))[0], Verdict.PASS)

    def test_one_instruction_more_fails(self):
        word, reason = self.judge(series(5000, 5000, 5000), series(5010, 5010, 5010))
        self.assertEqual((word, reason), (Verdict.FAIL, "1.00 instructions more a call"))

    def test_more_within_the_spread_passes_and_beyond_it_fails(self):
        base = series(5000, 5010, 5020)
        self.assertEqual(self.judge(base, series(5030, 5030, 5030))[0], Verdict.PASS)
        self.assertEqual(self.judge(base, series(5031, 5031, 5031))[0], Verdict.FAIL)

    def test_what_is_allowed_passes_and_more_fails(self):
        base = series(5000, 5000, 5000)
        self.assertEqual(self.judge(base, series(*[5250] * 3, allowed="1.05")),
                         (Verdict.PASS, "1.05 times are allowed"))
        self.assertEqual(self.judge(base, series(*[5260] * 3, allowed="1.05")),
                         (Verdict.FAIL, "26.00 instructions more a call, 1.05 times are allowed"))

    def test_a_spread_is_not_allowed_on_top(self):
        base = series(5000, 5010, 5020)
        self.assertEqual(self.judge(base, series(*[5270] * 3, allowed="1.05"))[0], Verdict.FAIL)
        # nor less than without the line
        self.assertEqual(self.judge(base, series(*[5020] * 3, allowed="1.001"))[0], Verdict.PASS)

    def test_only_the_later_step_allows(self):
        self.assertEqual(self.judge(series(*[5000] * 3, allowed="any"), series(*[5010] * 3))[0],
                         Verdict.FAIL)

    def test_what_is_only_stated_passes_but_needs_a_value(self):
        base = series(5000, 5000, 5000)
        self.assertEqual(self.judge(base, series(*[90000] * 3, allowed="any")),
                         (Verdict.PASS, "only stated"))
        self.assertEqual(self.judge(base, series(5000, 5000, 5100, allowed="any"))[0], Verdict.LOST)
        self.assertEqual(self.judge(series(5000, 5000, 5100), series(*[5000] * 3, allowed="any"))[0],
                         Verdict.LOST)

    def test_a_wide_spread_hides_nothing(self):
        word, reason = self.judge(series(5000, 5000, 5060), series(5050, 5050, 5050))
        self.assertEqual(word, Verdict.LOST)
        self.assertIn("more than 1%", reason)

    def test_one_disturbed_repetition_of_many_says_nothing(self):
        calm = series(*[5000] * 5)
        for disturbed in ((5000, 5000, 5000, 5000, 5400), (4000, 5000, 5000, 5000, 5000)):
            self.assertEqual(self.judge(calm, series(*disturbed))[0], Verdict.PASS)
            # nor does it widen what passes
            self.assertEqual(self.judge(series(*disturbed), series(*[5010] * 5))[0], Verdict.FAIL)
        self.assertEqual(self.judge(calm, series(5000, 5000, 5000, 5400, 5400))[0], Verdict.LOST)
        self.assertEqual(self.judge(calm, series(5000, 5000, 5000, 5400))[0], Verdict.LOST)

    def test_few_repetitions_cannot_be_judged(self):
        self.assertEqual(self.judge(series(5, 5, 5), series(5, 5))[0], Verdict.LOST)

    def test_what_one_step_lacks(self):
        some = series(5, 5, 5)
        self.assertEqual(self.judge(None, some)[0], Verdict.SKIP)
        self.assertEqual(self.judge(some, None)[0], Verdict.LOST)

    def test_nothing_before_and_nothing_after(self):
        none = series(0, 0, 0)
        self.assertEqual(self.judge(none, none)[0], Verdict.PASS)
        self.assertEqual(self.judge(none, series(10, 10, 10))[0], Verdict.FAIL)

    def test_table_has_medians_ranges_and_ratio(self):
        rows = measure.compare({"map": series(5000, 5000, 5010)}, {"map": series(6000, 6000, 6000)})
        text = measure.table(rows, ["base", "step 3"])
        for words in ("step 3", "500.00  500.00..501.00", "1.2000", "fail: 100.00 instructions more"):
            self.assertIn(words, text)


class LanesTest(unittest.TestCase):
    """The lanes of this repository."""

    def test_benchmarks_are_no_part_of_a_plain_run(self):
        found = lane.benches(TOP)
        self.assertTrue(found)
        self.assertFalse(set(found) & set(lane.default(TOP)))

    def test_each_counts_instructions_on_one_processor(self):
        for name in lane.benches(TOP):
            words = lane.read(TOP, name).qemu
            with self.subTest(name):
                self.assertEqual(words[words.index("-icount") + 1], "shift=0,sleep=off")
                self.assertEqual(words[words.index("-smp") + 1], "1")


class CommandTest(unittest.TestCase):
    """ci/bench on the fake kernel, whose boot.sh prints the counts."""

    def setUp(self):
        self.fixture = Fixture(lanes=())
        self.addCleanup(self.fixture.close)
        (self.fixture.top / "ci/lanes/bench-fake.toml").write_text(
            'default = false\nsizes = ["fake"]\n' + LANE)
        (self.fixture.top / "ci/proofs.toml").write_text("")
        # the fake kernel's second case fails until it is mended, and a benchmark is no test
        self.fixture.mend()
        self.fixture.patch("measure", "boot.sh", "1..2\n", "1..2\n" + counts(500, 500, 500))

    def bench(self, *words):
        return self.fixture.run(*words, script="ci/bench")

    def step(self, old, new):
        old, new = counts(old, old, old), counts(new, new, new)
        self.fixture.patch("change", "boot.sh", old, new)

    @slow
    def test_not_dearer(self):
        self.step(500, 490)
        code, text = self.bench("--step", "2..3")
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"map +50\.00 +50\.00\.\.50\.00 +49\.00 .* 0\.9800 +instructions +pass")
        self.assertIn("verdict: pass", (self.fixture.top / "out/bench.txt").read_text())
        told = json.loads((self.fixture.top / "out/bench.json").read_text())
        self.assertEqual(told["steps"], [2, 3])
        row = told["lanes"]["bench-fake"][0]
        self.assertEqual((row["name"], row["before"], row["after"], row["ratio"], row["verdict"]),
                         ("map", 50.0, 49.0, 0.98, "pass"))

    def test_dearer(self):
        self.step(500, 510)
        code, text = self.bench("--step", "2..3")
        self.assertEqual(code, 1, text)
        self.assertIn("fail: 1.00 instructions more a call", text)

    @slow
    def test_dearer_as_allowed(self):
        old = counts(500, 500, 500)
        self.fixture.patch("change", "boot.sh", old, counts(510, 510, 510) + "# allowed map 1.05\n")
        code, text = self.bench("--step", "2..3")
        self.assertEqual(code, 0, text)
        self.assertIn("pass: 1.05 times are allowed", text)

    @slow
    def test_a_repeat_keeps_builds_and_boots(self):
        self.step(500, 490)
        first = self.bench("--step", "2..3")
        code, text = self.bench("--step", "2..3")
        self.assertEqual((code, text.count("(kept)")), (0, 4), text)
        self.assertEqual(*(t[t.index("bench-fake: step 2 ("):] for t in (first[1], text)))

    @slow
    def test_an_image_that_was_pruned_is_built_again(self):
        self.step(500, 490)
        self.bench("--step", "2..3")
        for image in self.fixture.directory.glob("cache/*/artifacts/*/image"):
            image.unlink()
        code, text = self.bench("--step", "2..3")
        self.assertEqual((code, text.count("(kept)")), (0, 2), text)

    @slow
    def test_sizes(self):
        self.fixture.patch("grow", "main.c", "return 0;", "return __builtin_popcountl((long)main);")
        code, text = self.bench("--step", "2..3")
        self.assertEqual(code, 0, text)
        self.assertIn("fake, bloat-o-meter:", text)
        self.assertRegex(text, r"(?m)^main +\d+ +\d+ +\+\d+$")

    @slow
    def test_a_boot_that_fails_cannot_be_judged(self):
        self.fixture.patch("break", "boot.sh", "ok 1 always", "not ok 1 always")
        code, text = self.bench("--step", "2..3")
        self.assertEqual(code, 125, text)
        self.assertIn("step 3 bench-fake: boot:main fail: unit/always fails", text)
        self.assertIn("again: ci/run --no-static --again --lane bench-fake --step 3 --boot main", text)

    @slow
    def test_a_step_that_does_not_build_cannot_be_judged(self):
        self.fixture.patch("break", "main.c", "return 0;", "return 0")
        code, text = self.bench("--step", "2..3")
        self.assertEqual(code, 125, text)
        self.assertIn("build fail", text)

    @slow
    def test_nothing_measured_cannot_be_judged(self):
        self.fixture.patch("stop", "boot.sh", counts(500, 500, 500), "")
        code, text = self.bench("--step", "2..3")
        self.assertEqual(code, 125, text)

    def test_wrong_use(self):
        for words, said in ((["--step", "0"], "step 0 against itself"), (["--step", "9"], "steps 0..2"),
                            (["--lane", "nope"], "no lane 'nope'")):
            code, text = self.bench(*words)
            self.assertEqual(code, 1, text)
            self.assertIn(said, text)
            self.assertNotIn("Traceback", text)


if __name__ == "__main__":
    unittest.main()
