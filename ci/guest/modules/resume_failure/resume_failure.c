// SPDX-License-Identifier: GPL-2.0-only
/*
 * Have the runtime resume of a PCI device fail.
 *
 * Write to /sys/kernel/debug/resume_failure
 *
 *	arm BDF		the device, which is suspended, depends on one that cannot be
 *			resumed
 *	disarm		and does not any more
 */

#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/pm_domain.h>
#include <linux/pm_runtime.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static struct dentry *failure_file;
static DEFINE_MUTEX(failure_lock);	/* for what follows */
static struct platform_device *supplier;
static struct device_link *failure_link;
static struct pci_dev *consumer;

static int failure_resume(struct device *dev)
{
	return -EIO;
}

static int failure_suspend(struct device *dev)
{
	return 0;
}

static struct dev_pm_domain failure_domain = {
	.ops = {
		.runtime_suspend = failure_suspend,
		.runtime_resume = failure_resume,
	},
};

static int failure_arm(unsigned int domain, unsigned int bus,
		       unsigned int slot, unsigned int function)
{
	if (consumer)
		return -EBUSY;
	consumer = pci_get_domain_bus_and_slot(domain, bus,
					       PCI_DEVFN(slot, function));
	if (!consumer)
		return -ENODEV;
	failure_link = device_link_add(&consumer->dev, &supplier->dev,
				       DL_FLAG_STATELESS | DL_FLAG_PM_RUNTIME);
	if (failure_link)
		return 0;
	pci_dev_put(consumer);
	consumer = NULL;
	return -EINVAL;
}

static void failure_disarm(void)
{
	if (!consumer)
		return;
	device_link_del(failure_link);
	/* Forget the error, after which no resume is tried any more */
	pm_runtime_set_suspended(&consumer->dev);
	pm_runtime_set_suspended(&supplier->dev);
	pci_dev_put(consumer);
	consumer = NULL;
}

static ssize_t failure_write(struct file *file, const char __user *text,
			     size_t count, loff_t *ppos)
{
	unsigned int domain, bus, slot, function;
	char line[64];
	int ret = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;

	mutex_lock(&failure_lock);
	if (sysfs_streq(line, "disarm"))
		failure_disarm();
	else if (sscanf(line, "arm %x:%x:%x.%x", &domain, &bus, &slot,
			&function) == 4)
		ret = failure_arm(domain, bus, slot, function);
	else
		ret = -EINVAL;
	mutex_unlock(&failure_lock);
	return ret ?: count;
}

static const struct file_operations failure_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = failure_write,
};

static int __init failure_init(void)
{
	supplier = platform_device_register_simple("resume_failure",
						   PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(supplier))
		return PTR_ERR(supplier);
	dev_pm_domain_set(&supplier->dev, &failure_domain);
	pm_runtime_enable(&supplier->dev);
	failure_file = debugfs_create_file("resume_failure", 0200, NULL, NULL,
					   &failure_fops);
	return 0;
}
module_init(failure_init);

static void __exit failure_exit(void)
{
	debugfs_remove(failure_file);
	failure_disarm();
	pm_runtime_disable(&supplier->dev);
	dev_pm_domain_set(&supplier->dev, NULL);
	platform_device_unregister(supplier);
}
module_exit(failure_exit);

MODULE_DESCRIPTION("Test failure of runtime resume");
MODULE_LICENSE("GPL");
