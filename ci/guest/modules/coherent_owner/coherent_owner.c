// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers of the devices that are "test,owner" in the device tree: each is assigned
 * to the reserved memory of its node, allocates from it, and can make a heap of it.
 *
 * /sys/kernel/debug/coherent_owner/ has a file by the name of each device's node.
 * Write
 *
 *   alloc BYTES	allocate with dma_alloc_coherent(), keep it and fill it
 *   free		free all that was allocated
 *   heap FLAGS		coherent_heap_register()
 *   assign		of_reserved_mem_device_init(), for a node with test,unassigned,
 *			which the driver leaves out when it is bound
 *   fill		fill all of the region, by a mapping for just that
 *
 * the write fails with the error of that. Read
 *
 *   assigned N kept N phys ADDRESS dma ADDRESS wrong N
 *
 * assigned: what of_reserved_mem_device_init() answered; kept: bytes allocated;
 * phys, dma: where the last allocation is, from the page tables, and its handle;
 * wrong: words of all allocations that somebody else wrote to.
 */

#include <linux/debugfs.h>
#include <linux/io.h>
#include <linux/dma-mapping.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/platform_device.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#if IS_ENABLED(CONFIG_DMABUF_HEAPS_COHERENT) && __has_include(<linux/coherent-heap.h>)
#include <linux/coherent-heap.h>
MODULE_IMPORT_NS("DMA_BUF_HEAP");
#else	/* a kernel whose drivers make no such heaps */
static int coherent_heap_register(struct device *dev, int idx,
				  unsigned int flags)
{
	return -EOPNOTSUPP;
}
#endif

#define PATTERN	0x0b5e55ed0b5e55edULL

struct memory {
	struct list_head node;
	size_t size;
	u64 *mem;
	dma_addr_t dma;
};

struct owner {
	struct device *dev;
	struct dentry *file;
	int assigned;
	struct list_head memory;
};

static struct dentry *owner_dir;

static int owner_alloc(struct owner *owner, size_t size)
{
	struct memory *memory = kzalloc(sizeof(*memory), GFP_KERNEL);
	size_t i;

	if (!memory)
		return -ENOMEM;
	memory->size = PAGE_ALIGN(size);
	memory->mem = dma_alloc_coherent(owner->dev, memory->size, &memory->dma,
					 GFP_KERNEL);
	if (!memory->mem) {
		kfree(memory);
		return -ENOMEM;
	}
	for (i = 0; i < memory->size / sizeof(u64); i++)
		memory->mem[i] = PATTERN;
	list_add(&memory->node, &owner->memory);
	return 0;
}

static void owner_free(struct owner *owner)
{
	struct memory *memory, *next;

	list_for_each_entry_safe(memory, next, &owner->memory, node) {
		dma_free_coherent(owner->dev, memory->size, memory->mem,
				  memory->dma);
		list_del(&memory->node);
		kfree(memory);
	}
}

static int owner_fill(struct owner *owner)
{
	struct device_node *np = of_parse_phandle(owner->dev->of_node,
						  "memory-region", 0);
	struct reserved_mem *rmem = np ? of_reserved_mem_lookup(np) : NULL;
	size_t i;
	u64 *mem;

	of_node_put(np);
	if (!rmem)
		return -ENODEV;
	mem = memremap(rmem->base, rmem->size, MEMREMAP_WC);
	if (!mem)
		return -ENOMEM;
	for (i = 0; i < rmem->size / sizeof(u64); i++)
		mem[i] = PATTERN;
	memunmap(mem);
	return 0;
}

static ssize_t owner_write(struct file *file, const char __user *text,
			   size_t count, loff_t *ppos)
{
	struct seq_file *seq = file->private_data;
	struct owner *owner = seq->private;
	unsigned long number;
	char line[64];
	int ret = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;

	if (sscanf(line, "alloc %lu", &number) == 1)
		ret = owner_alloc(owner, number);
	else if (sscanf(line, "heap %lu", &number) == 1)
		ret = coherent_heap_register(owner->dev, 0, number);
	else if (!strncmp(line, "assign", 6))
		ret = owner->assigned = of_reserved_mem_device_init(owner->dev);
	else if (!strncmp(line, "fill", 4))
		ret = owner_fill(owner);
	else if (!strncmp(line, "free", 4))
		owner_free(owner);
	else
		ret = -EINVAL;
	return ret ?: count;
}

static phys_addr_t owner_phys(const struct memory *memory)
{
	if (is_vmalloc_addr(memory->mem))
		return PFN_PHYS(vmalloc_to_pfn(memory->mem));
	return virt_to_phys(memory->mem);
}

static int owner_show(struct seq_file *seq, void *unused)
{
	struct owner *owner = seq->private;
	phys_addr_t phys = 0;
	struct memory *memory;
	size_t kept = 0, i;
	dma_addr_t dma = 0;
	unsigned long wrong = 0;

	list_for_each_entry_reverse(memory, &owner->memory, node) {
		kept += memory->size;
		phys = owner_phys(memory);
		dma = memory->dma;
		for (i = 0; i < memory->size / sizeof(u64); i++)
			wrong += memory->mem[i] != PATTERN;
	}
	seq_printf(seq, "assigned %d kept %zu phys %pap dma %pad wrong %lu\n",
		   owner->assigned, kept, &phys, &dma, wrong);
	return 0;
}

static int owner_open(struct inode *inode, struct file *file)
{
	return single_open(file, owner_show, inode->i_private);
}

static const struct file_operations owner_fops = {
	.owner = THIS_MODULE,
	.open = owner_open,
	.read = seq_read,
	.write = owner_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int owner_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct owner *owner;
	int ret;

	owner = devm_kzalloc(dev, sizeof(*owner), GFP_KERNEL);
	if (!owner)
		return -ENOMEM;
	owner->dev = dev;
	INIT_LIST_HEAD(&owner->memory);

	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	/* A device without memory is one of the cases: it stays bound. */
	owner->assigned = -ENODEV;
	if (!of_property_read_bool(dev->of_node, "test,unassigned"))
		owner->assigned = of_reserved_mem_device_init(dev);

	owner->file = debugfs_create_file(dev->of_node->full_name, 0600,
					  owner_dir, owner, &owner_fops);
	platform_set_drvdata(pdev, owner);
	return 0;
}

static void owner_remove(struct platform_device *pdev)
{
	struct owner *owner = platform_get_drvdata(pdev);

	debugfs_remove(owner->file);
	owner_free(owner);
	if (!owner->assigned)
		of_reserved_mem_device_release(owner->dev);
}

static const struct of_device_id owner_match[] = {
	{ .compatible = "test,owner" },
	{ }
};

static struct platform_driver owner_driver = {
	.driver = {
		.name = "coherent_owner",
		.of_match_table = owner_match,
	},
	.probe = owner_probe,
	.remove = owner_remove,
};

static int __init owner_init(void)
{
	int ret;

	owner_dir = debugfs_create_dir("coherent_owner", NULL);
	ret = platform_driver_register(&owner_driver);
	if (ret)
		debugfs_remove_recursive(owner_dir);
	return ret;
}
module_init(owner_init);

static void __exit owner_exit(void)
{
	platform_driver_unregister(&owner_driver);
	debugfs_remove_recursive(owner_dir);
}
module_exit(owner_exit);

MODULE_DESCRIPTION("Test drivers that own reserved memory");
MODULE_LICENSE("GPL");
