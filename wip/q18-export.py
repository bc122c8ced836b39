"""Write the topic cc-iommu of KERNEL to patches/ and series of CLONE."""
import pathlib, sys
TOP = pathlib.Path("CLONE")
sys.path.insert(0, str(TOP / "scripts"))
from lib import export
TREE = "KERNEL"
top = TOP / "patches/cc-iommu"
top.mkdir(exist_ok=True)
for old in top.iterdir():
    old.unlink()
names = []
for n, (slug, text) in enumerate(export.patches(TREE, "450fc6e"), 1):
    name = f"{n:04}-{slug}"
    (top / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    names.append(f"cc-iommu/{name}")
series = TOP / "series"
text = series.read_text()
text = text[:text.find("# topic: cc-iommu")] if "# topic: cc-iommu" in text else text
first = """# topic: cc-iommu needs dma-mapping
# wave: mmap-pages
# tree: dma-mapping
# list: iommu@lists.linux.dev
# needs: nothing
"""
head = """# wave: rfc
# tree: iommu
# list: iommu@lists.linux.dev linux-coco@lists.linux.dev virtualization@lists.linux.dev
# list: linux-doc@vger.kernel.org dri-devel@lists.freedesktop.org linux-media@vger.kernel.org
# list: linaro-mm-sig@lists.linaro.org
# needs: mmap-pages dma-mapping
"""
series.write_text(text.rstrip("\n") + "\n" + first + names[0] + "\n" + head + "\n".join(names[1:]) + "\n")
