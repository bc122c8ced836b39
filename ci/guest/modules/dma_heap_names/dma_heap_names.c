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
 * While a heap whose name begins with "watched" is registered, right after its char
 * device has come to be, the module has a thread open that device, on kernels with
 * dma_heap_get_dev() and from the second heap on. parameters/early is then 1 if the open
 * was through before the heap was registered, or 0 if not, and parameters/opened the
 * error of the open, or 0. early is -1 where nothing was opened.
 *
 * Heaps cannot be removed, so neither can the module.
 */

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/dma-heap.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/slab.h>
#include <linux/string.h>

static struct dma_heap *last_heap;
static int error;
module_param(error, int, 0400);

static int early = -1;
module_param(early, int, 0400);
static int opened;
module_param(opened, int, 0400);

static const char *watched;	/* the name of the heap that is being added */
static char watched_name[64];
static struct path heaps;	/* /dev/dma_heap as user space has it: a kernel thread may see nothing */
static DECLARE_COMPLETION(opener_done);
static struct task_struct *opener;

static int open_heap(void *unused)
{
	struct file *file = file_open_root(&heaps, watched_name, O_RDONLY, 0);

	opened = PTR_ERR_OR_ZERO(file);
	if (!IS_ERR(file))
		filp_close(file, NULL);
	complete(&opener_done);
	return 0;
}

/* Called in the middle of device_add(), when the node in /dev is there. */
static int names_device_added(struct device *dev)
{
	struct task_struct *task;

	if (!watched || strcmp(dev_name(dev), watched))
		return 0;
	watched = NULL;
	strscpy(watched_name, dev_name(dev));
	task = kthread_create(open_heap, NULL, "open_heap");
	if (IS_ERR(task))
		return 0;
	opener = get_task_struct(task);
	wake_up_process(task);
	/* long enough for an open that waits for nothing */
	early = wait_for_completion_timeout(&opener_done, HZ / 2) > 0;
	return 0;
}

static struct class_interface names_interface = {
	.add_dev = names_device_added,
};

/* Have names_device_added() called for new heaps, as soon as there is one. */
static void names_watch(struct dma_heap *heap)
{
	struct device *(*get_dev)(struct dma_heap *heap);

	if (names_interface.class)
		return;
	get_dev = __symbol_get("dma_heap_get_dev");
	if (!get_dev)
		return;
	names_interface.class = get_dev(heap)->class;
	if (class_interface_register(&names_interface))
		names_interface.class = NULL;
}

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
	early = -1;
	reinit_completion(&opener_done);
	if (strstarts(info.name, "watched") &&
	    !kern_path("/dev/dma_heap", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &heaps))
		watched = info.name;
	heap = dma_heap_add(&info);
	error = PTR_ERR_OR_ZERO(heap);
	watched = NULL;
	if (opener)
		kthread_stop_put(opener);
	opener = NULL;
	path_put(&heaps);
	heaps = (struct path){};
	if (IS_ERR(heap)) {
		kfree(name);
		return PTR_ERR(heap);
	}
	last_heap = heap;
	names_watch(heap);
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
