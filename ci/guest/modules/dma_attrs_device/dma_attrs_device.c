// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA attributes on a real device: what each mapping call does with
 * DMA_ATTR_CC_SHARED and DMA_ATTR_MMIO, behind an IOMMU and without one.
 *
 * The driver has no ids: bind it to a device by driver_override. While it is
 * bound, /sys/kernel/debug/dma_attrs_device/ has
 *
 *   path	"iommu" or "direct": how the device's DMA goes, which decides
 *		what the rows expect
 *   rows	runs the rows that use the API as it should be used
 *   stray	runs the rows that unmap with an attribute the mapping was not
 *		made with
 *
 * rows and stray answer one line a row: "pass NAME", or "fail NAME: WHY".
 * stray ends with "reports N": the N calls that dma-debug has to complain
 * about. They are in a file of their own so that whoever reads it can have
 * these complaints counted without having them printed.
 */

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>

/* QEMU's edu device: it copies between memory and a buffer of its own */
#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	BIT(0)
#define EDU_DMA_TO_RAM	BIT(1)
#define EDU_BUFFER	0x40000
#define EDU_BYTES	1024

struct attrs_device {
	struct device *dev;
	void __iomem *regs;
	phys_addr_t bar;
	struct page *page;
	struct iommu_domain *domain;	/* NULL on the direct path */
	struct dentry *dir;
};

static const struct {
	const char *name;
	unsigned long attrs;
} columns[] = {
	{ "none", 0 },
	{ "cc_shared", DMA_ATTR_CC_SHARED },
	{ "mmio", DMA_ATTR_MMIO },
	{ "mmio_cc_shared", DMA_ATTR_MMIO | DMA_ATTR_CC_SHARED },
};

/* The attribute is refused behind an IOMMU, and accepted on the direct path. */
static bool refused(struct attrs_device *ad, unsigned long attrs)
{
	return ad->domain && (attrs & DMA_ATTR_CC_SHARED);
}

/* Memory is mapped without DMA_ATTR_MMIO, the device's own BAR with it. */
static phys_addr_t source(struct attrs_device *ad, unsigned long attrs)
{
	return attrs & DMA_ATTR_MMIO ? ad->bar : page_to_phys(ad->page);
}

/* Where the device gets to with an address; 0: nowhere, as far as we can tell. */
static phys_addr_t reached(struct attrs_device *ad, dma_addr_t addr)
{
	return ad->domain ? iommu_iova_to_phys(ad->domain, addr) : addr;
}

static const char *judge_map(struct attrs_device *ad, dma_addr_t addr,
			     phys_addr_t phys, bool failed, bool refuse)
{
	if (failed)
		return refuse ? NULL : "the mapping failed";
	if (refuse)
		return "mapped, with the attribute ignored";
	if (reached(ad, addr) != phys)
		return "the address leads somewhere else";
	return NULL;
}

static const char *judge_unmap(struct attrs_device *ad, dma_addr_t addr)
{
	if (ad->domain && iommu_iova_to_phys(ad->domain, addr))
		return "still mapped after the unmap";
	return NULL;
}

static const char *row_map_phys(struct attrs_device *ad, unsigned long attrs)
{
	phys_addr_t phys = source(ad, attrs);
	const char *wrong;
	dma_addr_t addr;
	bool failed;

	addr = dma_map_phys(ad->dev, phys, PAGE_SIZE, DMA_BIDIRECTIONAL, attrs);
	failed = dma_mapping_error(ad->dev, addr);
	wrong = judge_map(ad, addr, phys, failed, refused(ad, attrs));
	if (!failed) {
		dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, attrs);
		wrong = wrong ?: judge_unmap(ad, addr);
	}
	return wrong;
}

/* A page is memory: DMA_ATTR_MMIO is refused on every path. */
static const char *row_map_page(struct attrs_device *ad, unsigned long attrs)
{
	bool refuse = refused(ad, attrs) || attrs & DMA_ATTR_MMIO;
	const char *wrong;
	dma_addr_t addr;
	bool failed;

	addr = dma_map_page_attrs(ad->dev, ad->page, 0, PAGE_SIZE,
				  DMA_BIDIRECTIONAL, attrs);
	failed = dma_mapping_error(ad->dev, addr);
	wrong = judge_map(ad, addr, page_to_phys(ad->page), failed, refuse);
	if (!failed) {
		dma_unmap_page_attrs(ad->dev, addr, PAGE_SIZE,
				     DMA_BIDIRECTIONAL, attrs);
		wrong = wrong ?: judge_unmap(ad, addr);
	}
	return wrong;
}

/* An entry of a table has a page behind it, so this is memory in every column. */
static const char *row_map_sgtable(struct attrs_device *ad, unsigned long attrs)
{
	struct sg_table table;
	const char *wrong;
	dma_addr_t addr;
	int ret;

	if (sg_alloc_table(&table, 1, GFP_KERNEL))
		return "no memory";
	sg_set_page(table.sgl, ad->page, PAGE_SIZE, 0);

	ret = dma_map_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL, attrs);
	if (ret) {
		wrong = judge_map(ad, 0, 0, true, refused(ad, attrs));
		if (!wrong && ret != -EOPNOTSUPP)
			wrong = "refused with another error than -EOPNOTSUPP";
	} else {
		addr = sg_dma_address(table.sgl);
		wrong = judge_map(ad, addr, page_to_phys(ad->page), false,
				  refused(ad, attrs));
		dma_unmap_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL, attrs);
		wrong = wrong ?: judge_unmap(ad, addr);
	}
	sg_free_table(&table);
	return wrong;
}

static const char *row_iova_link(struct attrs_device *ad, unsigned long attrs)
{
	phys_addr_t phys = source(ad, attrs);
	struct dma_iova_state state = {};
	const char *wrong;
	dma_addr_t addr;
	int ret;

	if (!dma_iova_try_alloc(ad->dev, &state, phys, PAGE_SIZE))
		return ad->domain ? "no IOVA" : NULL;
	if (!ad->domain) {
		dma_iova_free(ad->dev, &state);
		return "an IOVA on the direct path";
	}

	addr = state.addr;
	ret = dma_iova_link(ad->dev, &state, phys, 0, PAGE_SIZE,
			    DMA_BIDIRECTIONAL, attrs);
	if (ret) {
		wrong = judge_map(ad, 0, 0, true, refused(ad, attrs));
		if (!wrong && ret != -EOPNOTSUPP)
			wrong = "refused with another error than -EOPNOTSUPP";
		if (!wrong)
			wrong = judge_unmap(ad, addr);
		dma_iova_free(ad->dev, &state);
		return wrong;
	}

	ret = dma_iova_sync(ad->dev, &state, 0, PAGE_SIZE);
	wrong = judge_map(ad, addr, phys, ret, refused(ad, attrs));
	dma_iova_destroy(ad->dev, &state, PAGE_SIZE, DMA_BIDIRECTIONAL, attrs);
	return wrong ?: judge_unmap(ad, addr);
}

static const struct {
	const char *name;
	const char *(*run)(struct attrs_device *ad, unsigned long attrs);
} calls[] = {
	{ "map_phys", row_map_phys },
	{ "map_page", row_map_page },
	{ "map_sgtable", row_map_sgtable },
	{ "iova_link", row_iova_link },
};

static bool edu_copy(struct attrs_device *ad, u64 from, u64 to, u64 cmd)
{
	int tries = 500;

	lo_hi_writeq(from, ad->regs + EDU_DMA_SRC);
	lo_hi_writeq(to, ad->regs + EDU_DMA_DST);
	lo_hi_writeq(EDU_BYTES, ad->regs + EDU_DMA_COUNT);
	lo_hi_writeq(cmd, ad->regs + EDU_DMA_CMD);
	while (lo_hi_readq(ad->regs + EDU_DMA_CMD) & EDU_DMA_RUN) {
		if (!tries--)
			return false;
		msleep(20);
	}
	return true;
}

/* The device reads one half of a mapped page and writes it to the other half. */
static const char *row_transfer(struct attrs_device *ad)
{
	u8 *data = page_address(ad->page);
	const char *wrong = NULL;
	dma_addr_t addr;
	bool copied;

	get_random_bytes(data, EDU_BYTES);
	memset(data + SZ_2K, 0, EDU_BYTES);
	addr = dma_map_phys(ad->dev, page_to_phys(ad->page), PAGE_SIZE,
			    DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(ad->dev, addr))
		return "the mapping failed";
	copied = edu_copy(ad, addr, EDU_BUFFER, EDU_DMA_RUN) &&
		 edu_copy(ad, EDU_BUFFER, addr + SZ_2K, EDU_DMA_RUN | EDU_DMA_TO_RAM);
	dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	if (!copied)
		wrong = "the device does not finish";
	else if (memcmp(data, data + SZ_2K, EDU_BYTES))
		wrong = "other data than was sent";
	return wrong;
}

static void say(struct seq_file *seq, const char *call, const char *column,
		const char *wrong)
{
	seq_printf(seq, "%s %s_%s%s%s\n", wrong ? "fail" : "pass", call, column,
		   wrong ? ": " : "", wrong ?: "");
}

static int rows_show(struct seq_file *seq, void *unused)
{
	struct attrs_device *ad = seq->private;
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		for (k = 0; k < ARRAY_SIZE(columns); k++)
			say(seq, calls[i].name, columns[k].name,
			    calls[i].run(ad, columns[k].attrs));
	say(seq, "device", "transfer", row_transfer(ad));
	return 0;
}

/*
 * Unmap a plain mapping as if it had been made with DMA_ATTR_CC_SHARED. When
 * that leaves the mapping in place, unmap it as one should, so that the device
 * has no access to the page once it is freed.
 */
static const char *stray_unmap_phys(struct attrs_device *ad)
{
	const char *wrong;
	dma_addr_t addr;

	addr = dma_map_phys(ad->dev, page_to_phys(ad->page), PAGE_SIZE,
			    DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(ad->dev, addr))
		return "the mapping failed";
	dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL,
		       DMA_ATTR_CC_SHARED);
	wrong = judge_unmap(ad, addr);
	if (wrong)
		dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	return wrong;
}

static const char *stray_unmap_page(struct attrs_device *ad)
{
	const char *wrong;
	dma_addr_t addr;

	addr = dma_map_page_attrs(ad->dev, ad->page, 0, PAGE_SIZE,
				  DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(ad->dev, addr))
		return "the mapping failed";
	dma_unmap_page_attrs(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL,
			     DMA_ATTR_CC_SHARED);
	wrong = judge_unmap(ad, addr);
	if (wrong)
		dma_unmap_page_attrs(ad->dev, addr, PAGE_SIZE,
				     DMA_BIDIRECTIONAL, 0);
	return wrong;
}

static const char *stray_unmap_sgtable(struct attrs_device *ad)
{
	const char *wrong = "the mapping failed";
	struct sg_table table;
	dma_addr_t addr;

	if (sg_alloc_table(&table, 1, GFP_KERNEL))
		return "no memory";
	sg_set_page(table.sgl, ad->page, PAGE_SIZE, 0);

	if (!dma_map_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL, 0)) {
		addr = sg_dma_address(table.sgl);
		dma_unmap_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL,
				  DMA_ATTR_CC_SHARED);
		wrong = judge_unmap(ad, addr);
	}
	sg_free_table(&table);
	return wrong;
}

static int stray_show(struct seq_file *seq, void *unused)
{
	struct attrs_device *ad = seq->private;

	say(seq, "unmap_phys", "stray_cc_shared", stray_unmap_phys(ad));
	say(seq, "unmap_page", "stray_cc_shared", stray_unmap_page(ad));
	say(seq, "unmap_sgtable", "stray_cc_shared", stray_unmap_sgtable(ad));
	seq_puts(seq, "reports 3\n");
	return 0;
}

static int path_show(struct seq_file *seq, void *unused)
{
	struct attrs_device *ad = seq->private;

	seq_printf(seq, "%s\n", ad->domain ? "iommu" : "direct");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(path);

/* A buffer that the answer fits in: a second try would run the rows twice. */
static int rows_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, rows_show, inode->i_private, SZ_16K);
}

static int stray_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, stray_show, inode->i_private, SZ_16K);
}

static const struct file_operations rows_fops = {
	.owner = THIS_MODULE,
	.open = rows_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static const struct file_operations stray_fops = {
	.owner = THIS_MODULE,
	.open = stray_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static int attrs_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct iommu_domain *domain;
	struct attrs_device *ad;
	int ret;

	if (pdev->vendor != EDU_VENDOR || pdev->device != EDU_DEVICE)
		return -ENODEV;

	ad = devm_kzalloc(&pdev->dev, sizeof(*ad), GFP_KERNEL);
	if (!ad)
		return -ENOMEM;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	/* give QEMU's device dma_mask=0xffffffff: by default it has 28 bits */
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (ret)
		return ret;
	ad->regs = pcim_iomap(pdev, 0, 0);
	if (!ad->regs)
		return -ENOMEM;
	pci_set_master(pdev);

	/* Neither no IOMMU nor an identity domain translates: both are direct. */
	domain = iommu_get_domain_for_dev(&pdev->dev);
	if (device_iommu_mapped(&pdev->dev) && domain &&
	    domain->type != IOMMU_DOMAIN_IDENTITY)
		ad->domain = domain;

	ad->dev = &pdev->dev;
	ad->bar = pci_resource_start(pdev, 0);
	/* within the mask, so that nothing is bounced on the direct path */
	ad->page = alloc_page(GFP_KERNEL | GFP_DMA32 | __GFP_ZERO);
	if (!ad->page)
		return -ENOMEM;

	ad->dir = debugfs_create_dir("dma_attrs_device", NULL);
	debugfs_create_file("path", 0400, ad->dir, ad, &path_fops);
	debugfs_create_file("rows", 0400, ad->dir, ad, &rows_fops);
	debugfs_create_file("stray", 0400, ad->dir, ad, &stray_fops);
	pci_set_drvdata(pdev, ad);
	return 0;
}

static void attrs_remove(struct pci_dev *pdev)
{
	struct attrs_device *ad = pci_get_drvdata(pdev);

	debugfs_remove_recursive(ad->dir);
	pci_clear_master(pdev);
	__free_page(ad->page);
}

static struct pci_driver attrs_driver = {
	.name = "dma_attrs_device",
	.id_table = NULL,	/* bound by driver_override */
	.probe = attrs_probe,
	.remove = attrs_remove,
};
module_pci_driver(attrs_driver);

MODULE_DESCRIPTION("Tests of the DMA attributes on a real device");
MODULE_LICENSE("GPL");
