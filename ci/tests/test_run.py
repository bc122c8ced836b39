# SPDX-License-Identifier: GPL-2.0
"""ci/run on the fake kernel: good series, seeded defects, wrong use, kills."""

import json
import random
import signal
import subprocess
import time
import unittest

from fixture import Fixture, git
from marks import slow


class RunTest(unittest.TestCase):
    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)

    def assertCaught(self, step, gate, *words):
        """The run fails, and one line names step, gate and the words."""
        code, text = self.fixture.run()
        self.assertEqual(code, 1, text)
        line = next((l for l in text.splitlines() if l.startswith("fail:") and gate in l), "")
        self.assertIn(f"step {step} ", line, text)
        for word in words:
            self.assertIn(word, line)
        self.assertIn(f"patch: {self.fixture.patches[step - 1]}", text)
        self.assertTrue(text.strip().endswith("verdict: fail"), text)

    # --- what passes

    def test_good_series_passes_and_a_repeat_keeps_every_verdict(self):
        self.fixture.mend()
        self.fixture.patch("comment only", "main.c", "return 0;", "return 0; /* done */")
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("proof of step 1: fake/main/unit/mended: fail 0, pass 1-2", text)
        self.assertIn("fetching v7.3 from", text)  # what scripts/base says while it works
        code, again = self.fixture.run()
        self.assertEqual(code, 0, again)
        self.assertEqual(again.count("(kept)"), 6, again)  # 3 builds, 3 boots
        page = (self.fixture.top / "out/index.html").read_text()
        self.assertIn('<td class="pass">', page)
        self.assertIn("ok 2 step-1", (self.fixture.top / "out/results.ktap").read_text())
        told = json.loads((self.fixture.top / "out/results.json").read_text())["judgements"]
        self.assertEqual([(j["step"], j["lane"], j["verdict"]) for j in told if j["gate"] == "boot:main"],
                         [(n, "fake", "pass") for n in range(3)])

    @slow
    def test_message_only_change_judges_nothing_again(self):
        path = self.fixture.mend()
        self.fixture.run()
        path.write_text(path.read_text().replace("A reason.", "A better reason."))
        code, text = self.fixture.run()
        self.assertEqual((code, text.count("(kept)")), (0, 4), text)

    @slow
    def test_why_names_the_input_that_changed(self):
        self.fixture.mend()
        self.fixture.run()
        lane = self.fixture.top / "ci/lanes/fake.toml"
        lane.write_text(lane.read_text().replace("console=fake", "console=other"))
        _, text = self.fixture.run("--why")
        self.assertIn("boot 0/fake/main: changed: command", text)

    @slow
    def test_boot_that_is_due_at_the_ends_only(self):
        self.fixture.mend()
        for number in (2, 3):
            self.fixture.patch(f"comment {number}", "main.c", "return 0;", f"return 0; /* {number} */")
        lane = self.fixture.top / "ci/lanes/fake.toml"
        lane.write_text(lane.read_text() + 'at = "ends"\n')
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("skip: step 2 fake boot:main: is due on the base, and at the end of topics", text)
        self.assertIn("proof of step 1: fake/main/unit/mended: fail 0, pass 1, pass 3", text)
        code, text = self.fixture.run("--step", "2", "--boot", "main")
        self.assertIn("step 2 fake: boot main pass", text)
        lane.write_text(lane.read_text().replace('at = "ends"', 'topics = ["fake"]'))
        code, text = self.fixture.run()
        self.assertIn("step 2 fake: boot main pass", text)
        self.fixture.patch("comment 4", "main.c", "/* 3 */", "/* 4 */", topic="other")
        lane.write_text(lane.read_text().replace('topics = ["fake"]', 'topics = ["other"]'))
        code, text = self.fixture.run()
        self.assertIn("skip: step 2 fake boot:main: is due in other, and at the end of topics", text)
        self.assertIn("step 3 fake: boot main pass", text)
        lane.write_text(lane.read_text().replace('topics = ["other"]', 'at = "never"'))
        code, text = self.fixture.run()
        self.assertEqual(code, 1)
        self.assertIn('ci/lanes/fake.toml: boot main: at = \'never\'', text)

    @slow
    def test_boot_that_is_due_on_the_last_step(self):
        self.fixture.mend()
        for number, topic in (2, "fake"), (3, "more"):
            self.fixture.patch(f"comment {number}", "main.c", "return 0;",
                               f"return 0; /* {number} */", topic=topic)
        lane = self.fixture.top / "ci/lanes/fake.toml"
        lane.write_text(lane.read_text() + 'at = "last"\n')
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("skip: step 2 fake boot:main: is due on the last step", text)
        self.assertIn("proof of step 1: fake/main/unit/mended: fail 0, pass 1, pass 3", text)

    @slow
    def test_devicetree_is_an_input_of_its_boot(self):
        self.fixture.mend()
        lane, tree = (self.fixture.top / "ci/lanes" / n for n in ("fake.toml", "more.dtsi"))
        lane.write_text(lane.read_text() + 'devicetree = "more.dtsi"\n')
        code, text = self.fixture.run()
        self.assertEqual(code, 1)
        self.assertIn("ci/lanes/fake.toml: no such file: ci/lanes/more.dtsi", text)
        tree.write_text("/ { node { }; };\n")
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        tree.write_text("/ { node { };\n};\n")
        _, text = self.fixture.run("--why")
        self.assertIn("boot 0/fake/main: changed: devicetree", text)
        tree.write_text("/ { node { } };\n")
        code, text = self.fixture.run()
        self.assertEqual(code, 1)
        self.assertIn("ci/lanes/more.dtsi:1.", text)

    @slow
    def test_modules_of_the_kernel_that_a_step_has_go_into_the_guest(self):
        self.fixture.mend()
        lane = self.fixture.top / "ci/lanes/fake.toml"
        lane.write_text('kernel_modules = ["fake/a.ko", "fake/left-over.ko"]\n'
                        + lane.read_text().replace('["image"]', '["image", "modules"]'))
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        cache = self.fixture.directory / "cache/linux-dmabuf-series"
        self.assertEqual({p.name for p in cache.glob("artifacts/*/modules/*")}, {"a.ko"})

    def _with_modules(self):
        """Two test modules in the lane, of which the boot loads the first; their directory."""
        self.fixture.mend()
        self.fixture.patch("comment", "main.c", "return 0;", "return 0; /* 2 */")
        lane, needs = (self.fixture.top / "ci" / n for n in ("lanes/fake.toml", "guest/needs.toml"))
        lane.write_text('modules = ["ci:first", "ci:other"]\n' + lane.read_text())
        needs.write_text(needs.read_text().replace("[unit]", '[unit]\nmodules = ["first"]'))
        for name in "first", "other":
            directory = self.fixture.top / "ci/guest/modules" / name
            directory.mkdir(parents=True)
            (directory / "Kbuild").write_text(f"obj-m := {name}.o\n")
            (directory / f"{name}.c").write_text(f"{name}\n")
        return self.fixture.top / "ci/guest/modules"

    def _built_modules(self):
        cache = self.fixture.directory / "cache/linux-dmabuf-series"
        return sorted(p.name for p in cache.glob("artifacts/*/modules/*"))

    @slow
    def test_modules_are_built_for_the_boots_that_load_them(self):
        self._with_modules()
        lane = self.fixture.top / "ci/lanes/fake.toml"
        lane.write_text(lane.read_text() + 'at = "last"\nconfirms = true\n')
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertEqual(self._built_modules(), ["first.ko"])
        # a step that has no boot in a plain run
        code, text = self.fixture.run("--step", "0", "--boot", "main")
        self.assertIn("step 0 fake: boot main pass", text)
        self.assertEqual(self._built_modules(), ["first.ko"] * 2)

    @slow
    def test_an_edit_of_a_module_is_an_input_of_the_boots_that_load_it(self):
        modules = self._with_modules()
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        (modules / "other/other.c").write_text("edited\n")
        _, text = self.fixture.run()
        for step in range(3):
            self.assertIn(f"step {step} fake: build pass (kept)", text)
            self.assertIn(f"step {step} fake: boot main pass (kept)", text)
        (modules / "first/first.c").write_text("edited\n")
        _, text = self.fixture.run("--why")
        self.assertIn("build 2/fake: nothing changed\n", text)
        self.assertIn("module 2/fake/first: changed: sources\n", text)
        self.assertIn("boot 2/fake/main: changed: modules\n", text)
        (modules / "first/first.c").write_text("first\n")
        _, text = self.fixture.run()
        self.assertIn("step 1 fake: boot main pass (kept)", text)

    @slow
    def test_a_header_is_an_input_of_the_modules_that_include_it(self):
        modules = self._with_modules()
        (modules / "first/first.c").write_text('#include "../shared.h"\n')
        (modules / "shared.h").write_text("first\n")
        self.assertEqual(self.fixture.run()[0], 0)
        built = self.fixture.directory / "cache/linux-dmabuf-series/lanes/fake/modules/shared.h"
        self.assertEqual(built.read_text(), "first\n")
        (modules / "shared.h").write_text("edited\n")
        _, text = self.fixture.run("--why")
        self.assertIn("module 2/fake/first: changed: sources\n", text)
        self.assertEqual(built.read_text(), "edited\n")

    @slow
    def test_steps_of_one_kernel_keep_the_modules_of_each_other(self):
        self._with_modules()
        lane, needs = (self.fixture.top / "ci" / n for n in ("lanes/fake.toml", "guest/needs.toml"))
        text = lane.read_text().replace('["image"]', '["image", "modules"]')
        lane.write_text('kernel_modules = ["fake/a.ko"]\n' + text)
        self.assertEqual(self.fixture.run()[0], 0)
        image = next((self.fixture.directory / "cache").rglob("artifacts/*/modules/first.ko")).parent
        # another boot needs the other one, and the kernel is built again
        needs.write_text(needs.read_text().replace('modules = ["first"]', 'modules = ["other"]'))
        self.assertEqual(self.fixture.run()[0], 0)
        self.assertEqual({p.name for p in image.iterdir()}, {"a.ko", "first.ko", "other.ko"})

    @slow
    def test_a_module_that_does_not_build_is_tried_once(self):
        modules = self._with_modules()
        (modules / "first/first.c").write_text("wrong\n")
        code, text = self.fixture.run()
        self.assertEqual((code, self._built_modules()), (0, []), text)
        _, text = self.fixture.run()
        self.assertIn("step 2 fake: build pass (kept)", text)

    def test_a_symbol_that_no_kconfig_file_knows_is_refused(self):
        self.fixture.mend()
        fragment = self.fixture.top / "kconfig-fragments/fake.config"
        fragment.write_text(fragment.read_text() + "# CONFIG_FAEK is not set\n")
        code, text = self.fixture.run()
        self.assertEqual(code, 1, text)
        self.assertIn("kconfig-fragments/fake.config: no Kconfig file knows CONFIG_FAEK\n", text)

    @slow
    def test_lane_that_is_due_at_the_ends_of_topics_only(self):
        other = Fixture(lanes=("fake", "second"))
        self.addCleanup(other.close)
        lane = other.top / "ci/lanes/second.toml"
        # a kernel of its own: equal ones share their verdicts
        (other.top / "kconfig-fragments/second.config").write_text("CONFIG_SECOND=y\n")
        lane.write_text('at = "ends"\n' + lane.read_text().replace(
            '"fake.config"', '["fake.config", "second.config"]'))
        other.mend()
        other.patch("comment 2", "main.c", "return 0;", "return 0; /* 2 */")
        other.patch("comment 3", "main.c", "return 0;", "return 0; /* 3 */", topic="more")
        other.patch("comment 4", "main.c", "return 0;", "return 0; /* 4 */", topic="more")
        code, text = other.run()
        self.assertEqual(code, 0, text)
        self.assertIn("skip: step 0-1,3 second build: the lane is due on the last step of each topic", text)
        self.assertIn("skip: step 2,4 second diagnostics: the step before was not built", text)
        self.assertEqual([k for k in range(5) if f"step {k} second: boot main pass" in text], [2, 4])
        self.assertIn("ci/run --lane second --step 1", (other.top / "out/index.html").read_text())
        # the proof is of cases in any lane
        self.assertIn("proof of step 1: fake/main/unit/mended: fail 0, pass 1-4", text)
        self.assertIn("proof of step 1: second/main/unit/mended: pass 2, pass 4", text)
        # a lane alone is due as before, with steps at each of them
        code, text = other.run("--lane", "second")
        self.assertIn("skip: step 0-1,3 second build", text)
        code, text = other.run("--lane", "second", "--step", "1..2")
        self.assertEqual(code, 0, text)
        self.assertIn("step 1 second: boot main pass", text)
        self.assertIn("skip: step 1 second diagnostics: the step before was not built", text)
        self.assertNotIn("step 2 second diagnostics", text)
        lane.write_text(lane.read_text().replace('"ends"', '"last"'))
        code, text = other.run()
        self.assertEqual(code, 0, text)
        self.assertIn("skip: step 2-3 second build: the lane is due on the last step, and where", text)
        lane.write_text(lane.read_text().replace('"last"', '"first"'))
        code, text = other.run()
        self.assertEqual((code, text), (1, "ci/run: ci/lanes/second.toml: at = 'first' is not "
                                        '"every" or "ends" or "last"\n'))

    @slow
    def test_proof_in_a_lane_that_is_due_at_the_ends_of_topics(self):
        self.fixture.patch("comment 1", "main.c", "return 0;", "return 0; /* 1 */")
        self.fixture.patch("mend late", "boot.sh", "not ok 2 mended", "ok 2 mended",
                           'cases = ["second/main/unit/mended"]', topic="more")
        self.fixture.patch("comment 3", "main.c", "return 0;", "return 0; /* 3 */", topic="more")
        lane = self.fixture.top / "ci/lanes/second.toml"
        first = (self.fixture.top / "ci/lanes/fake.toml").read_text()
        lane.write_text('at = "ends"\n' + first)
        (self.fixture.top / "ci/known.toml").write_text(
            '[[known]]\ncase = "fake/main/unit/mended"\nreason = "seeded"\nuntil = "v7.3"\n')
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("proof of step 2: second/main/unit/mended: fail 1, pass 3", text)
        self.assertNotIn("skip: step 2 series proof", text)

    @slow
    def test_fragments_that_override_each_other(self):
        self.fixture.mend()
        fragments, lane = (self.fixture.top / n for n in ("kconfig-fragments", "ci/lanes/fake.toml"))
        (fragments / "more.config").write_text("CONFIG_FAKE=n\nCONFIG_MORE=y\n")
        lane.write_text(lane.read_text().replace('"fake.config"', '["fake.config", "more.config"]'))
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        cache = self.fixture.directory / "cache/linux-dmabuf-series"
        self.assertEqual((cache / "lanes/fake/source/objects/.config").read_text(),
                         "CONFIG_FAKE=y\n\nCONFIG_FAKE=n\nCONFIG_MORE=y\n")
        (fragments / "more.config").write_text("CONFIG_FAKE=n\n")
        _, text = self.fixture.run("--why")
        self.assertIn("build 0/fake: changed: fragment", text)
        (fragments / "more.config").unlink()
        self.assertRefused(1, "ci/lanes/fake.toml: no such file: kconfig-fragments/more.config")

    @slow
    def test_two_lanes_are_data(self):
        other = Fixture(lanes=("fake", "second"))
        self.addCleanup(other.close)
        other.mend()
        code, text = other.run()
        self.assertEqual(code, 0, text)
        self.assertIn("step 1 second: boot main pass", text)

    # --- seeded defects: each caught at its step by its gate

    @slow
    def test_patch_that_does_not_apply(self):
        self.fixture.mend()
        path = self.fixture.patch("does not apply", "main.c", "return 0;", "return 1;")
        path.write_text(path.read_text().replace("int main(void)", "int niam(void)"))
        self.assertCaught(2, "apply", "does not apply")

    @slow
    def test_patch_that_does_not_build(self):
        self.fixture.mend()
        self.fixture.patch("break the build", "main.c", "return 0;", "return 0")
        self.fixture.patch("mend the build", "main.c", "return 0\n", "return 0;\n")
        self.assertCaught(2, "build", "error:")

    @slow
    def test_new_warning(self):
        self.fixture.mend()
        self.fixture.patch("warn", "main.c", "return 0;", "int unused;\n\treturn 0;")
        self.fixture.patch("keep warning", "main.c", "return 0;", "return 0 + 0;")
        self.assertCaught(2, "w1", "unused variable")

    @slow
    def test_warn_on_the_console(self):
        self.fixture.mend()
        self.fixture.patch("splat", "boot.sh", 'echo "@@ done" >&3',
                           'echo "[    1.000000] WARNING: kernel/x.c:1 at f"\necho "@@ done" >&3')
        self.assertCaught(2, "boot:main", "splat: WARNING: kernel/x.c")

    def test_failing_test(self):
        self.fixture.mend()
        self.fixture.patch("break a case", "boot.sh", "ok 1 always", "not ok 1 always")
        self.assertCaught(2, "boot:main", "unit/always fails")

    @slow
    def test_case_that_goes_missing(self):
        self.fixture.mend()
        self.fixture.patch("lose a case", "boot.sh", "ok 2 mended\n", "")
        self.assertCaught(2, "boot:main", "unit")

    def test_proof_that_proves_nothing(self):
        self.fixture.patch("no proof", "main.c", "return 0;", "return 0 ;",
                           'cases = ["fake/main/unit/always"]')
        self.fixture.patch("mend", "boot.sh", "not ok 2 mended", "ok 2 mended",
                           'cases = ["fake/main/unit/mended"]')
        self.assertCaught(1, "proof", "passes before the patch and proves nothing")

    @slow
    def test_case_that_a_patch_adds(self):
        self.fixture.mend()
        self.fixture.patch("add a case", "boot.sh", "1..2\nok 1 always\n", "1..3\nok 3 added\nok 1 always\n",
                           'adds = ["fake/main/unit/added"]')
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("proof of step 2: fake/main/unit/added: pass 2", text)

    @slow
    def test_crash_that_a_patch_mends(self):
        boot = self.fixture.linux / "boot.sh"
        boot.write_text(boot.read_text().replace(
            'echo "@@ end unit', 'echo "[    1.0] Oops: seeded"; exit\necho "@@ end unit'))
        git(self.fixture.linux, "commit", "-q", "-a", "-m", "Linux 7.3")
        git(self.fixture.linux, "tag", "-f", "v7.3")
        self.fixture.patch("mend the crash", "boot.sh", 'echo "[    1.0] Oops: seeded"; exit\n', "",
                           """
                           cases = ["fake/main/end"]
                           splats = ["^Oops: seeded"]
                           """)
        self.fixture.mend()
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("step 0 fake: boot main pass", text)
        self.assertIn("proof of step 1: fake/main/end: fail 0, pass 1-2", text)
        self.assertIn("proof of step 2: fake/main/unit/mended: fail 0-1, pass 2", text)

    @slow
    def test_crash_that_nobody_mends(self):
        self.fixture.mend()
        self.fixture.patch("crash", "boot.sh", 'echo "@@ end unit', 'exit; echo "@@ end unit')
        self.assertCaught(2, "boot:main", "the guest died before its tests ended")

    @slow
    def test_case_said_to_be_added_that_was_there(self):
        self.fixture.mend()
        self.fixture.patch("add nothing", "main.c", "return 0;", "return 0 ;",
                           'adds = ["fake/main/unit/always"]')
        self.assertCaught(2, "proof", "passes before the patch and proves nothing")

    # --- static gates

    def stub(self, text):
        """A scripts/check: $out is the file for its results, $part "cheap" or "costly"."""
        check = self.fixture.top / "scripts/check"
        check.write_text("#!/bin/sh\nout=$2 part=costly\ncase $* in *message*) part=cheap; esac\n"
                         "say() { printf '[{\"step\": 1, \"lane\": \"static\", \"gate\": \"%s\", "
                         '"verdict": "%s", "reason": "%s", "log": "", "command": "again", '
                         '"seconds": 1, "cpu": 0, "cached": false}]\' "$@" >"$out"; }\n'
                         + text)

    @slow
    def test_cheap_gates_are_judged_before_the_first_build(self):
        self.fixture.patch("adds a case.", "boot.sh", "not ok 2 mended", "ok 2 mended",
                           'cases = ["*/main/unit/mended"]')
        code, text = self.fixture.run(static=True)
        self.assertEqual(code, 1, text)
        self.assertLess(text.index("step 1 static: message fail: the message: the subject"),
                        text.index("step 0 fake: build"))
        table = (self.fixture.top / "out/results.ktap").read_text()
        for gate in ("message", "checkpatch", "maintainers", "kernel-doc", "coccinelle"):
            self.assertIn(f" static.{gate}", table)
        for gate in ("w1", "sparse"):
            self.assertIn(f" fake.{gate}", table)
            self.assertNotIn(f" static.{gate}", table)

    @slow
    def test_costly_gates_are_judged_beside_the_walk(self):
        begun = self.fixture.directory / "begun"
        self.fixture.patch("mend", "boot.sh", "not ok 2 mended\nEND",
                           f"END\nfor n in $(seq 100); do [ -e {begun} ] || sleep 0.1; done\n"
                           f"[ -e {begun} ] || printf 'not ' >&3\necho 'ok 2 mended' >&3",
                           'cases = ["*/main/unit/mended"]')
        self.stub(f"[ $part = cheap ] || touch {begun}\nsay $part pass ''")
        code, text = self.fixture.run(static=True)
        self.assertEqual(code, 0, text)

    @slow
    def test_what_a_gate_says_decides_and_not_the_words_of_its_reason(self):
        self.fixture.mend()
        for verdict, words, expected in (("lost", "the tool was killed", 125),
                                         ("skip", "could not be judged", 0), ("fail", "", 1)):
            self.stub(f'say $part {verdict} "{words}"')
            code, text = self.fixture.run(static=True)
            self.assertEqual(code, expected, text)
            self.assertIn(f"{verdict}: step 1 static costly: {words}", text)

    @slow
    def test_gates_that_give_no_results_are_lost(self):
        self.fixture.mend()
        self.stub("[ $part = cheap ] && say cheap pass ''; echo 'its last words' >&2; exit 125")
        code, text = self.fixture.run(static=True)
        self.assertEqual(code, 125, text)
        self.assertIn("lost: step 1 static check: scripts/check ended with 125: its last words", text)

    # --- what cannot be judged

    @slow
    def test_hang_is_lost_not_failed(self):
        self.fixture.patch("hang", "boot.sh", 'echo "@@ begin unit" >&3', "exec sleep 60")
        lane = self.fixture.top / "ci/lanes/fake.toml"
        lane.write_text(lane.read_text().replace("silence = 20", "silence = 1"))
        code, text = self.fixture.run("--step", "1")
        self.assertEqual(code, 125, text)
        self.assertIn("silent for 1 s", text)

    @slow
    def test_flaky_is_not_a_pass(self):
        seen = self.fixture.directory / "seen"
        self.fixture.patch("flake", "boot.sh", "not ok 2 mended\nEND",
                           f"END\n[ -e {seen} ] || printf 'not ' >&3; touch {seen}\n"
                           "echo 'ok 2 mended' >&3")
        code, text = self.fixture.run("--step", "1")
        self.assertEqual(code, 125, text)
        self.assertIn("verdict: flaky", text)

    # --- wrong use

    def assertRefused(self, expected, words, *arguments):
        code, text = self.fixture.run(*arguments)
        self.assertEqual(code, expected, text)
        self.assertIn(words, text)
        self.assertNotIn("Traceback", text)

    def test_unknown_lane(self):
        self.assertRefused(1, "no lane 'nope'; there are: fake", "--lane", "nope")

    def test_step_out_of_range(self):
        self.fixture.mend()
        self.assertRefused(1, "--step 9: the series has the steps 0..1", "--step", "9")
        self.assertRefused(1, "--step x: not K, K.., K..M or ..M", "--step", "x")

    def test_unknown_topic_boot_and_option(self):
        self.assertRefused(1, "no topic 'nope'", "--topic", "nope")
        self.assertRefused(1, "no boot 'nope'; there are: main", "--boot", "nope")
        self.assertRefused(1, "--nope", "--nope")

    def test_output_that_cannot_be_written(self):
        where = self.fixture.directory / "file"
        where.write_text("")
        for words in (["--output", str(where)], ["--output", f"{where}/x"]):
            self.assertRefused(125, "the report cannot be written to", *words)
        self.assertFalse((self.fixture.directory / "cache").exists(), "work was done before")

    @slow
    def test_no_emulator(self):
        self.fixture.mend()
        (self.fixture.top / "ci/lanes/fake-qemu").unlink()
        self.assertRefused(125, "which lane fake boots with")

    def test_full_disk_before(self):
        out = self.fixture.top / "out"
        out.mkdir(exist_ok=True)
        (out / "outcome.json").write_text("{}")
        self.fixture.environment["SERIES_NEEDED_BYTES"] = str(1 << 60)
        self.assertRefused(125, "GiB free")
        self.assertTrue((out / "outcome.json").exists(), "what the last run left is still there")

    @slow
    def test_tree_that_is_not_the_base(self):
        makefile = self.fixture.linux / "Makefile"
        subprocess.run(["git", "-C", self.fixture.linux, "checkout", "-q", "v7.3"], check=True)
        makefile.write_text(makefile.read_text().replace("PATCHLEVEL = 3", "PATCHLEVEL = 2"))
        subprocess.run("git add -A && git -c user.name=x -c user.email=x commit -q -m x && "
                       "git tag -f v7.3", shell=True, check=True, cwd=self.fixture.linux,
                       capture_output=True)
        self.assertRefused(125, "7.2")

    def test_series_that_names_no_file(self):
        (self.fixture.top / "series").write_text("# base: v7.3\n# topic: t\nt/0001-x.patch\n")
        self.assertRefused(1, "series:3: no such patch: patches/t/0001-x.patch")

    def test_patch_without_proof_is_refused(self):
        self.fixture.mend()
        (self.fixture.top / "ci/proofs.toml").write_text("")
        self.assertRefused(1, "ci/proofs.toml: no table for fake/fake-mend-the-case")


class KillTest(unittest.TestCase):
    """SIGKILL at any point: the next run goes on and says the same."""

    @slow
    def test_killed_runs_end_in_the_same_table(self):
        fixture = Fixture()
        self.addCleanup(fixture.close)
        fixture.mend()
        for number in range(4):
            fixture.patch(f"number {number}", "main.c", "return 0", f"return {number} * 0")
            fixture.patch(f"undo {number}", "main.c", f"return {number} * 0", "return 0")
        whole = Fixture()
        self.addCleanup(whole.close)
        whole.mend()
        for number in range(4):
            whole.patch(f"number {number}", "main.c", "return 0", f"return {number} * 0")
            whole.patch(f"undo {number}", "main.c", f"return {number} * 0", "return 0")
        start = time.monotonic()
        code, _ = whole.run()
        length = time.monotonic() - start
        self.assertEqual(code, 0)
        chance = random.Random(7)
        for _ in range(8):
            run = subprocess.Popen([fixture.top / "ci/run", "--no-static"], cwd=fixture.top,
                                   env=fixture.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.05, length / 2))
            run.send_signal(signal.SIGKILL)
            run.wait()
        code, text = fixture.run()
        self.assertEqual(code, 0, text)
        self.assertEqual(fixture.table(), whole.table())

    @slow
    def test_killed_while_git_held_its_locks(self):
        fixture = Fixture()
        self.addCleanup(fixture.close)
        fixture.mend()
        self.assertEqual(fixture.run()[0], 0)
        trees = list((fixture.directory / "cache/linux-dmabuf-series/linux.git/worktrees").iterdir())
        self.assertTrue(trees)
        for tree in trees:
            for name in ("index.lock", "HEAD.lock"):
                (tree / name).touch()
        fixture.patch("comment", "main.c", "return 0;", "return 0; /* done */")
        code, text = fixture.run()
        self.assertEqual(code, 0, text)


if __name__ == "__main__":
    unittest.main()
