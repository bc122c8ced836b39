// SPDX-License-Identifier: GPL-2.0-only
/*
 * An importer of dma-bufs that really maps them: attach, map, look, unmap,
 * detach.
 *
 * In /sys/kernel/debug/dmabuf_importer/ each device that imports has a file:
 * direct, a platform device of the module's own, which no IOMMU translates for;
 * pci, the PCI device bound to the driver by driver_override, while one is; and
 * one by the name of its node for every device of the device tree that is
 * "test,importer". Its node says what the device is like where that is not plain:
 *
 *   test,dma-bits	its DMA mask
 *   test,dma-window	<bus address, physical address, size>: what it sees of
 *			memory, and where
 *   test,max-segment	the longest segment it takes
 *
 * Write "FD" or "FD SEED", FD being the number of a dma-buf's file descriptor:
 * the write fails with the error of the import. Read what the device got:
 *
 *   nents N bytes N first ADDRESS head HEX longest N wrong N left N host N
 *
 * head: the first eight bytes that the device finds at the first address;
 * longest: the size of the longest segment. With a SEED (hexadecimal) whoever
 * writes must have put SEED + n into the first and the last eight bytes of each
 * page n of the buffer, through the CPU; wrong is the number of pages where the
 * device would not find them. It then leaves ~(SEED + n) in the first eight
 * bytes. left: 1 when an address still leads somewhere after the unmap. host: 1 when
 * the device itself, QEMU's edu, accesses the buffer where the host of an encrypted
 * guest sees it: in the BAR of an ivshmem device, see the module dma_attrs_device.
 *
 * Write "hold FD" to map a buffer and leave it mapped until "release" is written,
 * whatever is imported in between.
 *
 * par_el1 in the same directory, on arm64: write an address of the writing process
 * (0x...), read in PAR_EL1's words where the CPU's page tables lead and as what
 * type of memory.
 *
 * What an address leads to is found without the code that made it: from the
 * IOMMU's page tables or the node's test,dma-window, and the memory there is
 * mapped and read as what it is.
 */

#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/ioport.h>
#include <linux/mem_encrypt.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "../edu.h"
#include "../host_view.h"

struct found {
	unsigned int nents;
	size_t bytes;
	dma_addr_t first;
	u64 head;
	unsigned int longest;
	unsigned long wrong;
	bool left;
	bool host;
};

struct importer {
	struct device *dev;
	struct dentry *file;
	u64 window[3];	/* bus address, physical address, size; or no size */
	void __iomem *edu;	/* its registers, where the device tells where it gets */
	struct found found;
	struct dma_buf_attachment *held;
	struct sg_table *held_table;
};

/* The memory behind one address of the device, mapped a piece at a time. */
struct view {
	phys_addr_t phys;
	size_t size;
	void *mem;
};

static struct dentry *importer_dir;
static struct importer direct_importer, pci_importer;

/*
 * Where the device gets to; 0 for nowhere. On a machine with encrypted memory a device
 * finds its data only at addresses with a bit: in a guest, that of shared memory, on a
 * host, that of private memory, as what it imports is not bounced there.
 */
static phys_addr_t importer_phys(struct importer *imp, dma_addr_t addr)
{
	struct device *dev = imp->dev;
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	u64 bit = dma_addr_unencrypted(0ULL) | dma_addr_encrypted(0ULL);

	if (domain && domain->type != IOMMU_DOMAIN_IDENTITY)
		return iommu_iova_to_phys(domain, addr);
	if (addr > dma_get_mask(dev))
		return 0;
	if ((addr & bit) != bit)
		return 0;
	addr &= ~bit;
	if (!imp->window[2])
		return addr;
	if (addr < imp->window[0] || addr - imp->window[0] >= imp->window[2])
		return 0;
	return addr - imp->window[0] + imp->window[1];
}

static void view_close(struct view *view)
{
	if (view->mem)
		memunmap(view->mem);
	view->mem = NULL;
}

static bool not_system_ram(phys_addr_t phys, size_t size)
{
	return region_intersects(phys, size, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) == REGION_DISJOINT;
}

/* The page at a physical address; memory that is not the system's is uncached. */
static u64 *view_page(struct view *view, phys_addr_t phys)
{
	phys = ALIGN_DOWN(phys, PAGE_SIZE);
	if (!view->mem || phys < view->phys ||
	    phys - view->phys >= view->size) {
		view_close(view);
		view->phys = phys;
		view->size = SZ_1M - (phys & (SZ_1M - 1));
		if (!not_system_ram(phys, view->size))
			view->size = PAGE_SIZE;
		view->mem = memremap(phys, view->size,
				     not_system_ram(phys, PAGE_SIZE) ?
				     MEMREMAP_WC : MEMREMAP_WB);
		if (!view->mem)
			return NULL;
	}
	return view->mem + (phys - view->phys);
}

/* Whether the device copies what the host sees at an address, and to where it sees it. */
static bool copies_for_host(struct importer *imp, dma_addr_t addr)
{
	u64 *view = host_view(importer_phys(imp, addr));
	bool copied;

	if (!view)
		return false;
	view[0] = 0x5ca1ab1e0ddba11ULL;
	view[1] = 0;
	copied = edu_copy(imp->edu, addr, EDU_BUFFER, sizeof(u64), EDU_DMA_RUN) &&
		 edu_copy(imp->edu, EDU_BUFFER, addr + sizeof(u64), sizeof(u64),
			  EDU_DMA_RUN | EDU_DMA_TO_RAM) &&
		 view[1] == view[0];
	memunmap(view);
	return copied;
}

static void importer_look(struct importer *imp, struct sg_table *table,
			  bool check, u64 seed)
{
	const unsigned int last = PAGE_SIZE / sizeof(u64) - 1;
	struct found *found = &imp->found;
	struct view view = {};
	struct scatterlist *sg;
	dma_addr_t addr;
	phys_addr_t phys;
	unsigned int i;
	u64 *page;

	found->nents = table->nents;
	found->first = sg_dma_address(table->sgl);
	phys = importer_phys(imp, found->first);
	page = phys ? view_page(&view, phys) : NULL;
	found->head = page ? page[0] : 0;
	found->host = phys && imp->edu && copies_for_host(imp, found->first);

	for_each_sgtable_dma_sg(table, sg, i) {
		found->bytes += sg_dma_len(sg);
		found->longest = max(found->longest, sg_dma_len(sg));
		if (!check)
			continue;

		for (addr = sg_dma_address(sg);
		     addr < sg_dma_address(sg) + sg_dma_len(sg);
		     addr += PAGE_SIZE, seed++) {
			phys = importer_phys(imp, addr);
			page = phys ? view_page(&view, phys) : NULL;
			if (!page || page[0] != seed || page[last] != seed) {
				if (!found->wrong++)
					dev_info(imp->dev, "%pad leads to %pa, which has %llx and %llx, not %llx\n",
						 &addr, &phys, page ? page[0] : 0,
						 page ? page[last] : 0, seed);
				continue;
			}
			page[0] = ~seed;
		}
	}

	view_close(&view);
}

static int import(struct importer *imp, int fd, bool check, u64 seed)
{
	struct dma_buf_attachment *attach;
	struct iommu_domain *domain;
	struct sg_table *table;
	struct dma_buf *buf;
	int ret = 0;

	memset(&imp->found, 0, sizeof(imp->found));
	buf = dma_buf_get(fd);
	if (IS_ERR(buf))
		return PTR_ERR(buf);

	attach = dma_buf_attach(buf, imp->dev);
	if (IS_ERR(attach)) {
		ret = PTR_ERR(attach);
		goto put;
	}

	table = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(table)) {
		ret = PTR_ERR(table);
		goto detach;
	}
	importer_look(imp, table, check, seed);
	dma_buf_unmap_attachment_unlocked(attach, table, DMA_BIDIRECTIONAL);

	domain = iommu_get_domain_for_dev(imp->dev);
	if (domain && domain->type != IOMMU_DOMAIN_IDENTITY)
		imp->found.left = iommu_iova_to_phys(domain, imp->found.first);

detach:
	dma_buf_detach(buf, attach);
put:
	dma_buf_put(buf);
	return ret;
}

static void importer_release(struct importer *imp)
{
	struct dma_buf_attachment *attach = imp->held;
	struct dma_buf *buf;

	if (!attach)
		return;
	buf = attach->dmabuf;
	dma_buf_unmap_attachment_unlocked(attach, imp->held_table,
					  DMA_BIDIRECTIONAL);
	dma_buf_detach(buf, attach);
	dma_buf_put(buf);
	imp->held = NULL;
}

static int importer_hold(struct importer *imp, int fd)
{
	struct dma_buf_attachment *attach;
	struct sg_table *table;
	struct dma_buf *buf;
	int ret;

	if (imp->held)
		return -EBUSY;
	buf = dma_buf_get(fd);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	attach = dma_buf_attach(buf, imp->dev);
	if (IS_ERR(attach)) {
		ret = PTR_ERR(attach);
		goto put;
	}
	table = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(table)) {
		ret = PTR_ERR(table);
		goto detach;
	}
	imp->held = attach;
	imp->held_table = table;
	return 0;

detach:
	dma_buf_detach(buf, attach);
put:
	dma_buf_put(buf);
	return ret;
}

static ssize_t importer_write(struct file *file, const char __user *text,
			      size_t count, loff_t *ppos)
{
	struct seq_file *seq = file->private_data;
	int words, ret, fd;
	char line[64];
	u64 seed = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;
	if (sscanf(line, "hold %d", &fd) == 1) {
		ret = importer_hold(seq->private, fd);
		return ret ?: count;
	}
	if (!strncmp(line, "release", 7)) {
		importer_release(seq->private);
		return count;
	}
	words = sscanf(line, "%d %llx", &fd, &seed);
	if (words < 1)
		return -EINVAL;

	ret = import(seq->private, fd, words == 2, seed);
	return ret ?: count;
}

static int importer_show(struct seq_file *seq, void *unused)
{
	struct importer *imp = seq->private;
	struct found *found = &imp->found;

	seq_printf(seq, "nents %u bytes %zu first %pad head %016llx longest %u wrong %lu left %d host %d\n",
		   found->nents, found->bytes, &found->first, found->head,
		   found->longest, found->wrong, found->left, found->host);
	return 0;
}

static int importer_open(struct inode *inode, struct file *file)
{
	return single_open(file, importer_show, inode->i_private);
}

static const struct file_operations importer_fops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.read = seq_read,
	.write = importer_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static void importer_file(struct importer *imp, const char *name)
{
	imp->file = debugfs_create_file(name, 0600, importer_dir, imp,
					&importer_fops);
}

/* --- the translation of an address of user space */

#ifdef CONFIG_ARM64
static u64 par_el1;

static int par_el1_get(void *unused, u64 *value)
{
	*value = par_el1;
	return 0;
}

static int par_el1_set(void *unused, u64 address)
{
	preempt_disable();
	asm volatile("at s1e0r, %0" : : "r" (address));
	isb();
	par_el1 = read_sysreg(par_el1);
	preempt_enable();

	return par_el1 & SYS_PAR_EL1_F ? -EFAULT : 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(par_el1_fops, par_el1_get, par_el1_set, "%llx\n");

static void par_el1_file(void)
{
	debugfs_create_file_unsafe("par_el1", 0600, importer_dir, NULL,
				   &par_el1_fops);
}
#else
static void par_el1_file(void)
{
}
#endif

/* --- the PCI device */

static int importer_pci_probe(struct pci_dev *pdev,
			      const struct pci_device_id *id)
{
	int ret;

	if (pci_importer.dev)
		return -EBUSY;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	if (pdev->vendor == EDU_VENDOR && pdev->device == EDU_DEVICE && host_phys(0)) {
		ret = pcim_enable_device(pdev);
		if (ret)
			return ret;
		pci_importer.edu = pcim_iomap(pdev, 0, 0);
		pci_set_master(pdev);
	}
	pci_importer.dev = &pdev->dev;
	importer_file(&pci_importer, "pci");
	return 0;
}

static void importer_pci_remove(struct pci_dev *pdev)
{
	debugfs_remove(pci_importer.file);
	importer_release(&pci_importer);
	if (pci_importer.edu)
		pci_clear_master(pdev);
	pci_importer.edu = NULL;
	pci_importer.dev = NULL;
}

static struct pci_driver importer_pci_driver = {
	.name = "dmabuf_importer",
	.id_table = NULL,	/* bound by driver_override */
	.probe = importer_pci_probe,
	.remove = importer_pci_remove,
};

/* --- devices of the device tree */

static int importer_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	u32 bits = 64, segment = UINT_MAX;
	struct importer *imp;
	int ret;

	imp = devm_kzalloc(dev, sizeof(*imp), GFP_KERNEL);
	if (!imp)
		return -ENOMEM;
	imp->dev = dev;

	of_property_read_u32(dev->of_node, "test,dma-bits", &bits);
	of_property_read_u32(dev->of_node, "test,max-segment", &segment);
	of_property_read_u64_array(dev->of_node, "test,dma-window", imp->window,
				   ARRAY_SIZE(imp->window));
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits));
	if (ret)
		return ret;
	dma_set_max_seg_size(dev, segment);

	importer_file(imp, dev->of_node->full_name);
	platform_set_drvdata(pdev, imp);
	return 0;
}

static void importer_remove(struct platform_device *pdev)
{
	struct importer *imp = platform_get_drvdata(pdev);

	debugfs_remove(imp->file);
	importer_release(imp);
}

static const struct of_device_id importer_match[] = {
	{ .compatible = "test,importer" },
	{ }
};

static struct platform_driver importer_driver = {
	.driver = {
		.name = "dmabuf_importer_of",
		.of_match_table = importer_match,
	},
	.probe = importer_probe,
	.remove = importer_remove,
};

static int __init importer_init(void)
{
	struct platform_device_info info = {
		.name = "dmabuf_importer",
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};
	struct platform_device *pdev;
	int ret;

	pdev = platform_device_register_full(&info);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	direct_importer.dev = &pdev->dev;

	importer_dir = debugfs_create_dir("dmabuf_importer", NULL);
	importer_file(&direct_importer, "direct");
	par_el1_file();
	ret = pci_register_driver(&importer_pci_driver);
	if (ret)
		goto remove;
	ret = platform_driver_register(&importer_driver);
	if (ret)
		goto unregister;
	return 0;

unregister:
	pci_unregister_driver(&importer_pci_driver);
remove:
	debugfs_remove_recursive(importer_dir);
	platform_device_unregister(pdev);
	return ret;
}
module_init(importer_init);

static void __exit importer_exit(void)
{
	platform_driver_unregister(&importer_driver);
	pci_unregister_driver(&importer_pci_driver);
	debugfs_remove_recursive(importer_dir);
	importer_release(&direct_importer);
	platform_device_unregister(to_platform_device(direct_importer.dev));
}
module_exit(importer_exit);

MODULE_DESCRIPTION("Test importer of dma-bufs");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
