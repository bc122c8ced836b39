# SPDX-License-Identifier: GPL-2.0
"""A kernel and tools for the static gates: each word that a tool dislikes stands for a defect."""

import json
import os

from scripts_fixture import KERNEL, Fixture

# Kbuild in a nutshell: directory targets, .cmd files, C=1 and W=1. Like it, it names objects from
# their directory on and finds sources by VPATH, so that the path may have a % or a = in it.
MAKEFILE = KERNEL["Makefile"] + r"""
srctree := $(CURDIR)
VPATH := $(srctree)
.DELETE_ON_ERROR:
FORCE:
%config: ; @mkdir -p $(O) && : > $(O)/.config
names = $(patsubst %.c,%.o,$(subst $(srctree)/,,$(wildcard $(srctree)/$@*.c)))
%/: FORCE ; @$(MAKE) --no-print-directory -s -C $(O) -f $(srctree)/Makefile srctree=$(srctree) $(names)
%.o: %.c drivers/toy/toy.h
	@mkdir -p $(@D)
	$(CROSS_COMPILE)gcc -Wall -c -o $@ $<
	if [ -n "$(C)" ]; then $(CHECK) -Wall $<; fi
	@echo 'source_$@ := $<' > $(@D)/.$(@F).cmd
"""


LANE = f"""\
arch = "{os.uname().machine}"
config = "tinyconfig"
fragment = "toy.config"
targets = ["image"]
image = "image"
qemu = ["qemu"]
boot = []
"""


class GatesFixture(Fixture):
    """One good patch on a kernel that has all that the static gates ask of one."""

    def kernel(self):
        return {
            **KERNEL, "Makefile": MAKEFILE, "arch/Kconfig": "", "Documentation/conf.py": "",
            "tools/testing/selftests/toy/Makefile": "TEST_GEN_PROGS := toy\ninclude ../lib.mk\n",
            "tools/testing/selftests/toy/.gitignore": "/toy\n",
            "tools/testing/selftests/lib.mk":
                "OUTPUT := $(CURDIR)\nTEST_GEN_PROGS := $(patsubst %,$(OUTPUT)/%,$(TEST_GEN_PROGS))\n",
            "scripts/kconfig/merge_config.sh":
                "#!/bin/sh\nto=$3\nshift 4\necho $(for f; do basename $f; done) >$to/fragments\n",
            "scripts/checker-valid.sh": "grep -q good \"$1\" && echo 1\n",
            "scripts/checkpatch.pl":
                "#!/bin/sh\nfor f; do :; done\ngrep -q '^Signed-off-by: A Developer' \"$f\" ||"
                " { echo 'ERROR:MISSING_SIGN_OFF: none'; exit 1; }\n"
                "if grep -q '^+.*ugly' \"$f\"; then echo 'CHECK:UGLY: is ugly'; exit 1; fi\n",
            "scripts/kernel-doc":
                "#!/bin/sh\nfor f; do case $f in *.[ch]) "
                "grep -n '/[*][*] bad' $f | sed \"s|^\\([0-9]*\\):.*|Warning: $f:\\1 is bad|\" >&2;;"
                " esac; done\n",
            "scripts/coccinelle/misc/toy.cocci": "// Options: --no-includes\nvirtual report\n",
            "scripts/coccinelle/misc/patch.cocci": "virtual patch\n",
        }

    def setUp(self):
        super().setUp()
        self.write(self.repo / "ci/lanes/toy.toml", LANE)
        self.write(self.repo / "kconfig-fragments/toy.config", "")
        self.bin = self.top / "bin"
        self.bin.mkdir()
        self.env["PATH"] = f"{self.bin}:{self.env['PATH']}"
        self.setUpTools()
        self.work = self.develop(1)

    def setUpTools(self):
        # good: the word that the fixture's checker-valid.sh looks for
        self.tool("sparse", "# good\n[ \"$1\" = --version ] && echo fake 1 && exit\n"
                  "for f; do :; done\ngrep -n bitwise $f | sed \"s|^\\([0-9]*\\):.*|"
                  "$f:\\1:2: warning: mixed up|\" >&2\n:\n")
        self.tool("spatch", "[ \"$1\" = --version ] && echo spatch version 1.1.1 && exit\n"
                  "for d; do :; done\nfind $d -name '*.c' | while read -r f; do grep -n unsigned $f | "
                  "sed \"s|^\\([0-9]*\\):.*|$f:\\1:2-9: WARNING: never negative at line \\1|\";"
                  " done\n")
        self.tool("sphinx-build", "echo sphinx-build 5\n")
        self.tool("abidiff", "echo abidiff: 2.4.0\n")

    def tool(self, name, text):
        (self.bin / name).write_text("#!/bin/sh\n" + text)
        (self.bin / name).chmod(0o755)

    def add(self, code, subject="toy: add a thing", name="drivers/toy/toy.c", **kwargs):
        """A second patch that appends code to a file."""
        path = self.work / name
        self.write(path, (path.read_text() if path.exists() else "") + code)
        self.commit(self.work, subject, **kwargs)
        self.script("refresh", "--tree", self.work)

    def check(self, *words, expect=0, **kwargs):
        """{(step, gate): result} and the process."""
        out = self.top / "out.json"
        out.unlink(missing_ok=True)
        done = self.script("check", "--json", out, *words, expect=expect, **kwargs)
        return {(r["step"], r["gate"]): r for r in json.loads(out.read_text())}, done

    def anew(self, results):
        """Gates that were judged in this run; one that has nothing to judge never is."""
        return {g for (_, g), r in results.items()
                if not r["cached"] and not r["reason"].startswith(
                    ("adds no", "touches no", "names no", "is no"))}

    def failing(self, results):
        return {key for key, r in results.items() if r["verdict"] == "fail"}
