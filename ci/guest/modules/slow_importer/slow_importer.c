// SPDX-License-Identifier: GPL-2.0-only
/*
 * An importer of dma-bufs that takes its time to give a mapping back.
 *
 * /sys/kernel/debug/slow_importer is there while a PCI device is bound to the
 * driver by driver_override; the device does not do any DMA. Write
 *
 *   attach FD		attach to the dma-buf of that file descriptor
 *   map MS notified	map it; when it is to be given back, sleep MS milliseconds in
 *			the notification, and unmap before it returns
 *   map MS later	the same, but a work item does it, so that the notification
 *			returns at once
 *   map MS apart	the same, but it has slept before it takes the lock
 *   detach		unmap, if that has not happened, and detach
 *
 * The first two sleep under the dma_resv lock of the buffer. A write fails with the
 * error of what it asks for. Read "mapped N notified N fence N entries N
 * largest N bytes N": 1 while there is a mapping, how often the importer was notified
 * since it attached, 1 while the fence is not signalled; of the last mapping, how many
 * DMA segments it had, the length of the largest, and that of all.
 *
 * An mmap() of /dev/slow_importer maps the buffer by dma_buf_mmap(), whatever the
 * mode of the buffer's file.
 */

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

struct importer {
	struct device *dev;
	struct dentry *file;
	struct mutex lock;	/* for writers */
	struct work_struct work;
	struct delayed_work apart;
	struct delayed_work signal;

	struct dma_buf_attachment *attach;

	/* under the dma_resv lock */
	unsigned int ms;
	enum { NOTIFIED, LATER, APART } how;
	unsigned int notified;
	struct sg_table *table;
	unsigned int entries;
	unsigned int largest;
	u64 bytes;
	unsigned int fence_ms;
	struct dma_fence *fence;
};

static struct importer importer;

static const char *importer_fence_name(struct dma_fence *fence)
{
	return "slow_importer";
}

static const struct dma_fence_ops importer_fence_ops = {
	.get_driver_name = importer_fence_name,
	.get_timeline_name = importer_fence_name,
};

static void importer_signal(struct work_struct *work)
{
	struct importer *imp = container_of(to_delayed_work(work),
					    struct importer, signal);

	dma_fence_signal(imp->fence);
}

/* Under the dma_resv lock */
static void importer_unmap(struct importer *imp, unsigned int ms)
{
	if (!imp->table)
		return;
	msleep(ms);
	dma_buf_unmap_attachment(imp->attach, imp->table, DMA_BIDIRECTIONAL);
	imp->table = NULL;
}

static void importer_work(struct work_struct *work)
{
	struct importer *imp = container_of(work, struct importer, work);
	struct dma_resv *resv = imp->attach->dmabuf->resv;

	dma_resv_lock(resv, NULL);
	importer_unmap(imp, imp->ms);
	dma_resv_unlock(resv);
}

static void importer_work_apart(struct work_struct *work)
{
	struct importer *imp = container_of(to_delayed_work(work),
					    struct importer, apart);
	struct dma_resv *resv = imp->attach->dmabuf->resv;

	dma_resv_lock(resv, NULL);
	importer_unmap(imp, 0);
	dma_resv_unlock(resv);
}

static void importer_cancel(struct importer *imp)
{
	cancel_work_sync(&imp->work);
	cancel_delayed_work_sync(&imp->apart);
}

static void importer_invalidate(struct dma_buf_attachment *attach)
{
	struct importer *imp = attach->importer_priv;

	imp->notified++;
	if (imp->fence)
		schedule_delayed_work(&imp->signal,
				      msecs_to_jiffies(imp->fence_ms));
	if (imp->how == LATER)
		schedule_work(&imp->work);
	else if (imp->how == APART)
		schedule_delayed_work(&imp->apart, msecs_to_jiffies(imp->ms));
	else
		importer_unmap(imp, imp->ms);
}

static const struct dma_buf_attach_ops importer_ops = {
	.allow_peer2peer = true,
	.invalidate_mappings = importer_invalidate,
};

static const struct dma_buf_attach_ops importer_pages_ops = {
	.invalidate_mappings = importer_invalidate,
};

static const struct dma_buf_attach_ops importer_forever_ops = {
	.allow_peer2peer = true,
};

static void importer_detach(struct importer *imp)
{
	struct dma_buf *buf;

	if (!imp->attach)
		return;
	buf = imp->attach->dmabuf;
	importer_cancel(imp);
	dma_resv_lock(buf->resv, NULL);
	importer_unmap(imp, 0);
	dma_resv_unlock(buf->resv);
	/* one more notification may have come meanwhile */
	importer_cancel(imp);
	dma_buf_detach(buf, imp->attach);
	if (imp->fence) {
		cancel_delayed_work_sync(&imp->signal);
		dma_fence_signal(imp->fence);
		dma_fence_put(imp->fence);
		imp->fence = NULL;
	}
	dma_buf_put(buf);
	imp->attach = NULL;
}

static int importer_attach(struct importer *imp, int fd,
			   const struct dma_buf_attach_ops *ops)
{
	struct dma_buf_attachment *attach;
	struct dma_buf *buf;

	if (imp->attach)
		return -EBUSY;
	buf = dma_buf_get(fd);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	imp->notified = 0;
	attach = dma_buf_dynamic_attach(buf, imp->dev, ops, imp);
	if (IS_ERR(attach)) {
		dma_buf_put(buf);
		return PTR_ERR(attach);
	}
	imp->attach = attach;
	return 0;
}

static void importer_measure(struct importer *imp, struct sg_table *table)
{
	struct scatterlist *sg;
	int i;

	imp->entries = table->nents;
	imp->largest = 0;
	imp->bytes = 0;
	for_each_sgtable_dma_sg(table, sg, i) {
		imp->largest = max(imp->largest, sg_dma_len(sg));
		imp->bytes += sg_dma_len(sg);
	}
}

static int importer_map(struct importer *imp, unsigned int ms, const char *how)
{
	static const char * const ways[] = { "notified", "later", "apart" };
	int way = match_string(ways, ARRAY_SIZE(ways), how);

	struct dma_resv *resv;
	struct sg_table *table;
	int ret = 0;

	if (way < 0)
		return way;
	if (!imp->attach)
		return -ENODEV;
	resv = imp->attach->dmabuf->resv;
	dma_resv_lock(resv, NULL);
	if (imp->table) {
		ret = -EBUSY;
		goto unlock;
	}
	imp->ms = ms;
	imp->how = way;
	table = dma_buf_map_attachment(imp->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(table)) {
		ret = PTR_ERR(table);
	} else {
		imp->table = table;
		importer_measure(imp, table);
	}
unlock:
	dma_resv_unlock(resv);
	return ret;
}

static int importer_fence(struct importer *imp, unsigned int ms)
{
	struct dma_resv *resv;
	struct dma_fence *fence;
	int ret;

	if (!imp->attach)
		return -ENODEV;
	if (imp->fence)
		return -EBUSY;
	fence = kzalloc(sizeof(*fence), GFP_KERNEL);
	if (!fence)
		return -ENOMEM;
	dma_fence_init(fence, &importer_fence_ops, NULL,
		       dma_fence_context_alloc(1), 1);

	resv = imp->attach->dmabuf->resv;
	dma_resv_lock(resv, NULL);
	ret = dma_resv_reserve_fences(resv, 1);
	if (!ret) {
		imp->fence_ms = ms;
		imp->fence = dma_fence_get(fence);
		dma_resv_add_fence(resv, fence, DMA_RESV_USAGE_BOOKKEEP);
	}
	dma_resv_unlock(resv);
	if (ret)
		dma_fence_signal(fence);
	dma_fence_put(fence);
	return ret;
}

static ssize_t importer_write(struct file *file, const char __user *text,
			      size_t count, loff_t *ppos)
{
	struct seq_file *seq = file->private_data;
	struct importer *imp = seq->private;
	char line[64], how[16];
	unsigned int ms;
	int fd, ret = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;

	mutex_lock(&imp->lock);
	if (sysfs_streq(line, "detach"))
		importer_detach(imp);
	else if (sscanf(line, "attach %d %15s", &fd, how) == 2 &&
		 !strcmp(how, "pages"))
		ret = importer_attach(imp, fd, &importer_pages_ops);
	else if (sscanf(line, "attach %d %15s", &fd, how) == 2 &&
		 !strcmp(how, "forever"))
		ret = importer_attach(imp, fd, &importer_forever_ops);
	else if (sscanf(line, "attach %d", &fd) == 1)
		ret = importer_attach(imp, fd, &importer_ops);
	else if (sscanf(line, "fence %u", &ms) == 1)
		ret = importer_fence(imp, ms);
	else if (sscanf(line, "map %u %15s", &ms, how) == 2)
		ret = importer_map(imp, ms, how);
	else
		ret = -EINVAL;
	mutex_unlock(&imp->lock);

	return ret ?: count;
}

static int importer_show(struct seq_file *seq, void *unused)
{
	struct importer *imp = seq->private;
	bool fence;

	mutex_lock(&imp->lock);
	fence = imp->fence && !dma_fence_is_signaled(imp->fence);
	seq_printf(seq,
		   "mapped %d notified %u fence %d entries %u largest %u bytes %llu\n",
		   !!READ_ONCE(imp->table), READ_ONCE(imp->notified), fence,
		   imp->entries, imp->largest, imp->bytes);
	mutex_unlock(&imp->lock);
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

/* With the mode of this file, like a driver that has objects of its own */
static int importer_mmap(struct file *file, struct vm_area_struct *vma)
{
	int ret = -ENODEV;

	/* mmap_lock is held, inside which the writers' lock is not taken */
	if (!mutex_trylock(&importer.lock))
		return -EBUSY;
	if (importer.attach)
		ret = dma_buf_mmap(importer.attach->dmabuf, vma, vma->vm_pgoff);
	mutex_unlock(&importer.lock);
	return ret;
}

static const struct file_operations importer_mmap_fops = {
	.owner = THIS_MODULE,
	.mmap = importer_mmap,
};

static struct miscdevice importer_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "slow_importer",
	.fops = &importer_mmap_fops,
	.mode = 0600,
};

static int importer_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret;

	if (importer.dev)
		return -EBUSY;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	importer.dev = &pdev->dev;
	importer.file = debugfs_create_file("slow_importer", 0600, NULL,
					    &importer, &importer_fops);
	return 0;
}

static void importer_remove(struct pci_dev *pdev)
{
	debugfs_remove(importer.file);
	importer_detach(&importer);
	importer.dev = NULL;
}

static struct pci_driver importer_driver = {
	.name = "slow_importer",
	.id_table = NULL,	/* bound by driver_override */
	.probe = importer_probe,
	.remove = importer_remove,
	/* leaves other devices of the same group to vfio */
	.driver_managed_dma = true,
};

static int __init importer_init(void)
{
	int ret;

	mutex_init(&importer.lock);
	INIT_WORK(&importer.work, importer_work);
	INIT_DELAYED_WORK(&importer.apart, importer_work_apart);
	INIT_DELAYED_WORK(&importer.signal, importer_signal);
	ret = misc_register(&importer_misc);
	if (ret)
		return ret;
	ret = pci_register_driver(&importer_driver);
	if (ret)
		misc_deregister(&importer_misc);
	return ret;
}
module_init(importer_init);

static void __exit importer_exit(void)
{
	pci_unregister_driver(&importer_driver);
	misc_deregister(&importer_misc);
}
module_exit(importer_exit);

MODULE_DESCRIPTION("Test importer of dma-bufs that is slow to unmap");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
