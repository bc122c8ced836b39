// SPDX-License-Identifier: GPL-2.0-only
/*
 * Adds dma-buf heaps that allocate nothing, to look at what becomes of their
 * names.
 *
 * Write a name to /sys/module/dma_heap_names/parameters/add: the write fails with
 * the error of dma_heap_add(), which parameters/error has as a number. The module
 * scribbles over its own copy of the name afterwards. Read parameters/last: what the
 * kernel says the last heap is called.
 *
 * Heaps cannot be removed, so neither can the module.
 */

#include <linux/dma-heap.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static struct dma_heap *last_heap;
static int error;
module_param(error, int, 0400);

static struct dma_buf *nothing(struct dma_heap *heap, unsigned long len,
			       u32 fd_flags, u64 heap_flags)
{
	return ERR_PTR(-ENOMEM);
}

static const struct dma_heap_ops names_ops = {
	.allocate = nothing,
};

static int names_add(const char *val, const struct kernel_param *kp)
{
	struct dma_heap_export_info info = { .ops = &names_ops };
	struct dma_heap *heap;
	char *name;

	name = kstrdup(val, GFP_KERNEL);
	if (!name)
		return -ENOMEM;
	info.name = strim(name);
	heap = dma_heap_add(&info);
	error = PTR_ERR_OR_ZERO(heap);
	if (IS_ERR(heap)) {
		kfree(name);
		return PTR_ERR(heap);
	}
	last_heap = heap;
	/* not freed: a kernel that keeps the pointer must not read freed memory */
	memset(name, 'x', strlen(name));
	return 0;
}

static int names_last(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", last_heap ? dma_heap_get_name(last_heap) : "");
}

static const struct kernel_param_ops names_add_ops = { .set = names_add };
static const struct kernel_param_ops names_last_ops = { .get = names_last };

module_param_cb(add, &names_add_ops, NULL, 0200);
module_param_cb(last, &names_last_ops, NULL, 0400);

static int __init names_init(void)
{
	return 0;
}
module_init(names_init);

MODULE_IMPORT_NS("DMA_BUF_HEAP");
MODULE_DESCRIPTION("dma-buf heaps with names to test");
MODULE_LICENSE("GPL");
