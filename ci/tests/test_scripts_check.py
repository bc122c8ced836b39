# SPDX-License-Identifier: GPL-2.0
"""scripts/check: each gate passes what is good, names what is bad, and skips with a reason."""

import json
import os
import shutil
import sys
import unittest

from gates_fixture import GatesFixture
from marks import slow
from scripts_fixture import TOP

sys.path.insert(0, str(TOP / "scripts"))
# pylint: disable=wrong-import-position
from lib import export, message, series
from lib.kernel import diagnostics, sources


class Gates(GatesFixture):

    @slow
    def test_a_good_patch_passes_every_gate(self):
        results, done = self.check()
        self.assertEqual({r["verdict"] for r in results.values()}, {"pass"}, done.stdout)
        self.assertEqual(len(results), 12)
        self.assertEqual(done.stdout.split("\n")[-2], "12 pass, 0 fail, 0 skip, 0 lost")

    @slow
    def test_cheap(self):
        results, _ = self.check("--cheap")
        self.assertEqual(sorted(gate for _, gate in results),
                         ["checkpatch", "fixes", "gitignore", "kernel-doc", "maintainers", "message",
                          "stable"])
        self.script("check", "--cheap", "--gate", "w1", expect=1)

    def test_again_is_from_the_cache(self):
        self.check()
        results, _ = self.check()
        self.assertEqual(self.anew(results), set())
        results, _ = self.check("--again", "--gate", "w1")
        self.assertFalse(results[1, "w1"]["cached"])

    @slow
    def test_a_message_change_judges_only_the_message_anew(self):
        self.check()
        self.git(self.work, "commit", "-q", "--amend", "-m", "toy: return yet more\n\nWhy.")
        self.script("refresh", "--tree", self.work)
        results, _ = self.check()
        self.assertEqual(self.anew(results), {"message", "checkpatch"})

    @slow
    def test_new_warning(self):
        self.add("int toy_a(void)\n{\n\tint unused;\n\treturn 1;\n}\n")
        self.add("int toy_b(void)\n{\n\treturn 1;\n}\n", "toy: add another")
        results, done = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "w1")})
        self.assertIn("unused", results[2, "w1"]["reason"])
        self.assertIn("[toy] drivers/toy/toy.c: warning:", done.stdout)
        self.assertIn("scripts/check --gate w1 --again 2", done.stdout)
        self.assertTrue(os.path.exists(results[2, "w1"]["log"]))

    @slow
    def test_the_same_warning_again_is_new(self):
        self.add("int toy_a(void)\n{\n\tint unused;\n\treturn 1;\n}\n")
        self.add("int toy_b(void)\n{\n\tint unused;\n\treturn 1;\n}\n", "toy: add another")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "w1"), (3, "w1")})

    @slow
    def test_a_warning_that_only_moves_is_not_new(self):
        self.add("int toy_a(void)\n{\n\tint unused;\n\treturn 1;\n}\n")
        path = self.work / "drivers/toy/toy.c"
        path.write_text("/* moves all */\n" + path.read_text())
        self.commit(self.work, "toy: move")
        self.script("refresh", "--tree", self.work)
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "w1")})

    @slow
    def test_does_not_build(self):
        self.add("int toy_a(void)\n{\n\treturn nothing;\n}\n")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "w1"), (2, "sparse")})
        self.assertIn("does not build in lane toy", results[2, "w1"]["reason"])

    @slow
    def test_header_that_breaks_its_users(self):
        self.add("int toy_1(int);\n", name="drivers/toy/toy.h")
        self.add("#include \"toy.h\"\n", "toy: include")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(3, "w1"), (3, "sparse")})

    @slow
    def test_sparse(self):
        self.add("int toy_a; /* bitwise */\n")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "sparse")})
        self.assertIn("mixed up", results[2, "sparse"]["reason"])

    @slow
    def test_sparse_that_the_kernel_refuses_is_a_skip(self):
        self.tool("sparse", "[ \"$1\" = --version ] && echo fake 0\n")
        results, _ = self.check()
        self.assertEqual(results[1, "sparse"]["verdict"], "skip")
        self.assertIn("refused by scripts/checker-valid.sh", results[1, "sparse"]["reason"])
        self.assertEqual(results[1, "w1"]["verdict"], "pass")

    @slow
    def test_coccinelle(self):
        self.add("unsigned int toy_a;\n")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "coccinelle")})

    @slow
    def test_coccinelle_report_that_moves_is_not_new(self):
        self.add("unsigned int toy_a;\n")
        path = self.work / "drivers/toy/toy.c"
        self.write(path, "int toy_b;\n" + path.read_text())
        self.commit(self.work, "toy: add another thing")
        self.script("refresh", "--tree", self.work)
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "coccinelle")})

    def test_coccinelle_script_that_fails_is_lost(self):
        self.tool("spatch", "[ \"$1\" = --version ] && echo spatch version 1.1.1 && exit\n"
                  "echo 'Fatal error: exception' >&2; exit 2\n")
        results, _ = self.check(expect=125)
        self.assertEqual(results[1, "coccinelle"]["verdict"], "lost")
        self.assertIn("misc/toy.cocci", results[1, "coccinelle"]["reason"])

    def test_coccinelle_loses_only_the_file_that_it_cannot_judge(self):
        self.tool("spatch", "[ \"$1\" = --version ] && echo spatch version 1.1.1 && exit\n"
                  "for d; do :; done\ncd $d\ngrep -q . $0\nfind $d -name '*.c' | while read -r f; do\n"
                  "grep -q odd $f && echo \"EXN: Failure(\\\"Stack overflow\\\") in $f\" >&2\ndone\n:\n")
        self.add("int odd;\n", name="drivers/toy/odd.c")
        results, _ = self.check("--gate", "coccinelle", expect=125)
        self.assertEqual(results[2, "coccinelle"]["verdict"], "lost")
        self.assertIn('misc/toy.cocci: drivers/toy/odd.c: Failure("Stack overflow")',
                      results[2, "coccinelle"]["reason"])
        kept = [json.loads(p.read_text()) for p in self.cache.glob("verdicts/coccinelle/*.json")]
        self.assertEqual([list(one.values()) for one in kept], [[{}, {}]])  # toy.c before and after

    @slow
    def test_gitignore(self):
        makefile = self.work / "tools/testing/selftests/toy/Makefile"
        self.write(makefile, makefile.read_text().replace(":= toy", ":= toy toy_a toy_b.o"))
        self.add("/toy_a\n", name="tools/testing/selftests/toy/.gitignore")
        # as in a base from Debian's package
        self.add("/*\n!/debian/\n", "toy: ignore all", name=".gitignore")
        self.write(makefile, makefile.read_text().replace(":= toy", ":= toy toy_c"))
        self.commit(self.work, "toy: build one more")
        self.script("refresh", "--tree", self.work)
        results, _ = self.check("--gate", "gitignore", expect=1)
        self.assertEqual(self.failing(results), {(4, "gitignore")})
        self.assertIn("selftests/toy: git does not ignore toy_c", results[4, "gitignore"]["reason"])
        self.assertNotIn("(and", results[4, "gitignore"]["reason"])

    @slow
    def test_what_a_judgement_took(self):
        self.tool("sphinx-build", "[ \"$1\" = --version ] && echo 5 && exit\n"
                  "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done\n")
        self.add("Toy\n===\n", name="Documentation/toy.rst")
        for cached in False, True:
            results, _ = self.check("--gate", "docs", "2")
            self.assertEqual(results[2, "docs"]["cached"], cached)
            for spent in "cpu", "seconds":
                self.assertGreater(results[2, "docs"][spent], 0.1)

    @slow
    def test_codespell(self):
        self.write(self.work / "scripts/checkpatch.pl",
                   "#!/bin/sh\nwhile [ \"$1\" != --codespellfile ]; do shift; done\n"
                   "for f; do :; done\n[ $(grep -c '' \"$2\") -lt 99 ] || exit 2\n"
                   "sed 's/->.*//' \"$2\" | grep -qiwf - \"$f\" &&"
                   " echo 'CHECK:TYPO_SPELLING: typo' && exit 1\nexit 0\n")
        self.add("void iput(struct inode *inode);\n", name="include/linux/fs.h")
        self.add("int toy_a(struct inode *i)\n{\n\tiput(i);\n\treturn 0;\n}\n", "toy: put")
        self.add("int receive; /* Rec" "ieve it */\n", "toy: misspell")  # as codespell reads this file, too
        results, done = self.check("--gate", "checkpatch", "2..4", expect=1)
        self.assertEqual(self.failing(results), {(4, "checkpatch")}, done.stdout)
        self.assertEqual({results[step, "checkpatch"]["verdict"] for step in (2, 3)}, {"pass"})

    @slow
    def test_checkpatch(self):
        self.add("int ugly;\n")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "checkpatch")})
        self.assertIn("CHECK:UGLY", results[2, "checkpatch"]["reason"])

    @slow
    def test_kernel_doc(self):
        self.add("/** bad */\n")
        self.add("int fine;\n", "toy: fine")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(2, "kernel-doc")})

    @slow
    def test_maintainers(self):
        self.add("int new;\n", name="drivers/toy/new.c")
        self.add("nobody's\n", "toy: add a stray", name="stray/file")
        results, _ = self.check(expect=1)
        self.assertEqual(self.failing(results), {(3, "maintainers")})
        self.assertIn("stray/file", results[3, "maintainers"]["reason"])

    def test_message(self):
        self.add("int fine;\n", "toy: Added it.", body="Reviewed-by: X <x@toy.example>")
        results, _ = self.check("--gate", "message", expect=1)
        self.assertEqual(self.failing(results), {(2, "message")})

    @slow
    def test_source_that_no_lane_builds(self):
        self.add("int x;\n", name="arch/vax/toy.c")
        results, _ = self.check("2", expect=1)
        self.assertEqual(self.failing(results), {(2, "maintainers"), (2, "w1"), (2, "sparse")})
        self.assertIn("built in no lane: arch/vax/toy.c", results[2, "w1"]["reason"])
        self.write(self.repo / "ci/proofs.toml",
                   '[[proof]]\npatch = "toy/toy-add-a-thing"\nbuilt = "by hand"\n')
        results, _ = self.check("2", "--gate", "w1", expect=125)
        self.assertEqual((results[2, "w1"]["verdict"], results[2, "w1"]["reason"]),
                         ("skip", "arch/vax/toy.c: by hand"))

    def test_no_compiler_is_a_skip(self):
        lane = self.repo / "ci/lanes/toy.toml"
        lane.write_text(lane.read_text() + 'cross = "vax-none-"\n')
        results, _ = self.check("--gate", "w1", expect=125)
        self.assertEqual(results[1, "w1"]["verdict"], "skip")
        self.assertIn("vax-none-gcc", results[1, "w1"]["reason"])

    @slow
    def test_lanes_that_a_plain_run_leaves_out_are_left_out(self):
        lane = self.repo / "ci/lanes/toy.toml"
        lane.write_text(lane.read_text() + "default = false\n")
        results, _ = self.check("--gate", "w1", expect=1)
        self.assertIn("built in no lane: ", results[1, "w1"]["reason"])

    def again(self, old, new, *tags):
        """A further patch, that changes what the patch before it has made."""
        self.change(self.work, old, new, f"toy: {new}", body="\n\n".join(["Why.", "\n".join(tags)]).strip())
        self.script("refresh", "--tree", self.work)

    @slow
    def test_a_candidate_for_stable_applies_alone(self):
        cc = "Cc: stable@vger.kernel.org # 6.1+"
        self.again("return 5;", "return 50;", cc)
        self.again("return 10;", "return 11;", "Cc: <stable@vger.kernel.org> # 6.12")
        self.again("return 11;", "return 12;")
        self.again("return 50;", "return 51;", cc)
        results, done = self.check("--gate", "stable", expect=1)
        self.assertEqual({k[0]: r["verdict"] for k, r in results.items()},
                         {1: "pass", 2: "pass", 3: "fail", 4: "pass", 5: "pass"})
        self.assertEqual(results[1, "stable"]["reason"], "is no candidate for stable")
        self.assertEqual(results[2, "stable"]["reason"], "")
        self.assertEqual(results[3, "stable"]["reason"],
                         "does not apply alone on the base; it needs: toy: return more, part 1")
        self.assertIn("drivers/toy/toy.c: patch does not apply", done.stdout)
        self.assertEqual(results[5, "stable"]["reason"],
                         "applies behind candidates before it: toy: return 50;")
        results, _ = self.check("--gate", "stable", expect=1)
        self.assertEqual(self.anew(results), set())

    @slow
    def test_a_candidate_that_series_names(self):
        self.again("return 10;", "return 11;")
        series = self.repo / "series"
        text = series.read_text()
        series.write_text(text.replace("toy/0002", "# stable: 6.1+\ntoy/0002"))
        results, _ = self.check("--gate", "stable", expect=1)
        self.assertEqual(self.failing(results), {(2, "stable")})
        # the patch that it needs goes to fewer trees, then to as many
        for since, expect in (("6.12+", 1), ("6.1+", 0)):
            self.git(self.work, "reset", "-q", "--hard", "base")
            self.change(self.work, "return 1;", "return 10;", "toy: return more, part 1",
                        body=f"Why.\n\nCc: stable@vger.kernel.org # {since}")
            self.again("return 10;", "return 11;")
            self.assertIn("# stable: 6.1+\ntoy/0002", series.read_text())
            self.check("--gate", "stable", expect=expect)

    def fixes(self, tag, **kwargs):
        """What the gate says of a second patch with that tag: (verdict, reason)."""
        self.git(self.work, "reset", "-q", "--hard", self.one)
        self.again("return 5;", "return 50;", tag)
        results, _ = self.check("--gate", "fixes", "2", expect=None, **kwargs)
        return results[2, "fixes"]["verdict"], results[2, "fixes"]["reason"]

    @slow
    def test_what_a_patch_fixes(self):
        self.one = self.git(self.work, "rev-parse", "HEAD")
        bad = self.change(self.linux, "return 7;", "return 8;", "toy: break it")[:12]
        self.write(self.linux / "other", "")
        other = self.commit(self.linux, "toy: break another")[:12]
        right = f'Fixes: {bad} ("toy: break it")'
        verdict, reason = self.fixes(right)
        self.assertEqual(verdict, "pass")
        self.assertIn("judged by its form only; LINUX=DIR", reason)
        self.assertEqual(self.fixes(right, LINUX=self.linux), ("pass", ""))
        for tag, words in (
                (f'Fixes: {bad}0 ("toy: break it")', "is not twelve hex digits and the quoted subject"),
                ('Fixes: 0123 ("toy: break it")', "is not twelve hex digits and the quoted subject"),
                (f"Fixes: {bad} (toy: break it)", "is not twelve hex digits and the quoted subject"),
                ('Fixes: 0123456789ab ("toy: break it")', "0123456789ab is no commit of the history"),
                (f'Fixes: {bad} ("toy: break")', f"{bad} is 'toy: break it', not 'toy: break'"),
                (f'Fixes: {other} ("toy: break another")', "touches none of the files that the patch"),
                ("Cc: stable@vger.kernel.org", "names neither the commit with the fault")):
            with self.subTest(tag):
                verdict, reason = self.fixes(tag, LINUX=self.linux)
                self.assertEqual(verdict, "fail")
                self.assertIn(words, reason)
        self.assertEqual(self.fixes("Cc: stable@vger.kernel.org # 6.1+")[0], "pass")
        self.assertEqual(self.fixes("Link: https://lore.kernel.org/r/x@y"), ("pass", "names no fault"))
        self.fixes(f'Fixes: {other} ("toy: break another")')
        series = self.repo / "series"
        series.write_text(series.read_text().replace("toy/0002", "# fixes: it was there before\ntoy/0002"))
        results, _ = self.check("--gate", "fixes", "2", LINUX=self.linux)
        self.assertEqual(results[2, "fixes"]["verdict"], "pass")

    def test_a_patch_that_does_not_apply(self):
        self.add("int a;\n")
        self.add("int b;\n", "toy: third")
        path = next((self.repo / "patches/toy").glob("0002-*"))
        path.write_text(path.read_text().replace("\treturn 8;", "\treturn 7777;"))
        results, done = self.check("--gate", "message", expect=1)
        self.assertEqual(results[1, "message"]["verdict"], "pass")
        self.assertEqual(self.failing(results), {(2, "apply")})
        self.assertIn(path.name, done.stdout)
        self.assertEqual(results[3, "apply"]["verdict"], "skip")

    @slow
    def test_killed_while_configuring(self):
        """A half .config is never taken for that of the step before."""
        self.add("config TOY\n", "toy: new symbol", name="arch/Kconfig")
        self.check("1", "--gate", "w1")
        real = shutil.which("make")
        self.tool("make", f"case \" $* \" in *config*) kill -9 $PPID; exit 1;; esac\n"
                  f"exec {real} \"$@\"\n")
        config = self.cache / "lanes/toy/source/objects/.config"
        before = config.stat()
        self.script("check", "--gate", "w1", "2", expect=None)
        self.assertEqual(config.stat(), before)
        (self.bin / "make").unlink()
        results, _ = self.check("--gate", "w1", "2")
        self.assertFalse(results[2, "w1"]["cached"])

    @slow
    def test_killed_between_compiler_and_sparse(self):
        """An object of which sparse said nothing yet is made anew."""
        self.killed("$(cut -d ' ' -f 4 /proc/$PPID/stat) $PPID")

    @slow
    def test_wrapper_of_sparse_killed(self):
        self.killed("$PPID")

    def killed(self, processes):
        """Let sparse kill these processes, then judge again."""
        self.add("int toy_a; /* bitwise */\n")
        self.tool("sparse", "# good\n[ \"$1\" = --version ] && echo fake 1 && exit\n"
                  f"kill -9 {processes}\n")
        self.script("check", "--gate", "sparse", expect=None)
        self.setUpTools()
        results, _ = self.check("--gate", "sparse", expect=1)
        self.assertEqual(self.failing(results), {(2, "sparse")})

    @slow
    def test_configuration_that_a_patch_breaks(self):
        self.add("broken\n", "toy: break Kconfig", name="arch/Kconfig")
        self.tool("make", "for w; do case $w in *config) [ ! -s arch/Kconfig ] || "
                  "{ echo 'arch/Kconfig:1: syntax error' >&2; exit 2; };; esac; done\n"
                  f"exec {shutil.which('make')} \"$@\"\n")
        results, _ = self.check("--gate", "w1", expect=1)
        self.assertEqual(self.failing(results), {(2, "w1")})
        self.assertIn("syntax error", results[2, "w1"]["reason"])

    @slow
    def test_which(self):
        self.add("int a;\n")
        self.add("int b;\n", "toy: third")
        words = ("--gate", "message")
        self.assertEqual({s for s, _ in self.check("2..", *words)[0]}, {2, 3})
        self.assertEqual({s for s, _ in self.check("1", "3", *words)[0]}, {1, 3})
        path = next((self.repo / "patches/toy").glob("0002-*"))
        self.assertEqual({s for s, _ in self.check(path, *words)[0]}, {2})
        for word in ("0", "4", "2..9", "nonsense"):
            self.assertIn(word, self.script("check", word, expect=1).stderr)
        self.assertIn("invalid choice", self.script("check", "--gate", "x", expect=1).stderr)


class Message(unittest.TestCase):
    """The rules for commit messages, by example."""

    GOOD = ("From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@toy.example>\nDate: x\n"
            "Subject: [PATCH] dma-buf: heaps: system: unmap what was mapped\n\n"
            "Because.\n\nFixes: 0123456789ab (\"toy: break it\")\n"
            "Link: https://lore.kernel.org/all/20260101.1@toy.example/\n---\n x | 1 +\n")

    def wrong(self, old, new, word):
        found = message.problems(self.GOOD.replace(old, new))
        self.assertEqual(len(found), 1, found)
        self.assertIn(word, found[0])

    def test_good(self):
        self.assertEqual(message.problems(self.GOOD), [])

    def test_folded_subject(self):
        text = self.GOOD.replace("unmap what", "unmap\n what")
        self.assertEqual(message.problems(text), [])
        self.assertEqual(series.subject(text), "dma-buf: heaps: system: unmap what was mapped")

    def test_bad(self):
        self.wrong("dma-buf: heaps: system: unmap", "Unmap", "prefix")
        self.wrong("unmap what", "unmaps what", "imperative")
        self.wrong("was mapped", "was mapped.", "full stop")
        self.wrong("was mapped", "was mapped " + "long " * 10 + "x", "more than 75")
        self.wrong("[PATCH]", "[PATCH 1/2]", "[PATCH]")
        self.wrong("Because.\n\n", "", "no body")
        self.wrong("Because.", "Because " + "of this " * 10, "line 1")
        self.wrong("lore.kernel.org/all/", "lkml.org/", "Link:")
        self.wrong("https://lore", "http://lore", "Link:")
        self.wrong("Link:", "Acked-by: X <x@toy.example>\nLink:", "Acked-by")
        self.wrong("Link:", "Signed-off-by: X <x@toy.example>\nLink:", "Signed-off-by")

    def test_long_lines_that_may_be(self):
        for line in ("  " + "x " * 60, "> " + "x " * 60, "see https://toy.example/" + "x" * 80):
            self.assertEqual(message.problems(self.GOOD.replace("Because.", "Because.\n" + line)), [])


class Parts(unittest.TestCase):

    def test_directories(self):
        found = sources.directories(
            ["kernel/dma/a.c", "kernel/dma/tests/b.c", "include/linux/c.h", "MAINTAINERS",
             "tools/testing/d.c", "drivers/iommu/e.h", "arch/x86/include/asm/f.h"])
        self.assertEqual(found, ["drivers/iommu/", "kernel/dma/", "kernel/dma/tests/"])
        self.assertEqual(sources.outermost(found), ["drivers/iommu/", "kernel/dma/"])

    def test_diagnoses_lose_positions_only(self):
        found = diagnostics.of_tool("/t/a.c:3:5: warning: x\n/t/a.c:9:5: warning: x\nnote: y\n", "/t")
        self.assertEqual(dict(found), {"a.c: warning: x": 2})

    def test_same_patch(self):
        old = ("Subject: x\n\n---\ndiff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n"
               "@@ -1,2 +1,2 @@ int a\n-x\n+y\n")
        self.assertTrue(export.same(old, old.replace("index 1..2", "index 1..3")))
        self.assertTrue(export.same(old, old.replace("int a", "int b")))
        self.assertFalse(export.same(old, old.replace("-1,2 +1,2", "-9,2 +9,2")))
        self.assertTrue(export.same(old, old.replace("-1,2 +1,2", "-9,2 +9,2").replace("1..2", "5..6")))
        self.assertFalse(export.same(old, old.replace("+y", "+z").replace("1..2", "5..6")))
        self.assertFalse(export.same(old, old.replace("Subject: x", "Subject: y")))
