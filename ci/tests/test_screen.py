# SPDX-License-Identifier: GPL-2.0
"""What the display of a machine shows: the cards, the pictures, the answers, the report."""

import base64
import contextlib
import json
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib
from unittest import mock

from fixture import Fixture
from marks import slow

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from harness import gallery, picture, screen  # noqa: E402
from harness.card import Card  # noqa: E402
from harness.cell import Booted, Cell, Picture  # noqa: E402
from harness.picture import Image  # noqa: E402
from harness.plan import CellPlan, Due  # noqa: E402
from lib.verdict import Judgement, Verdict  # noqa: E402

# Prints the memory of a card, whose rows have eight bytes more than they need.
DRAW = """\
#include <stdio.h>
#include <stdlib.h>
#include "card.h"

int main(int argc, char **argv)
{
	unsigned int card = atoi(argv[1]), width = atoi(argv[2]), height = atoi(argv[3]);
	unsigned int depth = atoi(argv[4]), pitch = width * depth / 8 + 8;
	void *memory = calloc(height, pitch);

	card_draw(memory, card, width, height, depth, pitch);
	return fwrite(memory, pitch, height, stdout) != height;
}
"""

# An emulator with a display, which shows card 7 where the image has a case mended and else card 3; its
# guest asks for card 7, and the answer is how the case goes.
EMULATOR = """\
#!/usr/bin/env python3
import json, pathlib, re, socket, subprocess, sys, threading
if sys.argv[1] == "--version":
    print("fake emulator 1.0")
    sys.exit()
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness.card import Card
text = pathlib.Path(sys.argv[1]).read_text()
assert pathlib.Path(sys.argv[sys.argv.index("-dtb") + 1]).read_text() == text
image = Card(3 if "not ok 2 mended" in text else 7, 240, 80, 16).image()


def listen(name):
    server = socket.socket(socket.AF_UNIX)
    server.bind(name)
    server.listen()
    return server


def answer(server):
    while True:
        client, _ = server.accept()
        client.sendall(b'{"QMP": {}}\\n')
        for line in client.makefile():
            asked = json.loads(line)
            if asked["execute"] == "screendump":
                pathlib.Path(asked["arguments"]["filename"]).write_bytes(
                    b"P6 240 80 255 " + image.pixels)
            client.sendall(b'{"return": {}}\\n')


threading.Thread(target=answer, args=(listen("qmp"),), daemon=True).start()
port, _ = listen("screen").accept()
port.sendall(b"shown card 240 80 16 7\\n")
said = port.makefile().readline().strip()
case = "ok 2 mended" if said == "same" else f"# mended: {said}\\nnot ok 2 mended"
text = re.sub("(not )?ok 2 mended", lambda match: case, text)
subprocess.run(["sh", "-c", f'exec 3>"{sys.argv[2]}"\\n{text}'], check=True)
"""


def pixel(image, x, y):
    """The colour of a pixel, as six digits."""
    start = 3 * (y * image.width + x)
    return image.pixels[start:start + 3].hex()


def shown(memory, width, height, depth):
    """The image in the memory of a frame with eight bytes more a row, as QEMU's PL111 shows it."""
    pixels, size = bytearray(), depth // 8
    for y in range(height):
        for x in range(width):
            start = y * (width * size + 8) + x * size
            value = int.from_bytes(memory[start:start + size], "little")
            if depth == 16:
                pixels += bytes([value >> 11 << 3, (value >> 5 & 63) << 2, (value & 31) << 3])
            else:
                pixels += bytes([value >> 16 & 255, value >> 8 & 255, value & 255])
    return Image(width, height, bytes(pixels))


class CardTest(unittest.TestCase):
    def test_words_of_the_description(self):
        image = Card(5, 320, 240, 16).image()
        self.assertEqual((image.width, image.height, len(image.pixels)), (320, 240, 3 * 320 * 240))
        white = "f8fcf8"
        self.assertEqual([pixel(image, *at) for at in ((0, 0), (319, 100), (7, 239), (0, 200))], [white] * 4)
        # bar 0 has the bits of 5, bar 3 those of 8
        self.assertEqual([pixel(image, 1, 1), pixel(image, 3 * 40, 1), pixel(image, 7 * 40 + 1, 100)],
                         ["f800f8", "000000", "f80000"])
        # squares: bits 0 and 2 of 5
        self.assertEqual([pixel(image, 16 + 24 * i, 16) for i in range(4)],
                         [white, "000000", white, "000000"])
        self.assertEqual([pixel(image, 31, 31), pixel(image, 32, 31), pixel(image, 31, 32)],
                         [white, "f800f8", "f800f8"])
        # red (40 + 5) % 32, green (130 + 10) % 64, blue (40 + 130) % 32
        self.assertEqual(pixel(image, 40, 130), bytes([13 << 3, 12 << 2, 10 << 3]).hex())
        self.assertEqual(pixel(Card(5, 320, 240, 32).image(), 40, 130), bytes([45, 140, 170]).hex())

    def test_the_guest_draws_the_same(self):
        with tempfile.TemporaryDirectory() as name:
            top = pathlib.Path(name)
            (top / "draw.c").write_text(DRAW)
            subprocess.run(["gcc", "-Wall", "-Werror", f"-I{TOP}/ci/guest/programs", "-o", top / "draw",
                            top / "draw.c"], check=True, timeout=60)
            for card, width, height, depth in ((0, 240, 80, 16), (1, 640, 480, 16), (255, 320, 200, 32)):
                memory = subprocess.run([top / "draw", *map(str, (card, width, height, depth))], check=True,
                                        capture_output=True, timeout=60).stdout
                self.assertEqual(picture.difference(shown(memory, width, height, depth),
                                                    Card(card, width, height, depth).image()), "")

    def test_cards_differ(self):
        cards = {Card(n, 240, 80, 16).image().pixels for n in range(256)}
        self.assertEqual(len(cards), 256)


class PictureTest(unittest.TestCase):
    IMAGE = Image(2, 2, bytes(range(12)))

    def test_ppm(self):
        for head in (b"P6\n2 2\n255\n", b"P6\n# by QEMU\n2 2\n255\n", b"P6 2 2 255 "):
            self.assertEqual(picture.ppm(head + self.IMAGE.pixels), self.IMAGE)
        for wrong in (b"", b"P5\n2 2\n255\n" + bytes(12), b"P6\n2 2\n65535\n" + bytes(24),
                      b"P6\n2 2\n255\n" + bytes(11)):
            with self.assertRaises(picture.NoPicture):
                picture.ppm(wrong)

    def test_difference(self):
        self.assertEqual(picture.difference(self.IMAGE, self.IMAGE), "")
        other = Image(2, 2, bytes([*range(9), 9, 9, 9]))
        self.assertEqual(picture.difference(self.IMAGE, other),
                         "1 of 4 pixels differ, first 1,1: 090a0b, and not 090909")
        self.assertEqual(picture.difference(self.IMAGE, Image(4, 1, self.IMAGE.pixels)),
                         "2 x 2 pixels, and not 4 x 1")

    def test_png(self):
        data = picture.png(self.IMAGE)
        self.assertTrue(data.startswith(b"\x89PNG\r\n\x1a\n"))
        chunks, at = {}, 8
        while at < len(data):
            length, kind = struct.unpack(">I4s", data[at:at + 8])
            body = data[at + 8:at + 8 + length]
            self.assertEqual(data[at + 8 + length:at + 12 + length],
                             zlib.crc32(kind + body).to_bytes(4, "big"))
            chunks[kind], at = body, at + 12 + length
        self.assertEqual(list(chunks), [b"IHDR", b"IDAT", b"IEND"])
        self.assertEqual(struct.unpack(">IIBBBBB", chunks[b"IHDR"]), (2, 2, 8, 2, 0, 0, 0))
        self.assertEqual(zlib.decompress(chunks[b"IDAT"]),
                         b"\0" + bytes(range(6)) + b"\0" + bytes(range(6, 12)))


class ScreenTest(unittest.TestCase):
    """Screen, with the guest's end of the port and the emulator's monitor here."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        self.frame = Card(1, 240, 80, 16).image()  # what the display shows
        self.screendump = self.dump  # what the monitor does when it is asked
        self.monitor()
        self.screen = screen.Screen(self.top)
        self.addCleanup(self.screen.close)
        # later than the screen looks for it, as an emulator's
        server = self.listen("screen")
        self.port, _ = server.accept()
        self.addCleanup(self.port.close)
        self.lines = self.port.makefile("rb")
        self.addCleanup(self.lines.close)

    def listen(self, name):
        """A server at a socket of the directory; one that is not asked for five seconds fails."""
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(self.top / name))
        server.listen()
        server.settimeout(5)
        return server

    def monitor(self):
        """Answer as a monitor."""
        server = self.listen("qmp")
        server.settimeout(None)

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return  # the test is over
                with client, contextlib.suppress(OSError):
                    client.sendall(b'{"QMP": {}}\n')
                    for line in client.makefile():
                        asked = json.loads(line)
                        said = {"return": {}}
                        if asked["execute"] == "screendump":
                            said = self.screendump(self.top / asked["arguments"]["filename"])
                        client.sendall(json.dumps(said).encode() + b"\n")
        threading.Thread(target=serve, daemon=True).start()

    def dump(self, path):
        """What an emulator does that works."""
        head = f"P6\n{self.frame.width} {self.frame.height}\n255\n"
        path.write_bytes(head.encode() + self.frame.pixels)
        return {"return": {}}

    def ask(self, line):
        """What the guest reads when it has written a line."""
        self.port.settimeout(5)
        self.port.sendall(f"{line}\n".encode())
        return self.lines.readline().decode().strip()

    def end(self):
        """The machine ends: its pictures."""
        self.port.shutdown(socket.SHUT_RDWR)
        return self.screen.close()

    def test_same_and_another(self):
        self.assertEqual(self.ask("shown first 240 80 16 1"), "same")
        self.assertRegex(self.ask("shown second 240 80 16 2"),
                         r"^\d+ of 19200 pixels differ, first \d+,\d+: ")
        self.frame = Image(16, 16, bytes(768))
        self.assertEqual(self.ask("shown third 240 80 16 2"), "16 x 16 pixels, and not 240 x 80")
        pictures = self.end()
        self.assertEqual([(p.name, bool(p.wrong)) for p in pictures],
                         [("first", False), ("second", True), ("third", True)])
        self.assertEqual(pictures[0].seen, picture.png(Card(1, 240, 80, 16).image()))
        self.assertEqual(pictures[1].expected, picture.png(Card(2, 240, 80, 16).image()))

    def test_what_is_no_question(self):
        for line, why in (("", "no request"), ("shown ../x 240 80 16 1", "no request"),
                          ("shown x 240 80 16 1 2", "no request"), ("shown x 240 80 24 1", "no such card"),
                          ("shown x 244 80 16 1", "no such card"), ("shown x 16 16 16 1", "no such card"),
                          ("shown x 240 80 16 256", "no such card")):
            self.assertIn(why, self.ask(line))
        self.assertEqual(self.ask("shown x 240 80 16 1"), "same")
        self.assertEqual(len(self.end()), 1)

    def test_monitor_that_refuses_or_lies(self):
        for answer, why in (({"error": {"desc": "no console"}}, "unknown: screendump: no console"),
                            ({"return": {}}, "No such file")):
            self.screendump = lambda path, said=answer: said
            self.assertIn(why, self.ask("shown x 240 80 16 1"))
        pictures = self.end()
        self.assertEqual([(bool(p.wrong), p.seen) for p in pictures], [(True, b"")] * 2)

    def test_monitor_that_does_not_answer(self):
        self.screendump = lambda path: time.sleep(2)
        with mock.patch.object(screen, "SECONDS", 0.5):
            self.assertIn("unknown: screendump: ", self.ask("shown x 240 80 16 1"))

    def test_no_more_than_some_pictures(self):
        with mock.patch.object(screen, "_MOST", 1):
            self.ask("shown x 240 80 16 1")
            self.assertIn("unknown: there are 1 pictures", self.ask("shown x 240 80 16 1"))

    def test_line_without_an_end(self):
        self.port.sendall(b"x" * 300)
        self.assertEqual(self.lines.readline(), b"")
        self.assertEqual(self.screen.close(), [])


class NoPortTest(unittest.TestCase):
    def test_machine_that_ends_before_it_has_a_port(self):
        with tempfile.TemporaryDirectory() as name:
            start = time.monotonic()
            self.assertEqual(screen.Screen(pathlib.Path(name)).close(), [])
            self.assertLess(time.monotonic() - start, 5)


class GalleryTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        for name in ("a.png", "b.png", "c.png"):
            (self.top / name).write_bytes(name.encode())
        judged = Judgement(3, "lane", "boot:main", Verdict.FAIL)
        due = Due(True, "every step")
        self.cell = Cell(CellPlan(3, "lane", due, (("main", due),)), boots=(Booted("main", judged, pictures=(
            Picture("good", "", self.top / "a.png", None),
            Picture("bad", "9 pixels <differ>", self.top / "b.png", self.top / "c.png"),
            Picture("gone", "", self.top / "d.png", None))),))

    def test_a_wrong_picture_comes_first_and_is_beside_the_right_one(self):
        found = gallery.Gallery([self.cell])
        text = found.of(3, "lane")
        self.assertLess(text.index("main: bad: 9 pixels &lt;differ&gt;"),
                        text.index("main: good: as expected"))
        sources = re.findall(r'title="(\w+)" src="data:image/png;base64,([^"]*)"', text)
        self.assertEqual([(which, base64.b64decode(data)) for which, data in sources],
                         [("seen", b"b.png"), ("expected", b"c.png"), ("seen", b"a.png")])
        self.assertIn("main: gone: as expected; the picture is missing", text)
        self.assertEqual(found.of(2, "lane"), "")


class RunTest(unittest.TestCase):
    """ci/run on a fake kernel, whose machine has a display and a device tree of kbuild's."""

    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)
        lanes = self.fixture.top / "ci/lanes"
        (lanes / "fake.toml").write_text((lanes / "fake.toml").read_text()
                                         .replace('image = "image"', 'image = "image"\ndtb = "image"')
                                         .replace("silence = 20", "silence = 20\nscreen = true"))
        (lanes / "fake-qemu").write_text(EMULATOR)
        self.fixture.mend()

    def pictures(self):
        """The pictures of the page: what each is, in order."""
        return re.findall(r'title="(\w+)" src="data:image/png;base64,iVBOR', self.page())

    def page(self):
        return (self.fixture.top / "out/index.html").read_text()

    @slow
    def test_pictures_are_in_the_report_and_kept_with_the_verdict(self):
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("proof of step 1: fake/main/unit/mended: fail 0, pass 1", text)
        there = ["seen", "expected", "seen"]
        self.assertEqual(self.pictures(), there)
        self.assertRegex(self.page(), r"main: card: \d+ of 19200 pixels differ")
        self.assertIn("main: card: as expected", self.page())
        code, text = self.fixture.run()
        self.assertEqual((code, text.count("(kept)"), self.pictures()), (0, 4, there), text)
        for path in (self.fixture.directory / "cache/linux-dmabuf-series/logs").glob("*.png"):
            path.unlink()
        self.assertEqual(self.fixture.run()[0], 0)
        self.assertEqual(self.pictures(), [])
        self.assertIn("the picture is missing", self.page())


if __name__ == "__main__":
    unittest.main()
