# SPDX-License-Identifier: GPL-2.0
"""A repository of ours around a fake kernel: builds in milliseconds, boots in a shell.

The fake kernel is a git tree with a Makefile that knows what the harness asks of
kbuild, one C file, and boot.sh, which is the "image": the fake emulator runs it
as a shell script whose standard output is the console and whose fd 3 is the
results port.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import textwrap

import template

TOP = pathlib.Path(__file__).resolve().parents[2]
REAL_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME")
                          or os.path.expanduser("~/.cache")) / "linux-dmabuf-series"

IDENTITY = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "A Developer"), ("EMAIL", "a.developer@localhost"),
                                ("DATE", "2026-02-03T04:05:06Z"))}

MAKEFILE = """\
VERSION = 7
PATCHLEVEL = 3
SUBLEVEL = 4
EXTRAVERSION =

srctree := $(CURDIR)

allnoconfig:
\t@mkdir -p $(O) && sed '/^CONFIG_RUST=/d' $(KCONFIG_ALLCONFIG) >$(O)/.config

rustavailable:
\t@printf '***\\n*** Rust compiler is too old.\\n***   Your version: 1.0\\n' >&2; exit 1

image: $(O)/main.o
\t@cp $(srctree)/boot.sh $(O)/image
\t@mkdir -p $(O)/fake && cd $(O) && rm -f fake/built-in.a && ar cDPrST fake/built-in.a main.o

$(O)/main.o: $(srctree)/main.c
\t@cd $(O) && gcc -Wall -c -o main.o $(srctree)/main.c
\t@echo 'source_main.o := $(srctree)/main.c' >$(O)/.main.o.cmd
\t@$(if $(C),$(CHECK) $(srctree)/main.c)

lib/:
\t@mkdir -p $(O)/lib && cd $(O) && gcc -Wall -c -o lib/a.o $(srctree)/lib/a.c
\t@echo 'source_lib/a.o := $(srctree)/lib/a.c' >$(O)/lib/.a.o.cmd

.PHONY: lib/

ifdef M
modules:
	@for one in $$(sed 's/.*:=//' $(M)/Kbuild); do \\
		case $$one in */) one=$$one$${one%/}.c ;; *) one=$${one%.o}.c ;; esac; \\
		! grep -q wrong $(M)/$$one || { echo "$(M)/$$one: error: wrong"; exit 2; }; \\
		cp $(M)/$$one $(M)/$${one%.c}.ko; \\
	done
else
modules:
	@cd $(O) && echo fake/a.o >modules.order && mkdir -p fake && touch fake/a.ko fake/left-over.ko
endif
"""

BOOT = """\
echo "[    0.000000] Linux version 7.3.4"
echo "[    0.100000] ci: console alive"
echo "@@ begin unit" >&3
cat >&3 <<'END'
KTAP version 1
1..2
ok 1 always
not ok 2 mended
END
echo "@@ end unit 0 0.1" >&3
echo "@@ done" >&3
"""

LANE = """\
arch = "fake"
config = "allnoconfig"
fragment = "fake.config"
targets = ["image"]
image = "image"
qemu = ["{lanes}/fake-qemu", "{image}", "{results}", "{append}"]
append = "console=fake"

[[boot]]
name = "main"
tests = ["unit"]
seconds = 60
silence = 20
"""

QEMU = """\
#!/bin/sh
# The fake emulator: runs the image as a shell script with the kernel's command line as its argument;
# its machine's device tree is empty.
[ "$1" = --version ] && { echo "fake emulator 1.0"; exit; }
[ "$4" = -M ] && { echo '/dts-v1/; / { };' | dtc -o "${5#dumpdtb=}"; exit; }
exec sh "$1" "$3" 3>"$2"
"""

SPARSE = """\
#!/bin/sh
# good: dislikes the word bitwise
[ "$1" = --version ] && { echo "fake sparse 1"; exit; }
for source; do :; done
grep -n bitwise "$source" | sed "s|^\\([0-9]*\\):.*|$source:\\1:2: warning: mixed up|" >&2
exit 0
"""


def git(tree, *words, data=None):
    """Standard output of git in a tree, with its hooks: not in the environment of ci/test."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | IDENTITY
    return subprocess.run(["git", "-C", str(tree), *words], check=True, capture_output=True,
                          text=True, input=data, env=env).stdout


def _of_the_base(what, *words):
    """Standard output of git in the cache of who runs the tests."""
    done = subprocess.run(["git", "-c", "color.ui=false", f"--git-dir={REAL_CACHE / 'linux.git'}", *words],
                          check=False, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"the tests need {what} of the base, which {REAL_CACHE} does not have: "
                             f"run scripts/base first\n{done.stderr}")
    return done.stdout


def base_file(name):
    """The text of a file of the base."""
    return _of_the_base(name, "show", f"base:{name}")


def base_lines(expression, pattern):
    """The lines of files of the base that fit an extended regular expression."""
    return _of_the_base(pattern, "grep", "-h", "--no-line-number", "--no-column", "-E", expression, "base",
                        "--", pattern)


class Fixture:
    """A temporary repository; close() removes it."""

    def __init__(self, lanes=("fake",)):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="series-test-"))
        self.top = self.directory / "repo"
        self.linux = self.directory / "linux"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        self.environment |= {"XDG_CACHE_HOME": str(self.directory / "cache"),
                             "LINUX": str(self.linux), "SERIES_NEEDED_BYTES": "1",
                             "SERIES_TEST_FSYNC": "no", "HOME": str(self.directory)}
        self._tools()
        shutil.copytree(template.made("fake kernel", self._kernel), self.linux, symlinks=True)
        git(self.linux, "update-index", "-q", "--refresh")
        self._repository(lanes)
        self.patches = []
        self.proofs = []

    def close(self):
        shutil.rmtree(self.directory)

    def _tools(self):
        """A sparse that the fake kernel accepts, as it has the word good in it."""
        (self.directory / "bin").mkdir()
        (self.directory / "bin/sparse").write_text(SPARSE)
        (self.directory / "bin/sparse").chmod(0o755)
        self.environment["PATH"] = f"{self.directory}/bin:{os.environ['PATH']}"

    @staticmethod
    def _kernel(linux):
        for name in ("tools/testing/kunit/kunit_parser.py", "tools/testing/kunit/kunit_printer.py",
                     "tools/testing/kunit/kunit_junit.py", "scripts/bloat-o-meter"):
            (linux / name).parent.mkdir(parents=True, exist_ok=True)
            (linux / name).write_text(base_file(name))
        (linux / "Makefile").write_text(MAKEFILE)
        (linux / "scripts/checker-valid.sh").write_text('grep -q good "$1" && echo 1\n')
        (linux / "main.c").write_text("int main(void)\n{\n\treturn 0;\n}\n")
        (linux / "boot.sh").write_text(BOOT)
        for name, text in (("lib/a.c", "int a(void)\n{\n\treturn 1;\n}\n"), ("arch/vax/a.c", "int a;\n"),
                           ("lib/Kconfig.fake", "".join(
                               f"{kind} {name}\n\tbool\n\n" for kind, name in (
                                   ("config", "FAKE"), ("menuconfig", "SECOND"), ("config", "MORE"),
                                   ("config", "RUST")))),
                           ("MAINTAINERS", "THE REST\n")):
            (linux / name).parent.mkdir(parents=True, exist_ok=True)
            (linux / name).write_text(text)
        git(linux, "init", "-q", "-b", "master")
        git(linux, "add", "-A")
        git(linux, "commit", "-q", "-m", "Linux 7.3")
        git(linux, "tag", "v7.3")
        git(linux, "checkout", "-q", "-b", "work")

    def _repository(self, lanes):
        for name in ("scripts", "ci"):
            shutil.copytree(template.project() / name, self.top / name,
                            ignore=shutil.ignore_patterns("*.toml", "*.patch", "test_*"))
        (self.top / "ci/packages").write_text("")
        (self.top / "ci/guest/tests/unit").write_text("# what the fake kernel's boot.sh plays\n")
        (self.top / "ci/guest/needs.toml").write_text(
            (TOP / "ci/guest/needs.toml").read_text() + "[unit]\n")
        (self.top / "patches").mkdir()
        (self.top / "kconfig-fragments").mkdir()
        (self.top / "kconfig-fragments/fake.config").write_text("CONFIG_FAKE=y\n")
        for lane in lanes:
            (self.top / f"ci/lanes/{lane}.toml").write_text(LANE)
        (self.top / "ci/lanes/fake-qemu").write_text(QEMU)
        (self.top / "ci/lanes/fake-qemu").chmod(0o755)
        (self.top / "series").write_text("# base: v7.3\n")

    def patch(self, subject, path, old, new, proof=None, topic="fake"):
        """Add a patch that replaces text in a file of the fake kernel.

        proof: lines of its table in proofs.toml; by default it shows nothing.
        """
        target = self.linux / path
        text = target.read_text()
        assert old in text, f"{old!r} is not in {path}"
        target.write_text(text.replace(old, new, 1))
        git(self.linux, "commit", "-q", "-a", "-m", f"fake: {subject}\n\nA reason.\n")
        number = len(self.patches) + 1
        slug = "fake-" + subject.replace(" ", "-")
        name = f"{topic}/{number:04}-{slug}.patch"
        (self.top / "patches" / topic).mkdir(exist_ok=True)
        (self.top / "patches" / name).write_text(
            git(self.linux, "format-patch", "-1", "--stdout", "--zero-commit", "--no-signature"))
        self.patches.append(name)
        lines = proof or 'nothing = "a seeded defect"'
        self.proofs.append(f'[[proof]]\npatch = "{topic}/{slug}"\n{textwrap.dedent(lines)}\n')
        lines = ["# base: v7.3"]
        for before, here in zip(["", *self.patches], self.patches, strict=False):
            if here.split("/")[0] != before.split("/")[0]:
                lines += [f"# topic: {here.split('/')[0]}", "# tree: fakes", "# list: list@fake.example"]
            lines.append(here)
        (self.top / "series").write_text("\n".join(lines) + "\n")
        (self.top / "ci/proofs.toml").write_text("\n".join(self.proofs))
        return self.top / "patches" / name

    def mend(self):
        """The first patch of most tests: turns the failing case green, and proves it."""
        return self.patch("mend the case", "boot.sh", "not ok 2 mended", "ok 2 mended",
                          'cases = ["*/main/unit/mended"]')

    def table(self):
        """table.txt of the last run, without what it cost."""
        text = (self.top / "out/table.txt").read_text()
        return "".join(line for line in text.splitlines(True) if not line.startswith("cost: "))

    def run(self, *words, timeout=400, script="ci/run", static=False):
        """Call ci/run, without the static gates by default; (exit code, its whole output)."""
        more = ["--no-static"] if script == "ci/run" and not static else []
        done = subprocess.run([self.top / script, *more, *words], cwd=self.top, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                              env=self.environment, check=False)
        return done.returncode, done.stdout
