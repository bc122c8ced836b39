# SPDX-License-Identifier: GPL-2.0
"""The structure of the two libraries: what may import what, and that nothing is written or named twice.

This is the one place that says which floors there are. A file imports only from its own floor
and from those below, and no file imports itself by way of others.
"""

import ast
import collections
import pathlib
import re
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]

# From the lowest to the highest: what it is, and the patterns of its files.
FLOORS = (
    ("commands, the cache, git, the series and its tables", ["scripts/lib/*.py"]),
    ("a lane's kernel: configuration, build, diagnostics", ["scripts/lib/kernel/*.py"]),
    ("the static gates and their walk", ["scripts/lib/gates/*.py"]),
    ("guests, boots, proofs, reports: what ci/ adds", ["ci/harness/*.py"]),
    ("the commands", ["scripts/*", "ci/*"]),
)
# Lines that two files may share by chance: imports, comments, and what has few letters.
_TRIVIAL = re.compile(r"from |import |sys\.path\.|#|\"\"\"|@|class \w+:$|return \w+$")
_LETTERS, _COPIED = 6, 4
# Two machines, two programs of the guest and two tests may begin alike.
_ALIKE = ("ci/guest/", "ci/lanes/", "ci/tests/")


def python_files(top):
    """{path below top: floor} of all Python files, the highest floor that has the file."""
    found = {}
    for floor, (_, patterns) in enumerate(FLOORS):
        for path in sorted(path for pattern in patterns for path in top.glob(pattern)):
            if path.is_file() and (path.suffix == ".py" or
                                   path.read_bytes().startswith(b"#!/usr/bin/env python3\n")):
                found[str(path.relative_to(top))] = floor
    return found


def modules(files):
    """{name that an import has: path}: the roots of imports are scripts and ci.

    A command is no module: `import bisect` means Python's own.
    """
    found = {}
    for name in files:
        if not name.endswith(".py"):
            continue
        words = name.removesuffix(".py").split("/")[1:]
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = name
    return found


def imports(top, name, known):
    """The files that a file imports."""
    package = name.removesuffix(".py").split("/")[1:-1]
    found = set()
    for node in ast.walk(ast.parse((top / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            words = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            words = [one if (one := f"{module}.{alias.name}") in known else module for alias in node.names]
        else:
            continue
        found |= {known[word] for word in words if word in known}
    return found - {name}


def graph(top):
    """{file: floor}, {file: the files that it imports}."""
    files = python_files(top)
    known = modules(files)
    return files, {name: sorted(imports(top, name, known)) for name in files}


def namesakes(top):
    """{name of a public class: the files that have one of that name}, where these are several."""
    found = collections.defaultdict(list)
    for path in python_files(top):
        for node in ast.parse((top / path).read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def upward(files, edges):
    """What imports from a floor above its own: lines."""
    return [f"{name} imports {other}, which is above it: {FLOORS[files[other]][0]}"
            for name in files for other in edges[name] if files[other] > files[name]]


def circles(edges):
    """The files that import themselves by way of others: a line for each way that is found."""
    ended, found = set(), []

    def walk(name, way):
        if name in way:
            found.append(" imports ".join([*way[way.index(name):], name]))
        elif name not in ended:
            for other in edges[name]:
                walk(other, [*way, name])
            ended.add(name)

    for name in edges:
        walk(name, [])
    return found


def runs(path):
    """(number of the first line, text) of each few lines of a file that stand one behind the other."""
    lines = [(number, line.strip()) for number, line in enumerate(
        path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)]
    told = [(number, line) for number, line in lines
            if len(re.findall(r"\w", line)) >= _LETTERS and not _TRIVIAL.match(line)]
    for at in range(len(told) - _COPIED + 1):
        yield told[at][0], "\n".join(line for _, line in told[at:at + _COPIED])


def copied(top):
    """The lines that two files have that need not be alike: places."""
    kept = collections.defaultdict(list)
    paths = [p for p in sorted(top.glob("scripts/**/*")) + sorted(top.glob("ci/**/*"))
             if p.is_file() and "__pycache__" not in p.parts]
    found = []
    for path in paths:
        name = str(path.relative_to(top))
        for number, text in runs(path):
            others = [f"{other}:{line}" for other, line in kept[text] if not alike(name, other)]
            found += [f"{name}:{number} is {other}" for other in others[:1]]
            kept[text].append((name, number))
    return found


def alike(one, other):
    """Whether two paths are of one file, or of one directory of _ALIKE."""
    return one == other or one.startswith(_ALIKE) and other.startswith(_ALIKE) and \
        one.split("/")[1] == other.split("/")[1]


def hiding(files):
    """The files that hide a module of Python's from a file beside them that is run as a script."""
    return [name for name in files if name.endswith(".py")
            and name.startswith(("scripts/lib/", "ci/harness/"))
            and pathlib.PurePath(name).stem in sys.stdlib_module_names]


class StructureTest(unittest.TestCase):
    def test_no_file_has_the_name_of_a_module_of_python(self):
        self.assertEqual(hiding(python_files(TOP)), [])
        self.assertEqual(hiding(["ci/harness/bisect.py", "ci/bisect", "ci/harness/bisection.py"]),
                         ["ci/harness/bisect.py"])

    def test_no_import_goes_up_nor_in_a_circle(self):
        files, edges = graph(TOP)
        self.assertEqual((upward(files, edges), circles(edges)), ([], []))

    def test_nothing_is_copied_from_file_to_file(self):
        self.assertEqual(copied(TOP), [])

    def test_no_class_name_is_given_twice(self):
        self.assertEqual(namesakes(TOP), {})

    def test_each_file_has_a_floor(self):
        files = python_files(TOP)
        for path in [*TOP.glob("scripts/**/*.py"), *TOP.glob("ci/harness/**/*.py")]:
            self.assertIn(str(path.relative_to(TOP)), files)
        self.assertEqual(set(files.values()), set(range(len(FLOORS))))


class SeededTest(unittest.TestCase):
    """The same checks on a tree with defects."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        for name, text in {"scripts/lib/__init__.py": "", "scripts/lib/low.py": "import re\n",
                           "scripts/lib/kernel/__init__.py": "", "ci/harness/__init__.py": "",
                           "scripts/lib/kernel/build.py": "from .. import low\nfrom ..low import a\n",
                           "ci/harness/run.py": "from lib import low\nfrom lib.kernel.build import b\n",
                           "ci/run": "#!/usr/bin/env python3\nfrom harness import run\n"}.items():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_text(text)

    def add(self, name, text):
        path = self.top / name
        path.write_text(path.read_text() + text)

    def test_good(self):
        files, edges = graph(self.top)
        self.assertEqual((upward(files, edges), circles(edges), copied(self.top)), ([], [], []))
        self.assertEqual(edges["ci/harness/run.py"], ["scripts/lib/kernel/build.py", "scripts/lib/low.py"])

    def test_upward(self):
        for name, text, other in (
                ("scripts/lib/low.py", "def f():\n    from .kernel import build\n", "lib/kernel/build.py"),
                ("scripts/lib/kernel/build.py", "import harness.run\n", "ci/harness/run.py")):
            with self.subTest(name=name):
                self.add(name, text)
                self.assertRegex("\n".join(upward(*graph(self.top))),
                                 f"{name} imports .*{other}, which is above")

    def test_namesakes(self):
        self.add("scripts/lib/low.py", "\n\nclass Outcome:\n    x = 1\n\n\nclass _Own:\n    x = 2\n")
        self.assertEqual(namesakes(self.top), {})
        self.add("ci/harness/run.py", "\n\nclass Outcome:\n    y = 1\n\n\nclass _Own:\n    y = 2\n")
        self.assertEqual(namesakes(self.top), {"Outcome": ["scripts/lib/low.py", "ci/harness/run.py"]})

    def test_circle(self):
        (self.top / "scripts/lib/other.py").write_text("from . import low\n")
        self.add("scripts/lib/low.py", "from .other import c\n")
        self.assertEqual(circles(graph(self.top)[1]), [
            "scripts/lib/low.py imports scripts/lib/other.py imports scripts/lib/low.py"])

    def test_copied(self):
        text = "value = first(thing)\nother = second(value)\n\n# why\nthird(other, value)\n"
        self.add("scripts/lib/low.py", text)
        self.add("ci/harness/run.py", text)
        self.assertEqual(copied(self.top), [])
        for name in "scripts/lib/low.py", "ci/harness/run.py":
            self.add(name, "if fourth(other):\n")
        self.assertEqual(copied(self.top), ["ci/harness/run.py:3 is scripts/lib/low.py:2"])

    def test_copied_within_a_library(self):
        (self.top / "ci/lanes").mkdir()
        text = "value = first(thing)\nother = second(value)\nthird(other, value)\nif fourth(other):\n"
        for name in ("ci/harness/one.py", "ci/harness/two.py", "ci/lanes/one.toml", "ci/lanes/two.toml"):
            (self.top / name).write_text(text)
        self.assertEqual(copied(self.top), [f"ci/{name}:1 is ci/harness/one.py:1" for name in (
            "harness/two.py", "lanes/one.toml", "lanes/two.toml")])


if __name__ == "__main__":
    unittest.main()
