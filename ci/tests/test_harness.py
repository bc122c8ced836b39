# SPDX-License-Identifier: GPL-2.0
"""The parts of ci/harness on golden inputs."""

import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

import fixture  # noqa: E402
from marks import slow  # noqa: E402

from harness import added, coverage, devicetree, guest, image, needs, prune, results  # noqa: E402
from lib import checkout, lane, series, store  # noqa: E402
from lib.command import CannotJudge, Failed, Missing  # noqa: E402
from lib.kernel import diagnostics, kconfig, sources  # noqa: E402
from lib.series import Patch  # noqa: E402
from harness.paths import Paths  # noqa: E402
from harness.trees import Trees  # noqa: E402
from lib.verdict import Verdict, overall, worst  # noqa: E402

CASES = pathlib.Path(__file__).with_name("cases")


class SayTest(unittest.TestCase):
    def test_remarks_and_results_in_the_order_of_the_calls(self):
        code = "from lib.command import say; print(1); say('2'); print(3)"
        for more in ({}, {"PYTHONUNBUFFERED": "1"}):
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=fixture.TOP / "scripts", text=True, check=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **more})
            self.assertEqual(done.stdout, "1\n2\n3\n", more)


class ResultsTest(unittest.TestCase):
    """cases/NAME.results: what a guest sent; expectations beside it here."""

    @classmethod
    def setUpClass(cls):
        paths = Paths()
        cls.parser = results.parser(Trees(paths), paths)

    def read(self, name):
        return results.read(self.parser, (CASES / f"{name}.results").read_text())

    def test_kselftest_and_nested_documents(self):
        runs, done = self.read("nested")
        self.assertTrue(done)
        self.assertEqual(runs["heaps"]["cases"], {"heaps/one": "pass", "heaps/two": "skip",
                                                  "heaps/three": "fail"})
        self.assertEqual(runs["heaps"]["reasons"]["heaps/two"], "no device")
        self.assertEqual(runs["nest"]["cases"], {"nest/suite/a": "pass", "nest/suite/b": "fail",
                                                 "nest/other": "pass"})
        self.assertEqual((runs["heaps"]["rc"], runs["heaps"]["seconds"]), (1, 2.5))

    def test_a_guest_that_dies_leaves_a_test_without_end(self):
        runs, done = self.read("died")
        self.assertFalse(done)
        self.assertIsNone(runs["last"]["rc"])
        self.assertEqual(runs["last"]["cases"]["last/first"], "pass")

    def test_a_missing_result_is_a_failure(self):
        runs, _ = self.read("missing")
        self.assertIn("fail", runs["plan"]["cases"].values())

    def test_a_result_beyond_the_plan_is_a_failure(self):
        runs, _ = self.read("beyond")
        self.assertEqual(runs["plan"]["cases"],
                         {"plan/one": "fail", "plan/two": "pass", "plan/three": "fail"})
        self.assertEqual(runs["plan"]["reasons"]["plan/three"], "result 3 is beyond the plan of 2")
        self.assertEqual(runs["nest"]["cases"]["nest/suite"], "fail")


class FramesTest(unittest.TestCase):
    """What only looks like a line of a frame is a test's output."""

    def test_lines_that_are_none(self):
        for line in ("@@ end", "@@ end unit", "@@ end unit 0x", "@@ end unit -1 0.1", "@@ end unit 0 1.",
                     "@@ end other 0 0.1", "@@ end unit 0 0.1 more", "@@ begin other", "@@ done", "@@"):
            text = f"@@ begin unit\nok 1 a\n{line}\nok 2 b\n@@ end unit 4 0.25\n@@ done\n"
            with self.subTest(line):
                self.assertEqual(results.frames(text),
                                 ({"unit": (f"ok 1 a\n{line}\nok 2 b", 4, 0.25)}, True))

    def test_a_guest_that_dies_in_a_line(self):
        whole = "@@ begin unit\nok 1 a\n@@ end unit 0 0.25\n@@ done\n"
        for length in range(len(whole) - 1):
            found, done = results.frames(whole[:length])
            self.assertEqual(done, whole[:length].endswith("@@ done"))
            self.assertTrue(set(found) <= {"unit", "un", "u", "uni"}, whole[:length])

    def test_a_carriage_return_and_other_line_ends(self):
        self.assertEqual(results.frames("@@ begin unit\r\na\fb\r\n@@ end unit 0 1\r\n@@ done\r\n"),
                         ({"unit": ("a\fb", 0, 1.0)}, True))


class DiagnosticsTest(unittest.TestCase):
    def test_positions_and_paths_go(self):
        text = ("/src/a/b.c: In function 'f':\n"
                "/src/a/b.c:12:6: warning: unused variable \u2018x\u2019 [-Wunused-variable]\n"
                "   12 |  int x;\n/src/a/b.c:9:1: note: declared here\n")
        self.assertEqual(diagnostics.of_tool(text, "/src"),
                         {"a/b.c: warning: unused variable 'x' [-Wunused-variable]": 1})

    def test_tools(self):
        text = ("WARNING: modpost: missing MODULE_DESCRIPTION() in lib/x.o\n"
                "kernel/y.o: warning: objtool: f+0x1: unreachable\nhello: warning: no\n")
        self.assertEqual(diagnostics.of_make(text), {
            "WARNING: modpost: missing MODULE_DESCRIPTION() in lib/x.o": "",
            "kernel/y.o: warning: objtool: f+0x1: unreachable": "kernel/y.o"})

    def test_a_line_is_new_that_an_object_says_more_often(self):
        line, header = "a.c: warning: w", "h.h: warning: w"
        before = diagnostics.peak([{line: 1, header: 1}])
        self.assertEqual(diagnostics.new(before, diagnostics.peak([{line: 2}, {header: 1}])), [line])
        # one more object includes the header
        self.assertEqual(diagnostics.new(before, diagnostics.peak([{header: 1}, {header: 1}])), [])
        self.assertEqual(diagnostics.new({}, {line: 2}), [line, line])

    def test_sparse_is_compared_where_it_has_read_both(self):
        self.assertEqual(diagnostics.new_of_sparse({"a/": {}}, {"a/": {"w": 1}, "b/": {"v": 1}}), ["w"])

    def test_store_follows_rebuilds(self):
        with tempfile.TemporaryDirectory() as name:
            source, kept = pathlib.Path(name) / "src", pathlib.Path(name) / "d"
            for directory in (source / "x", kept / "cc", kept / "sparse/x"):
                directory.mkdir(parents=True)
            (source / "x/a.c").touch()
            store = diagnostics.Diagnostics(kept, source)
            store.begin()
            (kept / "cc/a.o").write_text(f"{source}/x/a.c\n{source}/x/a.c:1:1: warning: w\n")
            (kept / "sparse/x/a.c").write_text(f"{source}/x/a.c:2:1: warning: s\n")
            self.assertTrue(store.read("x/a.c"))
            self.assertEqual(store.end("b.o: warning: objtool: o\n", ["x/", "y/"]), {
                "w1": {"x/a.c: warning: w": 1}, "tools": {"b.o: warning: objtool: o": 1},
                "sparse": {"x/": {"x/a.c: warning: s": 1}, "y/": {}}})
            store.begin()
            (kept / ".rebuilt").write_text("b.o\n")
            self.assertEqual(store.end("", [])["tools"], {})
            # as kbuild names a source where the objects are below it
            for there in ("x/a.c", "gone.c"):
                (kept / f"cc/{pathlib.Path(there).name}.o").write_text(
                    f"../{there}\n../{there}:1: warning: v\n")
            self.assertEqual(store.end("", [])["w1"], {"x/a.c: warning: v": 1, "x/a.c: warning: w": 1})
            (source / "x/a.c").unlink()  # a step that does not have the file
            self.assertEqual(store.end("", ["x/"]), {"w1": {}, "tools": {}, "sparse": {"x/": {}}})

    def test_a_gate_that_has_not_run_is_no_pass(self):
        said = {"w1": {}, "tools": {}, "sparse": {}}
        builder = mock.Mock(checker=None, lane=mock.Mock(builds="image"))
        for error, verdict in (Missing("no sparse"), Verdict.SKIP), (CannotJudge("broken"), Verdict.LOST):
            found = {j.gate: j for j in added.judge(builder, 2, said, said, "", error, 1, mock.Mock())}
            self.assertEqual((found["sparse"].verdict, found["w1"].verdict), (verdict, Verdict.PASS))
        found = added.judge(builder, 2, said, said, "", None, 1, mock.Mock())
        self.assertEqual([j.gate for j in found], ["w1", "diagnostics"])


class SourcesTest(unittest.TestCase):
    """What kbuild reads, in a tree that has some of everything."""

    FILES = ("Documentation/Kconfig", "Documentation/x.rst", "MAINTAINERS", "Makefile", "mm/a.c",
             "tools/objtool/a.c", "tools/testing/selftests/a.c")

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.tree = pathlib.Path(self.temporary.name)
        for name in self.FILES:
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / name).write_text("1\n")
        fixture.git(self.tree, "init", "-q")

    def key(self):
        fixture.git(self.tree, "add", "-A")
        fixture.git(self.tree, "commit", "-q", "--allow-empty", "-m", "x")
        with mock.patch.object(sources.release, "linux", lambda: self.tree):
            return sources.key(fixture.git(self.tree, "rev-parse", "HEAD").strip())

    def test_what_changes_a_build(self):
        before = self.key()
        for name in self.FILES:
            (self.tree / name).write_text(f"changes {name}\n")
            after = self.key()
            self.assertEqual(before == after, name in (
                "Documentation/x.rst", "MAINTAINERS", "tools/testing/selftests/a.c"), name)
            before = after

    def test_lane_that_is_concerned(self):
        toml = mock.Mock(arch="x86_64", targets=["kernel/dma/", "mm/a.o"])
        for name, due in (("kernel/dma/tests/a.c", True), ("mm/a.c", True), ("mm/b.c", False),
                          ("mm/Makefile", True), ("include/linux/a.h", True), ("arch/arm/mm/a.c", False),
                          ("arch/x86/include/asm/a.h", True), ("drivers/of/a.c", False),
                          ("tools/testing/a.c", False), ("Documentation/a.rst", False)):
            self.assertEqual(sources.concerns(toml, [name]), due, name)


class CoverageTest(unittest.TestCase):

    def judge(self, built, unjudged=(), elsewhere=""):
        patch = Patch(1, "t", "t/0001-a.patch", pathlib.Path("a"))
        proof = mock.Mock(patch=patch, built=elsewhere)
        touched = ["mm/a.c", "tools/b.c", "MAINTAINERS"]
        with mock.patch.object(coverage.series, "paths", lambda text: touched), \
                mock.patch.object(Patch, "text", "", create=True), \
                mock.patch.object(sources, "there", lambda commit, files: list(files)):
            found, = coverage.judge(mock.Mock(patches=[patch]), ["0", "1"], {1: built}, {1: unjudged},
                                    [proof])
        return found.verdict, found.reason

    def test_each_source_is_built_somewhere(self):
        self.assertEqual(self.judge(["mm/a.c"]), (Verdict.PASS, ""))
        verdict, reason = self.judge([])
        self.assertEqual(verdict, Verdict.FAIL)
        self.assertIn("built in no lane: mm/a.c", reason)
        self.assertEqual(self.judge([], elsewhere="by hand"), (Verdict.SKIP, "mm/a.c: by hand"))
        self.assertEqual(self.judge([], ["arm"]), (Verdict.SKIP, "mm/a.c: arm could not be built"))
        self.assertEqual(self.judge(["mm/a.c"], elsewhere="by hand")[0], Verdict.FAIL)


class LaneTest(unittest.TestCase):
    """The lanes of this repository."""

    def test_lanes_of_objects_have_no_boot(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "ci/lanes/o.toml"
            path.parent.mkdir(parents=True)
            (pathlib.Path(name) / "kconfig-fragments").mkdir()
            (pathlib.Path(name) / "kconfig-fragments/o.config").touch()
            good = 'builds = "objects"\narch = "arm"\nllvm = "-19"\nconfig = "x"\nfragment = "o.config"\n'
            path.write_text(good)
            self.assertEqual(lane.read(name, "o").boots, [])
            path.write_text(good + 'image = "vmlinux"\n')
            with self.assertRaisesRegex(Failed, "image"):
                lane.read(name, "o")


class ConfigTest(unittest.TestCase):
    def test_unmet_lines(self):
        fragment = "# why\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x\"\nCONFIG_D=n\n"
        have = "CONFIG_A=m\nCONFIG_C=\"x\"\n# CONFIG_D is not set\n"
        self.assertEqual(kconfig.unmet(fragment, have), [("CONFIG_A", "y", "m")])


class DeviceTreeTest(unittest.TestCase):
    MACHINE = "/dts-v1/; / { smmu@9 { phandle = <7>; }; chosen { bootargs = \"a\"; }; };"

    def merge(self, added, emulator="dtc -o ${2#dumpdtb=}"):
        """The merged tree as source; emulator: shell words that make the machine's."""
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "added.dtsi"
            path.write_text(added)
            command = ["sh", "-c", f"echo '{self.MACHINE}' | {emulator}", "emulator"]
            scratch = pathlib.Path(name)
            blob = devicetree.merge(devicetree.own(command, scratch), path, scratch)
            return subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", blob], check=True,
                                  capture_output=True, text=True, timeout=60).stdout

    def test_nodes_are_added_and_refer_to_those_of_the_machine(self):
        text = self.merge("/ { pool: pool { };\n"
                          "chosen { more; };\n"
                          "device { iommus = <&{/smmu@9} 1>; memory-region = <&pool>; }; };")
        self.assertIn("iommus = <0x07 0x01>;", text)
        self.assertIn("memory-region = <0x01>;", text)
        self.assertRegex(text, r'bootargs = "a";\s+more;')

    def test_without_its_compiler(self):
        boot = mock.Mock(devicetree="more.dtsi")
        with mock.patch.object(devicetree, "output", side_effect=FileNotFoundError):
            devicetree.check([mock.Mock(devicetree=None)])
            with self.assertRaisesRegex(CannotJudge, "no dtc"):
                devicetree.check([boot])

    def test_what_is_wrong_is_named(self):
        for more, words in (("/ {\n};\nnonsense", r"added\.dtsi:3"),
                             ("/ { a = <&{/smmu@8}>; };", "non-existent node")):
            with self.assertRaisesRegex(Failed, words):
                self.merge(more)
        with self.assertRaisesRegex(CannotJudge, "no such machine"):
            self.merge("", "{ echo no such machine; exit 1; }")


class StoreTest(unittest.TestCase):
    def test_record_why_and_broken_file(self):
        with tempfile.TemporaryDirectory() as name:
            kept = store.Store(name)
            self.assertEqual(kept.why("build", {"a": 1}, "0/x"), "never judged before")
            kept.put("build", {"a": 1, "b": 2}, {"ok": True}, "0/x")
            self.assertTrue(kept.get("build", {"a": 1, "b": 2})["ok"])
            self.assertEqual(kept.why("build", {"a": 1, "b": 3}, "0/x"), "changed: b")
            for path in pathlib.Path(name).glob("build/*.json"):
                path.write_text("{")
            self.assertIsNone(kept.get("build", {"a": 1, "b": 2}))


class ConeTest(unittest.TestCase):
    """The worktree in which selftests are built has what they are made from, and no more."""

    @slow
    def test_only_the_named_directories_are_there(self):
        made = fixture.Fixture()
        self.addCleanup(made.close)
        cache = made.directory / "cache"
        fixture.git(made.linux, "branch", "base")
        with mock.patch("lib.checkout.linux", lambda: made.linux), \
                mock.patch("lib.checkout.cache.directory", lambda: cache):
            for directories, there in ((("tools",), {"tools"}), (("lib", "tools"), {"lib", "tools"}),
                                       (("lib", "tools"), {"lib", "tools"})):
                tree = checkout.cone_worktree("series", directories)
                checkout.move(tree, "base")
                self.assertEqual({p.name for p in tree.iterdir() if p.is_dir()}, there)
                self.assertTrue((tree / "Makefile").exists())
                self.assertEqual(fixture.git(tree, "status", "--porcelain"), "")


class BusyboxTest(unittest.TestCase):
    def test_packages_of_both_debian_releases(self):
        for where in ("bin", "usr/bin"):
            with self.subTest(where), tempfile.TemporaryDirectory() as name:
                root = pathlib.Path(name)
                described = mock.Mock(busybox="bin/busybox", foreign={"architecture": "arm64"})
                described.name = "foreign"
                made = guest.Guest(described, None, mock.Mock(top=TOP, cache=root, store=root / "verdicts"),
                                   "toolchain")
                made.foreign = lambda root=root: root
                with self.assertRaisesRegex(CannotJudge, "no bin/busybox in .*: install the package"):
                    made.busybox()
                (root / where).mkdir(parents=True)
                (root / where / "busybox").touch()
                self.assertEqual(made.busybox(), root / where / "busybox")


class SelftestsTest(unittest.TestCase):
    """Lanes build their selftests at the same time, each at a step of its own."""

    STEPS = 20

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.top = pathlib.Path(self.temporary.name)
        self.tree = self.top / "series"
        self.tree.mkdir()
        self.wrong = []

    def make(self, name):
        paths = mock.Mock(top=TOP, cache=self.top, store=self.top / "verdicts",
                          lane=lambda name: self.top / "lanes" / name)
        lane = mock.Mock(arch="x86", cross="", foreign=None)
        lane.name = name

        def run(words, log):
            """A make that leaves a program of the commit that the tree is at."""
            output = next((str(w)[7:] for w in words if str(w).startswith("OUTPUT=")), None)
            time.sleep(0.001)
            if output:
                program = pathlib.Path(output) / "program"
                program.write_text((self.tree / "HEAD").read_text())
                program.chmod(0o755)

        made = guest.Guest(lane, self.trees, paths, "toolchain")
        made._run = run
        for step in range(self.STEPS):
            commit = f"{name} {step}"
            built, = made._build_selftests(commit, "vfio")
            if built.read_text() != commit:
                self.wrong.append(f"{commit}: built from {built.read_text()}")

    def test_each_is_built_from_its_step(self):
        self.trees = Trees(mock.Mock(cache=self.top))
        self.trees.object = lambda commit, path: commit
        trees = mock.patch("harness.trees.checkout.cone_worktree", lambda name, directories: self.tree)
        trees.start()
        self.addCleanup(trees.stop)
        self.trees.checkout = lambda directory, commit: (self.tree / "HEAD").write_text(commit)
        threads = [threading.Thread(target=self.make, args=(name,)) for name in ("arm64", "x86_64")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.wrong, [])


class SelftestsThatAreNowhereTest(unittest.TestCase):
    def test_a_directory_that_the_last_step_has_not(self):
        made = guest.Guest.__new__(guest.Guest)
        made.needs = {"t": needs.Needs(("t",), (), (), ("vfioo",), False, False)}
        made.trees = mock.Mock(**{"object.return_value": ""})
        made.base, made.scripts = mock.Mock(), mock.Mock()
        with self.assertRaisesRegex(Failed, "^ci/guest/needs.toml: the last step has no "
                                            "tools/testing/selftests/vfioo$"):
            made._archives("commit", "last", ["t"], ())


class PruneTest(unittest.TestCase):
    def prune(self, since, *used):
        """What stays of logs 0 to 4, each as old as its number says, when two may stay."""
        with tempfile.TemporaryDirectory() as name:
            logs = pathlib.Path(name) / "logs"
            logs.mkdir()
            for number in range(5):
                (logs / str(number)).touch()
                os.utime(logs / str(number), (number, number))
            prune.use(*[logs / n for n in used])
            with mock.patch.dict(prune.KEEP, logs=2):
                prune.prune(name, since)
            return sorted(p.name for p in logs.iterdir())

    def test_what_was_used_last_stays(self):
        self.assertEqual(self.prune(5), ["3", "4"])
        self.assertEqual(self.prune(5, "0"), ["0", "4"])

    def test_what_this_run_used_stays_however_much_it_is(self):
        self.assertEqual(self.prune(2), ["2", "3", "4"])
        self.assertEqual(self.prune(time.time() - 60, "0", "1", "2", "gone"), ["0", "1", "2"])


class SeriesTest(unittest.TestCase):
    def test_wrong_lines_are_named(self):
        for text, words in (("# topic: a\n", "no '# base: vX.Y'"),
                            ("# base: v7.3\n# topic: a\na/0001-x.patch\n", "series:3: no such")):
            with tempfile.TemporaryDirectory() as name:
                (pathlib.Path(name) / "series").write_text(text)
                with self.assertRaisesRegex(Failed, words):
                    series.read(name)

    def test_slug_has_no_number(self):
        patch = Patch(1, "t", "t/0012-do-that.patch", pathlib.Path("patches/t/0012-do-that.patch"))
        self.assertEqual(series.slug(patch), "t/do-that")


class VerdictTest(unittest.TestCase):
    def test_worst_and_exit_codes(self):
        self.assertEqual(worst([]), Verdict.PASS)
        for skips in [], [Verdict.SKIP]:
            self.assertEqual(overall(skips).exit_code, 125)
        self.assertEqual(overall([Verdict.SKIP, Verdict.PASS]), Verdict.PASS)
        self.assertEqual(worst([Verdict.PASS, Verdict.LOST, Verdict.FAIL]), Verdict.FAIL)
        self.assertEqual([v.exit_code for v in Verdict], [0, 1, 0, 125, 125])


class ModulesTest(unittest.TestCase):
    """Modules by one call of make, but for those that fail."""

    def together(self, names, broken, said):
        """Which are built by one call, and the calls. broken: those that do not build; said:
        what make says of one."""
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        calls = []

        def make(_top, _name, below):
            calls.append([word.rstrip("/") for word in below])
            wrong = [name for name in calls[-1] if name in broken]
            (directory / "module-all.log").write_text("".join(said.format(name) for name in wrong))
            return "why" if wrong else ""

        builder = object.__new__(image.ImageBuilder)
        builder.directory = directory
        with mock.patch.object(builder, "_make_module", make):
            return builder._build_together(directory, names), calls  # pylint: disable=protected-access

    def test_what_fails_is_left_out(self):
        for said in ("make[4]: *** [scripts/Makefile.build:295: {0}/{0}.o] Error 1\n",
                     '{0}/{0}.c:25:10: fatal error: no such file\n',
                     'ERROR: modpost: "x" [{0}/{0}.ko] undefined!\n'):
            with self.subTest(said):
                self.assertEqual(self.together(["a", "ab", "b", "c"], ["b"], said),
                                 (["a", "ab", "c"], [["a", "ab", "b", "c"], ["a", "ab", "c"]]))
                self.assertEqual(self.together(["a", "ab", "b"], ["a"], said)[0], ["ab", "b"])
        self.assertEqual(self.together(["a", "b"], [], ""), (["a", "b"], [["a", "b"]]))

    def test_where_make_does_not_say_what_fails_each_is_alone(self):
        self.assertEqual(self.together(["a", "b"], ["b"], "Error\n"), ([], [["a", "b"]]))
        self.assertEqual(self.together(["a", "b"], ["a", "b"], "error: {0}/{0}.c\n"), ([], [["a", "b"]]))
        self.assertEqual(self.together(["a"], [], ""), ([], []))


if __name__ == "__main__":
    unittest.main()
