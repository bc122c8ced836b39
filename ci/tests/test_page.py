# SPDX-License-Identifier: GPL-2.0
"""index.html: read by a parser as well as by a browser, made of results that are written down here."""

import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from harness import excerpt, page, plot, symbols  # noqa: E402
from harness.cell import Booted, Built, Cell  # noqa: E402
from harness.plan import CellPlan, Due  # noqa: E402
from harness.regress import Ran  # noqa: E402
from harness.report import Report  # noqa: E402
from harness.splat import Splat  # noqa: E402
from lib.verdict import Judgement, Verdict  # noqa: E402

VOID = {"meta", "input", "br", "link", "img", "hr"}
WORDS = ["pass", "fail", "skip", "flaky", "lost"]


class Parser(html.parser.HTMLParser):
    """elements: (name, attributes, the names above it) of each; texts: {index of an element: text in it}."""

    def __init__(self, document):
        super().__init__()
        self.elements, self.texts, self.open, self.wrong = [], {}, [], []
        self.feed(document)
        self.close()
        self.wrong += [f"<{self.elements[n][0]}> is not closed" for n in self.open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [self.elements[n][0] for n in self.open]))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.elements[self.open[-1]][0] != tag:
            self.wrong.append(f"</{tag}> in {[self.elements[n][0] for n in self.open]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        for n in self.open:
            self.texts[n] = self.texts.get(n, "") + data

    def all(self, tag, **attrs):
        return [n for n, (name, found, _) in enumerate(self.elements) if name == tag
                and all(found.get(k.rstrip("_")) == v for k, v in attrs.items())]


class PageTest(unittest.TestCase):
    """Three steps in two lanes: one passes, one fails with a splat, one is lost, flaky and skipped."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="page-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        (self.top / "console").write_text("".join(f"line {n}\n" for n in range(90)) +
                                          "not ok 1 <case> & more\n" + "after\n" * 90)
        patches = [types.SimpleNamespace(step=n, topic=topic, name=f"{topic}/{n}.patch",
                                         text=f"Subject: {what}\n\n")
                   for n, topic, what in ((1, "one", "first <&>"), (2, "two", "second"))]
        series = types.SimpleNamespace(base="v7.3", patches=patches)
        log, again = str(self.top / "console"), 'ci/run --lane fast --step 1 --boot "x & y"'
        verdicts = {(0, "fast"): "pass", (1, "fast"): "fail", (2, "fast"): "pass",
                    (0, "slow"): "skip", (1, "slow"): "flaky", (2, "slow"): "lost"}
        self.judgements = [Judgement(step, lane, "boot:main", Verdict(word), "" if word == "pass" else
                                     f"<{word}> & why", log, again, 10.0 * step + 1, 5.0)
                           for (step, lane), word in verdicts.items()]
        self.judgements += [Judgement(step, lane, "build", Verdict.PASS, command="b", seconds=30.0 + step,
                                      cpu=50.0 + step) for step, lane in verdicts]
        self.judgements.append(Judgement(1, "series", "apply", Verdict.PASS))
        cells = []
        for (step, lane), word in verdicts.items():
            due = Due(True, "x")
            words = {f"{lane}/main/t/case": "fail" if step == 0 else "pass"}
            boot = Booted("main", self.judgements[0], Ran(words), (), () if word != "fail" else
                          (Splat("WARNING: <x>", ("one", "two & three"), ("f", "g")),))
            cells.append(Cell(CellPlan(step, lane, due, (("main", due),)),
                              Built(self.judgements[0], text=1000 + 10 * step), (), (boot,)))
        proof = types.SimpleNamespace(patch=patches[0], patterns=["*/main/t/case"], nothing="", splats=[])
        other = types.SimpleNamespace(patch=patches[1], patterns=[], nothing="only a <comment>", splats=[])
        self.report = Report(series, [0, 1, 2], ["fast", "slow"], self.judgements, cells, [proof, other],
                             accelerators={"fast": "TCG"})
        mutants = {"mutants": [
            {"outcome": word, "name": f"m-{word}", "file": "a.c", "line": 3, "reason": f"<{word}>", "why": "",
             "command": f"ci/mutate --again m-{word}"} for word in ("caught", "missed")]}
        (self.top / "mutate.json").write_text(json.dumps(mutants))
        (self.top / "bench.json").write_text(json.dumps({"lanes": {"bench-x": [
            {"name": name, "ratio": ratio, "verdict": word} for name, ratio, word in (
                ("map", 1.0, "pass"), ("unmap", 2.0, "fail"), ("new", None, "skip"))]}}))
        (self.top / "bench.txt").write_text("map  10 <x>\n")
        (self.top / "ktest.txt").write_text("ci/run beside ktest.pl <y>\n")
        self.html = page.Page(self.report, page.Beside.read(self.top)).html()
        self.parsed = Parser(self.html)

    def test_what_the_lanes_boot_under(self):
        self.assertIn("<p>Lane fast boots under TCG</p>", self.html)
        self.assertIn("\naccelerator: lane fast boots under TCG\n", self.report.table())

    def text(self, index):
        return self.parsed.texts.get(index, "")

    def table(self, after):
        """The rows of the first table behind a heading, as lists of texts."""
        found = self.parsed.elements
        start = next(n for n in self.parsed.all("h2") if self.text(n) == after)
        rows = []
        table = next(n for n in range(start, len(found)) if found[n][0] == "table")
        for n in range(table + 1, len(found)):
            if found[n][0] in ("h2", "table"):
                break
            if found[n][0] == "tr":
                rows.append([])
            if found[n][0] in ("td", "th"):
                rows[-1].append(self.text(n))
        return rows

    def test_it_is_whole(self):
        self.assertEqual(self.parsed.wrong, [])
        ids = [found["id"] for _, found, _ in self.parsed.elements if "id" in found]
        self.assertEqual(len(ids), len(set(ids)))
        links = [found["href"] for name, found, _ in self.parsed.elements if name == "a"]
        self.assertLessEqual({link[1:] for link in links if link.startswith("#")}, set(ids))

    def test_nothing_comes_from_elsewhere(self):
        for name, found, _ in self.parsed.elements:
            self.assertNotIn(name, ("link", "img", "iframe", "object", "embed", "base"))
            self.assertNotIn("src", found)
        self.assertNotRegex(self.html, r"https?:|@import|url\(|//[a-z]|fetch\(|XMLHttp|import\(")
        self.assertEqual({found["href"] for name, found, _ in self.parsed.elements if name == "a"
                          and not found["href"].startswith("#")},
                         {f"logs/{j.log_name}" for j in self.judgements if j.log})

    def test_steps_by_lanes_at_a_glance(self):
        rows = self.table("Steps and lanes")
        self.assertEqual(rows[0], ["step", "patch", "series", "fast", "slow"])
        self.assertEqual([row[2:] for row in rows[1:]],
                         [["-", "pass", "pass"], ["pass", "fail", "flaky"], ["-", "pass", "lost"]])
        self.assertEqual(rows[2][1], "first <&>")
        for n in self.parsed.all("td", class_="fail"):
            self.assertEqual(self.text(n), "fail", "a colour alone says nothing")

    def test_each_cell_leads_to_its_log_and_its_command(self):
        links = [found["href"] for name, found, above in self.parsed.elements
                 if name == "a" and "tbody" in above]
        self.assertEqual(len(links), 7)
        for link in links:
            section, = self.parsed.all("section", id=link[1:])
            self.assertIn(f"step {link[2]}", self.text(section))
        section, = self.parsed.all("section", id="s1-fast")
        self.assertIn('ci/run --lane fast --step 1 --boot "x & y"', self.text(section))
        self.assertIn("<fail> & why", self.text(section))
        self.assertIn("line 89\nnot ok 1 <case> & more\nafter", self.text(section))
        self.assertNotIn("line 2\n", self.text(section))
        section, = self.parsed.all("section", id="s0-fast")
        self.assertNotIn("not ok 1", self.text(section))
        self.judgements[1] = Judgement(1, "fast", "boot:main", Verdict.FAIL, "x", str(self.top / "gone"))
        self.assertIn("the log is missing", page.Page(Report(
            self.report.series, [1], ["fast"], self.judgements[1:2], [], [])).html())

    def test_filters(self):
        boxes = self.parsed.all("input", type="checkbox")
        self.assertEqual([self.parsed.elements[n][1]["value"] for n in boxes], WORDS)
        self.assertTrue(all("checked" in self.parsed.elements[n][1] for n in boxes))
        self.assertEqual([self.parsed.elements[n][1]["value"] for n in self.parsed.all("option")],
                         ["", "one", "two"])
        rows = [found for name, found, _ in self.parsed.elements if name in ("tr", "section")
                and "data-verdicts" in found]
        self.assertEqual([(r["data-topic"], r["data-verdicts"]) for r in rows if "id" not in r],
                         [("", "pass skip"), ("one", "fail flaky pass"), ("two", "lost pass")])
        # a field without a name that a reader can say is none
        for n in [*boxes, *self.parsed.all("select")]:
            self.assertIn("label", self.parsed.elements[n][2])

    def test_splats_with_their_traces(self):
        n = next(n for n in self.parsed.all("details") if "WARNING: <x>" in self.text(n))
        self.assertIn("one\ntwo & three", self.text(n))

    def test_plots(self):
        plots = {self.text(n + 1) for n in self.parsed.all("svg", role="img")}
        self.assertEqual(plots, {"Builds", "Boots", "Code of the kernel, more than at the first step",
                                 "bench-x: instructions of the later step / of the earlier one"})
        figures = [self.text(n) for n in self.parsed.all("figure")]
        self.assertEqual(len(figures), 4)
        for figure in figures[:3]:
            self.assertRegex(figure, "by step:.* fast,.* slow")
        self.assertEqual(self.table("Size")[1], ["fast", "0", "1,000", "2", "1,020", "+20"])

    def test_a_plot_shows_what_it_is_given(self):
        drawn = plot.lines("T", "s", {"a": {0: 0.0, 1: 10.0, 3: 5.0}})
        path = re.search(r'class="line"[^>]* d="([^"]*)"><title>a', drawn).group(1)
        points = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]
        (x0, y0), (x1, y1), (x3, y3) = points
        self.assertAlmostEqual((x1 - x0) * 3, x3 - x0, delta=0.5)
        self.assertAlmostEqual(y0 - y3, (y0 - y1) / 2, delta=0.2)
        self.assertEqual(path.count("M"), 2, "step 2 is a gap")
        self.assertEqual(plot.lines("T", "s", {"a": {}}), "")
        for value in (0.0, 7.0):
            self.assertIn("<svg", plot.lines("T", "s", {"a": {5: value}}))
        self.assertIn("<svg", plot.lines("T", "s", {"a": {1: -5.0, 2: -3.0}}, zero=False))

    def test_proofs_are_red_and_green(self):
        rows = self.table("Proof per patch")
        self.assertEqual(rows[1][:2] + rows[1][3:], ["1", "*/main/t/case (2 cases)", "fail 0, pass 1-2"])
        rects = [self.parsed.elements[n][1]["class"] for n in self.parsed.all("rect", y="0")]
        self.assertEqual(rects, ["fail", "pass", "pass"])
        self.assertIn("only a &lt;comment&gt;", self.html)

    def test_mutants_and_instructions(self):
        self.assertIn("1 caught, 1 missed", self.html)
        self.assertEqual(self.table("Mutants")[1:], [
            ["missed", "m-missed", "a.c:3", "<missed>", "ci/mutate --again m-missed"]])
        self.assertIn("map  10 &lt;x&gt;", self.html)
        self.assertIn('<h2 id="ktest-h">Beside ktest.pl</h2><pre>ci/run beside ktest.pl &lt;y&gt;', self.html)
        widths = {self.parsed.elements[n][1]["class"]: float(self.parsed.elements[n][1]["width"])
                  for n in self.parsed.all("rect") if self.parsed.elements[n - 1][0] == "text"}
        self.assertAlmostEqual(widths["fail"] / widths["pass"], 2, delta=0.01)
        for text in ("", "[]", '{"mutants": 1, "lanes": []}', "{"):
            for name in "mutate.json", "bench.json":
                (self.top / name).write_text(text)
            self.assertEqual(page.Beside.read(self.top), page.Beside(
                told="map  10 <x>\n", ktest="ci/run beside ktest.pl <y>\n", mutants=[]))
        self.assertEqual(page.Beside.read(self.top / "nothing"), page.Beside(mutants=[]))

    def test_keys_and_print(self):
        style, script = (self.text(self.parsed.all(name)[0]) for name in ("style", "script"))
        self.assertRegex(style, r"@media print \{[\s\S]*\.filter[^}]*display: none")
        self.assertIn(":focus-visible", style)
        for key in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "'/'", "'Escape'"):
            self.assertIn(key, script)
        self.assertEqual(len(self.parsed.all("html", lang="en")), 1)
        for n in self.parsed.all("th"):
            self.assertIn(self.parsed.elements[n][1].get("scope"), ("col", "row"))

    def test_excerpts(self):
        path = self.top / "log"
        path.write_text("".join(f"line {n}\n" for n in range(200)))
        self.assertEqual(excerpt.of(path, "x")[-1], "line 199")
        self.assertEqual(len(excerpt.of(path, "x")), excerpt.LINES)
        path.write_text(path.read_text() + "a.c:1:2: error: no\n" + "z\n" * 100 + "WARNING: at some place\n")
        self.assertEqual(excerpt.of(path, "a.c")[excerpt.BEFORE], "a.c:1:2: error: no")
        self.assertEqual(excerpt.of(path, "x; splat: WARNING: at some place")[excerpt.BEFORE],
                         "WARNING: at some place")
        self.assertEqual(excerpt.of(self.top / "none", "x"), [])

    def test_the_size_of_a_kernel(self):
        """To the last function, not to where the linker aligns the end."""
        whole = "10 T _stext\n10 t a\n34 T b\n80 t __pi__etext\n80 T _etext\n90 T init\n"
        for symbols_of, size in ((whole, 0x24), ("10 T _stext\n34 T b\n", 0), ("", 0)):
            (self.top / "System.map").write_text("\n".join(f"00{line}" for line in symbols_of.splitlines()))
            symbols.keep(self.top / "System.map", self.top)
            self.assertEqual(symbols.text_size(self.top), size)
        self.assertEqual(symbols.text_size(self.top / "none"), 0)

    def test_in_a_browser(self):
        """The filter by its checkboxes, the keys, and no error, in headless Chromium."""
        browser = shutil.which("chromium") or shutil.which("chromium-browser")
        if not browser:
            self.skipTest("there is no chromium: ci/install installs Debian's package")
        drive = """<script>
        const said = [];
        addEventListener('error', event => said.push('error ' + event.message));
        addEventListener('load', () => {
          const shown = () => document.querySelectorAll('#matrix tbody tr:not(.away)').length;
          const press = key => document.activeElement.dispatchEvent(
            new KeyboardEvent('keydown', {key: key, bubbles: true, cancelable: true}));
          said.push('all ' + shown());
          for (const box of document.querySelectorAll('.filter input'))
            if (box.value !== 'lost') box.click();
          said.push('lost ' + shown() + ' ' + document.getElementById('shown').textContent);
          for (const box of document.querySelectorAll('.filter input'))
            if (box.value !== 'lost') box.click();
          const topic = document.querySelector('.filter select');
          topic.value = 'one'; topic.dispatchEvent(new Event('change'));
          said.push('one ' + shown());
          topic.value = ''; topic.dispatchEvent(new Event('change'));
          document.querySelector('#matrix a[href="#s0-fast"]').focus();
          press('ArrowDown'); press('ArrowRight');
          said.push('at ' + document.activeElement.getAttribute('href'));
          press('ArrowLeft'); location.hash = document.activeElement.getAttribute('href');
          document.activeElement.blur(); press('Escape');
          said.push('back ' + document.activeElement.getAttribute('href'));
          press('/');
          said.push('slash ' + document.activeElement.value);
          const wide = document.documentElement.scrollWidth <= innerWidth;
          document.body.dataset.said = said.join(', ') + (wide ? '' : ', too wide');
        });</script>"""
        path = self.top / "index.html"
        path.write_text(self.html.replace("</head>", drive + "</head>"))
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.top}/profile",
             "--window-size=1200,900", "--virtual-time-budget=3000", "--dump-dom", path.as_uri()],
            capture_output=True, text=True, timeout=300, check=False, env={"HOME": str(self.top),
                                                                          "PATH": "/usr/bin:/bin"})
        said = re.search(r'data-said="([^"]*)"', done.stdout)
        self.assertTrue(said, done.stderr[-2000:])
        self.assertEqual(said.group(1), "all 3, lost 1 1 of 3 steps, one 1, at #s1-slow, back #s1-fast, "
                                        "slash pass")


if __name__ == "__main__":
    unittest.main()
