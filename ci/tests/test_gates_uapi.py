# SPDX-License-Identifier: GPL-2.0
"""Gate uapi, with the base's own header test and check-uapi.sh on a small tree of headers."""

import shutil
import subprocess
import unittest

from fixture import REAL_CACHE
from gates_fixture import GatesFixture

HEADERS = """
headers:
	@mkdir -p usr/include && cp -r include/uapi/* usr/include/
headers_install: headers
	@mkdir -p $(INSTALL_HDR_PATH) && cp -r usr/include $(INSTALL_HDR_PATH)/
"""

TYPES = "typedef unsigned int __u32;\ntypedef unsigned long long __u64;\n"


def header(name, text):
    guard = f"_UAPI_{name.upper()}_H"
    return f"#ifndef {guard}\n#define {guard}\n#include <linux/types.h>\n{text}#endif\n"


@unittest.skipUnless((REAL_CACHE / "linux.git").exists(), "no base in the cache; run: scripts/base")
@unittest.skipUnless(shutil.which("abidiff") and shutil.which("g++"), "no abidiff or no g++")
class Uapi(GatesFixture):

    FILES = ("usr/include/Makefile", "usr/include/headers_check.pl", "scripts/Kbuild.include",
             "scripts/Makefile.compiler", "scripts/check-uapi.sh")

    def kernel(self):
        kernel = super().kernel()
        real = {name: subprocess.run(["git", f"--git-dir={REAL_CACHE / 'linux.git'}", "show", f"base:{name}"],
                                     check=True, capture_output=True, text=True).stdout for name in self.FILES}
        return {**kernel, **real, "Makefile": kernel["Makefile"] + HEADERS, "arch/x86/Makefile": "",
                "include/uapi/linux/types.h": TYPES,
                "include/uapi/linux/toy.h": header("toy", "struct toy {\n\t__u32 a;\n};\n"),
                "include/uapi/linux/game.h": header("game", "struct game {\n\t__u32 a;\n};\n"),
                "include/uapi/linux/all.h": header("all", "#include <linux/toy.h>\nstruct all {\n\tstruct toy t;\n};\n")}

    def setUpTools(self):
        super().setUpTools()
        # the script refuses those before 2.4, Debian 12's; for this they do
        self.tool("abidiff", "[ \"$1\" = --version ] && echo abidiff: 2.4.0 && exit\n"
                  f"exec {shutil.which('abidiff')} \"$@\"\n")

    def edit(self, name, old, new, subject):
        path = self.work / "include/uapi/linux" / name
        self.write(path, path.read_text().replace(old, new))
        self.commit(self.work, subject)

    def test_each_defect_fails_and_an_addition_passes(self):
        self.edit("toy.h", "#endif", "#define TOY_NEW 1\nstruct toy_new {\n\t__u32 a;\n};\n#endif", "toy: add")
        self.edit("game.h", "__u32 a;", "__u64 a;", "toy: change a field")
        self.edit("game.h", "#endif", "struct game_2 {\n\t__u32 class;\n};\n#endif", "toy: forget C++")
        self.edit("game.h", "__u32 class;", "__u32 b;", "toy: mend")
        self.edit("toy.h", "struct toy {", "struct toys {", "toy: break all.h")
        self.add("int x;\n", "toy: other", name="arch/arm64/include/uapi/asm/other.h")
        results, done = self.check("--gate", "uapi", expect=1)
        said = {step: (r["verdict"], r["reason"]) for (step, _), r in results.items()}
        self.assertEqual({step for step, (word, _) in said.items() if word == "fail"}, {3, 4, 6}, done.stdout)
        self.assertEqual(said[2], ("pass", ""))
        self.assertRegex(said[3][1], "ABI differences detected in include/linux/game.h")
        self.assertRegex(said[4][1], "game.h.*error: .*class")
        self.assertRegex(said[6][1], "all.h.*error: .*incomplete type")
        self.assertEqual((said[5][0], said[7]), ("lost", ("skip", "only the headers of x86 can be judged")))

    def test_abidiff_that_the_script_refuses_is_a_skip(self):
        self.tool("abidiff", "echo abidiff: 2.2.0\n")
        self.edit("toy.h", "#endif", "#define TOY_NEW 1\n#endif", "toy: add")
        self.script("refresh", "--tree", self.work)
        results, _ = self.check("--gate", "uapi", "2")
        self.assertEqual((results[2, "uapi"]["verdict"], results[2, "uapi"]["avoidable"]), ("skip", False))
        self.assertIn("check-uapi.sh needs abidiff 2.4, this is 2.2.0", results[2, "uapi"]["reason"])


if __name__ == "__main__":
    unittest.main()
