// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a PCI device look like the GPU of a Grace superchip to the driver of vfio for
 * that, nvgrace-gpu: no device of the emulator is one.
 *
 * The device is bdf=DOMAIN:BUS:SLOT.FUNCTION. Its BAR 0 has to be memory: the registers
 * that say that the GPU is ready are written there. The GPU's memory, which the firmware
 * of such a machine tells of, is the BAR 2 of the device memory=DOMAIN:BUS:SLOT.FUNCTION,
 * which has no driver, but for its last 16 MiB: no power of two. Neither device goes
 * while the module is there.
 */

#include <linux/err.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/property.h>
#include <linux/sizes.h>

/* As in the driver */
#define C2C_LINK_BAR0_OFFSET		0x1498
#define HBM_TRAINING_BAR0_OFFSET	0x200bc
#define STATUS_READY			0xff

#define MEMORY_BAR	2

static char *bdf, *memory;
module_param(bdf, charp, 0);
module_param(memory, charp, 0);

static struct pci_dev *gpu, *provider;

static struct property_entry properties[3];
static const struct software_node node = { .properties = properties };

static struct pci_dev *grace_find(const char *name)
{
	unsigned int domain, bus, slot, function;

	if (!name || sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot,
			    &function) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus,
					   PCI_DEVFN(slot, function));
}

static int grace_make_ready(void)
{
	void __iomem *bar;
	int ret = 0;

	if (pci_resource_len(gpu, 0) < HBM_TRAINING_BAR0_OFFSET + sizeof(u32))
		return -EINVAL;
	ret = pci_enable_device(gpu);
	if (ret)
		return ret;
	bar = pci_iomap(gpu, 0, 0);
	if (bar) {
		iowrite32(STATUS_READY, bar + C2C_LINK_BAR0_OFFSET);
		iowrite32(STATUS_READY, bar + HBM_TRAINING_BAR0_OFFSET);
		if (ioread32(bar + HBM_TRAINING_BAR0_OFFSET) != STATUS_READY)
			ret = -EIO;
		pci_iounmap(gpu, bar);
	} else {
		ret = -ENOMEM;
	}
	pci_disable_device(gpu);
	return ret;
}

static int __init grace_init(void)
{
	int ret = -ENODEV;

	gpu = grace_find(bdf);
	provider = grace_find(memory);
	if (!gpu || !provider)
		goto put;
	ret = pci_enable_device(provider);
	if (ret)
		goto put;
	ret = -EINVAL;
	if (pci_resource_len(provider, MEMORY_BAR) < SZ_2G)
		goto disable;
	ret = grace_make_ready();
	if (ret)
		goto disable;

	properties[0] = PROPERTY_ENTRY_U64("nvidia,gpu-mem-base-pa",
					   pci_resource_start(provider, MEMORY_BAR));
	properties[1] = PROPERTY_ENTRY_U64("nvidia,gpu-mem-size",
					   pci_resource_len(provider, MEMORY_BAR) - SZ_16M);
	ret = device_add_software_node(&gpu->dev, &node);
	if (ret)
		goto disable;
	return 0;

disable:
	pci_disable_device(provider);
put:
	pci_dev_put(provider);
	pci_dev_put(gpu);
	return ret;
}
module_init(grace_init);

static void __exit grace_exit(void)
{
	device_remove_software_node(&gpu->dev);
	pci_disable_device(provider);
	pci_dev_put(provider);
	pci_dev_put(gpu);
}
module_exit(grace_exit);

MODULE_DESCRIPTION("Test memory of a GPU");
MODULE_LICENSE("GPL");
