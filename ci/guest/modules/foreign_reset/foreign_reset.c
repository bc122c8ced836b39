// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the PCI core tells the driver of a device when somebody else resets it, or an
 * error of the link is recovered from, and nothing else: the device is not touched, and
 * it takes as long as whoever writes here likes.
 *
 * Write to /sys/kernel/debug/foreign_reset
 *
 *	prepare BDF	a reset is about to begin
 *	done BDF	it has ended
 *	freeze BDF	an error is detected, and the link is frozen
 *	normal BDF	an error is detected that is not fatal
 *	resume BDF	the device has recovered
 *	fail BDF	it has not
 *
 * A write fails with ENOSYS where the driver does not want to know.
 */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/uaccess.h>

/* As the PCI core: under the lock of the struct device */
static int foreign_tell(struct pci_dev *pdev, const char *what)
{
	const struct pci_error_handlers *handlers;
	int ret = 0;

	device_lock(&pdev->dev);
	handlers = pdev->driver ? pdev->driver->err_handler : NULL;
	if (!handlers)
		ret = -ENODEV;
	else if (!strcmp(what, "prepare") && handlers->reset_prepare)
		handlers->reset_prepare(pdev);
	else if (!strcmp(what, "done") && handlers->reset_done)
		handlers->reset_done(pdev);
	else if (!strcmp(what, "freeze") && handlers->error_detected)
		handlers->error_detected(pdev, pci_channel_io_frozen);
	else if (!strcmp(what, "normal") && handlers->error_detected)
		handlers->error_detected(pdev, pci_channel_io_normal);
	else if (!strcmp(what, "fail") && handlers->error_detected)
		handlers->error_detected(pdev, pci_channel_io_perm_failure);
	else if (!strcmp(what, "resume") && handlers->resume)
		handlers->resume(pdev);
	else
		ret = -ENOSYS;
	device_unlock(&pdev->dev);
	return ret;
}

static ssize_t foreign_write(struct file *file, const char __user *text,
			     size_t count, loff_t *ppos)
{
	unsigned int domain, bus, slot, function;
	struct pci_dev *pdev;
	char line[64], what[16];
	int ret;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;
	if (sscanf(line, "%15s %x:%x:%x.%x", what, &domain, &bus, &slot,
		   &function) != 5)
		return -EINVAL;

	pdev = pci_get_domain_bus_and_slot(domain, bus,
					   PCI_DEVFN(slot, function));
	if (!pdev)
		return -ENODEV;
	ret = foreign_tell(pdev, what);
	pci_dev_put(pdev);
	return ret ?: count;
}

static const struct file_operations foreign_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = foreign_write,
};

static struct dentry *foreign_file;

static int __init foreign_init(void)
{
	foreign_file = debugfs_create_file("foreign_reset", 0200, NULL, NULL,
					   &foreign_fops);
	return 0;
}
module_init(foreign_init);

static void __exit foreign_exit(void)
{
	debugfs_remove(foreign_file);
}
module_exit(foreign_exit);

MODULE_DESCRIPTION("Test resets of PCI devices by others");
MODULE_LICENSE("GPL");
