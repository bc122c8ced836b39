// SPDX-License-Identifier: GPL-2.0-only
/*
 * An importer of dma-bufs that really maps them: attach, map, look, unmap,
 * detach.
 *
 * /sys/kernel/debug/dmabuf_importer/direct imports for a platform device of
 * the module's own, which no IOMMU translates for; .../pci for the PCI device
 * that is bound to the driver by driver_override, and is there while one is.
 * Write the number of a dma-buf's file descriptor: the write fails with the
 * error of the import. Read what the device got:
 *
 *   nents N bytes N first ADDRESS head HEX
 *
 * head: the first eight bytes that the device finds at the first address.
 */

#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

struct importer {
	struct device *dev;
	struct dentry *file;
	unsigned int nents;
	size_t bytes;
	dma_addr_t first;
	u64 head;
};

static struct dentry *importer_dir;
static struct importer direct_importer, pci_importer;

static phys_addr_t importer_phys(struct device *dev, dma_addr_t addr)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	if (domain && domain->type != IOMMU_DOMAIN_IDENTITY)
		return iommu_iova_to_phys(domain, addr);
	return addr;
}

static void importer_look(struct importer *imp, struct sg_table *table)
{
	struct scatterlist *sg;
	phys_addr_t phys;
	unsigned int i;

	imp->nents = table->nents;
	imp->first = sg_dma_address(table->sgl);
	imp->bytes = 0;
	for_each_sgtable_dma_sg(table, sg, i)
		imp->bytes += sg_dma_len(sg);

	imp->head = 0;
	phys = importer_phys(imp->dev, imp->first);
	if (phys && pfn_valid(PHYS_PFN(phys)))
		imp->head = *(u64 *)phys_to_virt(phys);
}

static int import(struct importer *imp, int fd)
{
	struct dma_buf_attachment *attach;
	struct sg_table *table;
	struct dma_buf *buf;
	int ret = 0;

	memset(&imp->nents, 0, sizeof(*imp) - offsetof(struct importer, nents));
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
	importer_look(imp, table);
	dma_buf_unmap_attachment_unlocked(attach, table, DMA_BIDIRECTIONAL);

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
	int ret, fd;

	ret = kstrtoint_from_user(text, count, 10, &fd);
	if (!ret)
		ret = import(seq->private, fd);
	return ret ?: count;
}

static int importer_show(struct seq_file *seq, void *unused)
{
	struct importer *imp = seq->private;

	seq_printf(seq, "nents %u bytes %zu first %pad head %016llx\n",
		   imp->nents, imp->bytes, &imp->first, imp->head);
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

static int importer_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret;

	if (pci_importer.dev)
		return -EBUSY;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	pci_importer.dev = &pdev->dev;
	pci_importer.file = debugfs_create_file("pci", 0600, importer_dir,
						&pci_importer, &importer_fops);
	return 0;
}

static void importer_remove(struct pci_dev *pdev)
{
	debugfs_remove(pci_importer.file);
	pci_importer.dev = NULL;
}

static struct pci_driver importer_driver = {
	.name = "dmabuf_importer",
	.id_table = NULL,	/* bound by driver_override */
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
	direct_importer.dev = &pdev->dev;

	importer_dir = debugfs_create_dir("dmabuf_importer", NULL);
	ret = pci_register_driver(&importer_driver);
	if (ret) {
		debugfs_remove_recursive(importer_dir);
		platform_device_unregister(pdev);
		return ret;
	}
	direct_importer.file = debugfs_create_file("direct", 0600, importer_dir,
						   &direct_importer, &importer_fops);
	return 0;
}
module_init(importer_init);

static void __exit importer_exit(void)
{
	pci_unregister_driver(&importer_driver);
	debugfs_remove_recursive(importer_dir);
	platform_device_unregister(to_platform_device(direct_importer.dev));
}
module_exit(importer_exit);

MODULE_DESCRIPTION("Test importer of dma-bufs");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
