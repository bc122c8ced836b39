# SPDX-License-Identifier: GPL-2.0
"""Gate uapi, with the base's own header test and check-uapi.sh on a small tree of headers."""

import re
import shutil
import subprocess
import unittest

from fixture import base_file
from marks import slow
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


def _version():
    """Of abidiff: (major, minor); (0, 0) where there is none."""
    if not shutil.which("abidiff"):
        return 0, 0
    said = subprocess.run(["abidiff", "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2]))


@unittest.skipUnless(shutil.which("g++"), "no g++")
class Uapi(GatesFixture):

    FILES = ("usr/include/Makefile", "usr/include/headers_check.pl", "scripts/Kbuild.include",
             "scripts/Makefile.compiler", "scripts/check-uapi.sh")

    def kernel(self):
        kernel = super().kernel()
        real = {name: base_file(name) for name in self.FILES}
        return {**kernel, **real, "Makefile": kernel["Makefile"] + HEADERS, "arch/x86/Makefile": "",
                "include/uapi/linux/types.h": TYPES,
                "include/uapi/linux/toy.h": header("toy", "struct toy {\n\t__u32 a;\n};\n"),
                "include/uapi/linux/game.h": header("game", "struct game {\n\t__u32 a;\n};\n"),
                "include/uapi/linux/all.h": header(
                    "all", "#include <linux/toy.h>\nstruct all {\n\tstruct toy t;\n};\n")}

    def edit(self, name, old, new, subject):
        path = self.work / "include/uapi/linux" / name
        self.write(path, path.read_text().replace(old, new))
        self.commit(self.work, subject)

    def judged(self, expect=1):
        self.script("refresh", "--tree", self.work)
        results, done = self.check("--gate", "uapi", expect=expect)
        return {step: (r["verdict"], r["reason"]) for (step, _), r in results.items()}, done.stdout

    @slow
    def test_headers_that_do_not_compile_on_their_own(self):
        self.edit("game.h", "#endif", "struct game_2 {\n\t__u32 class;\n};\n#endif", "toy: forget C++")
        self.edit("game.h", "__u32 class;", "__u32 b;", "toy: mend")
        self.edit("toy.h", "struct toy {", "struct toys {", "toy: break all.h")
        self.edit("toy.h", "struct toys {", "struct toy {", "toy: mend all.h")
        self.add("int x;\n", name="arch/arm64/include/uapi/asm/other.h")
        said, output = self.judged()
        self.assertEqual({step for step, (word, _) in said.items() if word == "fail"}, {2, 4}, output)
        self.assertRegex(said[2][1], "game.h.*error: expected identifier")
        self.assertRegex(said[4][1], "all.h.*error: .*incomplete type")
        self.assertEqual(said[3], ("pass", ""), output)
        self.assertEqual(said[5], ("skip", "each header compiles on its own, which it did not before: "
                                   "check-uapi.sh cannot compare"))
        self.assertEqual(said[6], ("skip", "only the headers of x86 can be judged"))

    @slow
    def test_change_that_breaks_programs(self):
        (self.bin / "abidiff").unlink()  # the fixture's, which finds nothing
        self.edit("toy.h", "#endif", "#define TOY_NEW 1\nstruct toy_new {\n\t__u32 a;\n};\n#endif",
                  "toy: add")
        self.edit("game.h", "__u32 a;", "__u64 a;", "toy: change a field")
        (self.work / "include/uapi/linux/all.h").unlink()
        self.commit(self.work, "toy: remove a header")
        old = _version() < (2, 4)  # of Debian 12, which the script refuses
        said, output = self.judged(expect=0 if old else 1)
        if old:
            self.assertEqual({said[step][0] for step in (2, 3, 4)}, {"skip"}, output)
            self.assertRegex(said[3][1], "abidiff")
            return
        self.assertEqual(said[2], ("pass", ""), output)
        self.assertRegex(said[3][1], "ABI differences detected in include/linux/game.h")
        self.assertRegex(said[4][1], "UAPI header include/linux/all.h was removed")

    @slow
    def test_abidiff_that_the_script_refuses_is_a_skip(self):
        self.tool("abidiff", "echo abidiff: 2.2.0\n")
        self.edit("toy.h", "#endif", "#define TOY_NEW 1\n#endif", "toy: add")
        self.script("refresh", "--tree", self.work)
        results, _ = self.check("--gate", "uapi", "2", expect=125)
        self.assertEqual((results[2, "uapi"]["verdict"], results[2, "uapi"]["avoidable"]), ("skip", False))
        self.assertIn("check-uapi.sh needs abidiff 2.4, this is 2.2.0", results[2, "uapi"]["reason"])


if __name__ == "__main__":
    unittest.main()
