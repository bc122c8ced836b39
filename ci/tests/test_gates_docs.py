# SPDX-License-Identifier: GPL-2.0
"""Gate docs, with Sphinx itself on a small tree of pages."""

import shutil
import unittest

from gates_fixture import GatesFixture
from marks import slow

# kernel-doc in a nutshell: the comments' lines are the text.
CONF = '''\
from docutils import nodes, statemachine
from docutils.parsers.rst import Directive, directives

class KernelDoc(Directive):
    required_arguments = 1
    option_spec = {"internal": directives.unchanged}
    def run(self):
        with open("../" + self.arguments[0]) as stream:
            lines = [line[3:].rstrip() for line in stream if line.startswith(" * ")]
        node = nodes.section()
        self.state.nested_parse(statemachine.StringList(lines, self.arguments[0]), 0, node)
        return node.children

def setup(app):
    app.add_directive("kernel-doc", KernelDoc)
'''

TOY = """\
Toys
====

.. kernel-doc:: drivers/toy/toy.c
   :internal:

.. kernel-doc:: drivers/toy/absent.c
"""


@unittest.skipUnless(shutil.which("sphinx-build"), "no sphinx-build (package python3-sphinx)")
class Docs(GatesFixture):

    def kernel(self):
        return {**super().kernel(), "Documentation/conf.py": CONF,
                "Documentation/index.rst": "Top\n===\n\n.. toctree::\n\n   toy\n   old\n   gone\n",
                "Documentation/toy.rst": TOY, "Documentation/gone.rst": "Gone\n====\n",
                "Documentation/old.rst": "Old\n===\n\n*An old defect\n\n.. include:: notes.txt\n",
                "Documentation/notes.txt": "Notes.\n",
                "Documentation/label.rst": ":orphan:\n\n.. _a-label:\n\nThe label\n=========\n"}

    def setUpTools(self):
        super().setUpTools()
        (self.bin / "sphinx-build").unlink()

    @slow
    def test_only_what_is_new_and_wrong_fails(self):
        docs = self.work / "Documentation"
        self.write(docs / "index.rst", (docs / "index.rst").read_text() + "   new\n")
        self.write(docs / "old.rst", (docs / "old.rst").read_text()
                   + "\nSee :doc:`toy` and :ref:`a-label`.\n")
        self.write(self.work / "drivers/toy/toy.c", "/**\n * Good text.\n */\nint toy_0;\n")
        self.add("New\n===\n\nA `page <https://toy.example>`_.\n", "toy: document",
                 name="Documentation/new.rst")

        self.write(docs / "notes.txt", "*Notes\n")
        self.write(docs / "new.rst", (docs / "new.rst").read_text() + "\n:ref:`no-label`, :doc:`no-page`\n")
        self.write(self.work / "drivers/toy/toy.c", "/**\n * Bad ``text.\n */\nint toy_0;\n")
        self.add("Alone\n=====\n", "toy: spoil", name="Documentation/alone.rst")

        (docs / "gone.rst").unlink()
        self.add("\nMore.\n", "toy: forget", name="Documentation/new.rst")

        results, done = self.check("--gate", "docs", expect=1)
        self.assertEqual(results[1, "docs"]["verdict"], "pass", done.stdout)
        self.assertEqual(self.failing(results), {(3, "docs"), (4, "docs")}, done.stdout)
        for step, words in ((3, ("notes.txt: WARNING: Inline emphasis",
                                 "undefined label: '?no-label", "unknown document: '?no-page",
                                 "WARNING: Inline literal",
                                 "alone.rst: WARNING: document isn't included")),
                            (4, ("index.rst: WARNING: toctree contains reference .* 'gone'",))):
            with open(results[step, "docs"]["log"], encoding="utf-8") as stream:
                text = stream.read()
            for word in words:
                self.assertRegex(text, word)
            self.assertEqual(len(text.splitlines()), len(words), text)


if __name__ == "__main__":
    unittest.main()
