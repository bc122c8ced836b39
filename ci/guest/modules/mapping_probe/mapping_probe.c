// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the page tables say: how the CPU has an address of user space mapped, and
 * whether a device has an IOVA.
 *
 * Write to /sys/kernel/debug/mapping_probe
 *
 *	cpu ADDRESS	of the writer; the address has been accessed, and its VMA is
 *			VM_PFNMAP or VM_IO
 *	dma BDF IOVA
 *
 * and read the answer to the last one that succeeded:
 *
 *	cpu cache N encrypted N any_uncached N
 *			cache is 0 for what pgprot_noncached() makes, 1 for
 *			pgprot_writecombine(), 2 for all else; encrypted is 1 where
 *			pgprot_decrypted() would change the entry
 *	dma N		1 if the device translates the IOVA
 *
 * A write fails with ENOENT where the address is not mapped. The device of a BDF must
 * stay bound to its driver meanwhile.
 */

#include <linux/debugfs.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pgtable.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

static struct dentry *probe_file;
static DEFINE_MUTEX(probe_lock);	/* for what follows */
static char answer[80];

/* The bits that say how memory is cached are those in which these differ */
static int cache_of(pgprot_t prot)
{
	u64 noncached = pgprot_val(pgprot_noncached(prot));
	u64 combined = pgprot_val(pgprot_writecombine(prot));

	if (pgprot_val(prot) == noncached)
		return 0;
	return pgprot_val(prot) == combined ? 1 : 2;
}

static int probe_cpu(unsigned long address)
{
	struct follow_pfnmap_args args = { .address = address };
	struct mm_struct *mm = current->mm;
	bool any_uncached;
	pgprot_t prot;
	int ret = -ENOENT;

	mmap_read_lock(mm);
	args.vma = vma_lookup(mm, address);
	if (!args.vma)
		goto unlock;
	if (follow_pfnmap_start(&args))
		goto unlock;
	prot = args.pgprot;
	follow_pfnmap_end(&args);
	any_uncached = args.vma->vm_flags & VM_ALLOW_ANY_UNCACHED;
	snprintf(answer, sizeof(answer),
		 "cpu cache %d encrypted %d any_uncached %d\n", cache_of(prot),
		 pgprot_val(pgprot_decrypted(prot)) != pgprot_val(prot),
		 any_uncached);
	ret = 0;
unlock:
	mmap_read_unlock(mm);
	return ret;
}

static int probe_dma(unsigned int domain, unsigned int bus, unsigned int slot,
		     unsigned int function, u64 iova)
{
	struct pci_dev *pdev = pci_get_domain_bus_and_slot(domain, bus,
						PCI_DEVFN(slot, function));
	struct iommu_domain *iommu;

	if (!pdev)
		return -ENODEV;
	iommu = iommu_get_domain_for_dev(&pdev->dev);
	snprintf(answer, sizeof(answer), "dma %d\n",
		 iommu && iommu_iova_to_phys(iommu, iova));
	pci_dev_put(pdev);
	return 0;
}

static ssize_t probe_write(struct file *file, const char __user *text,
			   size_t count, loff_t *ppos)
{
	unsigned int domain, bus, slot, function;
	unsigned long address;
	char line[64];
	int ret = -EINVAL;
	u64 iova;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;

	mutex_lock(&probe_lock);
	if (sscanf(line, "cpu %lx", &address) == 1)
		ret = probe_cpu(address);
	else if (sscanf(line, "dma %x:%x:%x.%x %llx", &domain, &bus, &slot,
			&function, &iova) == 5)
		ret = probe_dma(domain, bus, slot, function, iova);
	mutex_unlock(&probe_lock);
	return ret ?: count;
}

static int probe_show(struct seq_file *seq, void *unused)
{
	mutex_lock(&probe_lock);
	seq_puts(seq, answer);
	mutex_unlock(&probe_lock);
	return 0;
}

static int probe_open(struct inode *inode, struct file *file)
{
	return single_open(file, probe_show, NULL);
}

static const struct file_operations probe_fops = {
	.owner = THIS_MODULE,
	.open = probe_open,
	.read = seq_read,
	.write = probe_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int __init probe_init(void)
{
	probe_file = debugfs_create_file("mapping_probe", 0600, NULL, NULL,
					 &probe_fops);
	return 0;
}
module_init(probe_init);

static void __exit probe_exit(void)
{
	debugfs_remove(probe_file);
}
module_exit(probe_exit);

MODULE_DESCRIPTION("Test view of page tables");
MODULE_LICENSE("GPL");
