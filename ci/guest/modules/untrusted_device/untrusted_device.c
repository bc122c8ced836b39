// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a PCI device one that is not trusted, and see that the DMA API does not trust it.
 *
 * Only on x86 with ACPI does the PCI core take what is behind an external-facing port for
 * untrusted. On arm64 "external-facing" in the device tree marks the port alone, and so
 * the device behind it would be treated as any other.
 *
 * The driver binds by driver_override to a device behind such a port and behind an IOMMU
 * that translates for it. The device stays untrusted when it is unbound. While it is
 * bound, read /sys/kernel/debug/untrusted_device: a line for each row, "pass NAME" or
 * "fail NAME: WHY". Write "hold" to it to map parts of PARTS pages, and "release" to
 * unmap them; "hold" fails where the device can be given none.
 *
 * The device does not do any DMA. In a guest with encrypted memory what it is given is
 * memory that is shared with the host: private memory is bounced for any device.
 */

#include <linux/cc_platform.h>
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/set_memory.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "../host_view.h"

/* QEMU's virtio-iommu */
#define VIOMMU_DEVICE	0x1057

/* A part of a page: neither its start nor its end is that of a page */
#define OFFSET	512
#define LENGTH	1024

#define ORDER	5
#define PARTS	(1 << ORDER)

static struct {
	struct device *dev;
	struct iommu_domain *domain;
	struct dentry *file;
	struct page *pages;
	unsigned long attrs;
	bool refused;	/* no memory that the device could use can be mapped */
	unsigned int held;
	dma_addr_t addr[PARTS];
} untrusted;

static dma_addr_t untrusted_map(unsigned int page, size_t offset, size_t length)
{
	return dma_map_phys(untrusted.dev,
			    page_to_phys(untrusted.pages + page) + offset,
			    length, DMA_BIDIRECTIONAL, untrusted.attrs);
}

static void untrusted_unmap(dma_addr_t addr, size_t length)
{
	dma_unmap_phys(untrusted.dev, addr, length, DMA_BIDIRECTIONAL,
		       untrusted.attrs);
}

static const char *row_refused(size_t offset, size_t length)
{
	dma_addr_t addr = untrusted_map(0, offset, length);

	if (dma_mapping_error(untrusted.dev, addr))
		return NULL;
	untrusted_unmap(addr, length);
	return "mapped";
}

static const char *row_whole(void)
{
	phys_addr_t phys = page_to_phys(untrusted.pages);
	dma_addr_t addr = untrusted_map(0, 0, PAGE_SIZE);
	const char *wrong = NULL;

	if (dma_mapping_error(untrusted.dev, addr))
		return "the mapping failed";
	if (iommu_iova_to_phys(untrusted.domain, addr) != phys)
		wrong = "the address leads somewhere else";
	untrusted_unmap(addr, PAGE_SIZE);
	return wrong;
}

/* The device sees what is behind the address, and the rest of its page. */
static const char *judge_part(const u8 *data, phys_addr_t behind)
{
	u8 *seen = phys_to_virt(behind), *start = PTR_ALIGN_DOWN(seen, PAGE_SIZE);
	u8 *end = seen + LENGTH;

	if (PHYS_PFN(behind) == page_to_pfn(untrusted.pages))
		return "the device sees all of the page";
	if (memcmp(seen, data, LENGTH))
		return "other data in the bounce buffer";
	if (memchr_inv(start, 0, seen - start) ||
	    memchr_inv(end, 0, start + PAGE_SIZE - end))
		return "the device sees more than the part";
	/* as if the device had written it */
	memset(seen, 0xa5, LENGTH);
	return NULL;
}

static const char *row_part(void)
{
	u8 *data = page_address(untrusted.pages);
	const char *wrong;
	phys_addr_t behind;
	dma_addr_t addr;

	get_random_bytes(data, PAGE_SIZE);
	addr = untrusted_map(0, OFFSET, LENGTH);
	if (dma_mapping_error(untrusted.dev, addr))
		return "the mapping failed";
	behind = iommu_iova_to_phys(untrusted.domain, addr);
	wrong = behind ? judge_part(data + OFFSET, behind) :
			 "the address leads nowhere";
	untrusted_unmap(addr, LENGTH);
	if (!wrong && memchr_inv(data + OFFSET, 0xa5, LENGTH))
		wrong = "what the device has written is lost";
	return wrong;
}

static void say(struct seq_file *seq, const char *name, const char *wrong)
{
	seq_printf(seq, "%s %s%s%s\n", wrong ? "fail" : "pass", name,
		   wrong ? ": " : "", wrong ?: "");
}

static int untrusted_show(struct seq_file *seq, void *unused)
{
	/* dma-debug wants no memory mapped twice */
	if (untrusted.held)
		return -EBUSY;
	if (untrusted.refused) {
		say(seq, "whole_page_is_refused", row_refused(0, PAGE_SIZE));
		say(seq, "part_of_a_page_is_refused",
		    row_refused(OFFSET, LENGTH));
	} else {
		say(seq, "whole_page_is_mapped_as_it_is", row_whole());
		say(seq, "part_of_a_page_is_bounced", row_part());
	}
	return 0;
}

static void untrusted_release(void)
{
	while (untrusted.held)
		untrusted_unmap(untrusted.addr[--untrusted.held], LENGTH);
}

static int untrusted_hold(void)
{
	dma_addr_t addr;

	if (untrusted.held)
		return -EBUSY;
	while (untrusted.held < PARTS) {
		addr = untrusted_map(untrusted.held, OFFSET, LENGTH);
		if (dma_mapping_error(untrusted.dev, addr)) {
			untrusted_release();
			return -EIO;
		}
		untrusted.addr[untrusted.held++] = addr;
	}
	return 0;
}

static ssize_t untrusted_write(struct file *file, const char __user *text,
			       size_t count, loff_t *ppos)
{
	char line[16];
	int ret = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;
	if (sysfs_streq(line, "hold"))
		ret = untrusted_hold();
	else if (sysfs_streq(line, "release"))
		untrusted_release();
	else
		ret = -EINVAL;
	return ret ?: count;
}

/* A buffer that the answer fits in: a second try would run the rows twice. */
static int untrusted_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, untrusted_show, NULL, PAGE_SIZE);
}

static const struct file_operations untrusted_fops = {
	.owner = THIS_MODULE,
	.open = untrusted_open,
	.read = seq_read,
	.write = untrusted_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static bool has_viommu(void)
{
	struct pci_dev *viommu = pci_get_device(REDHAT_VENDOR, VIOMMU_DEVICE, NULL);

	pci_dev_put(viommu);
	return viommu;
}

static int untrusted_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);
	bool guest = cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT);
	struct pci_dev *port = pci_upstream_bridge(pdev);
	int ret;

	if (untrusted.dev)
		return -EBUSY;
	if (!port || !port->external_facing || !domain ||
	    domain->type == IOMMU_DOMAIN_IDENTITY)
		return -ENODEV;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	untrusted.pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, ORDER);
	if (!untrusted.pages)
		return -ENOMEM;
	if (guest) {
		ret = set_memory_decrypted((unsigned long)page_address(untrusted.pages),
					   PARTS);
		/* it is then neither shared nor private for sure: lost */
		if (ret)
			return ret;
	}

	pdev->untrusted = true;
	untrusted.attrs = guest ? DMA_ATTR_CC_SHARED : 0;
	untrusted.refused = guest && !has_viommu();
	untrusted.domain = domain;
	untrusted.dev = &pdev->dev;
	untrusted.file = debugfs_create_file("untrusted_device", 0600, NULL, NULL,
					     &untrusted_fops);
	return 0;
}

static void untrusted_remove(struct pci_dev *pdev)
{
	debugfs_remove(untrusted.file);
	untrusted_release();
	if (!untrusted.attrs ||
	    !set_memory_encrypted((unsigned long)page_address(untrusted.pages),
				  PARTS))
		__free_pages(untrusted.pages, ORDER);
	untrusted.dev = NULL;
}

static struct pci_driver untrusted_driver = {
	.name = "untrusted_device",
	.id_table = NULL,	/* bound by driver_override */
	.probe = untrusted_probe,
	.remove = untrusted_remove,
};
module_pci_driver(untrusted_driver);

MODULE_DESCRIPTION("Test device that is not trusted");
MODULE_LICENSE("GPL");
