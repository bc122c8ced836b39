// SPDX-License-Identifier: GPL-2.0-only
/*
 * Give a PCI device the capability of advanced features, with a function level reset:
 * no device of the emulator has it. The device is bdf=DOMAIN:BUS:SLOT.FUNCTION, has
 * other capabilities, and nothing in the last 32 bytes of its configuration space. It
 * is alone on its bus. What is written to the capability has no effect.
 */

#include <linux/module.h>
#include <linux/pci.h>

#define AT	0xe0

static char *bdf;
module_param(bdf, charp, 0);

static struct pci_dev *pdev;
static struct pci_ops *real, ops;
static int last;	/* where the pointer to the last capability's next one is */

static const u8 capability[PCI_CAP_AF_SIZEOF] = {
	[PCI_CAP_LIST_ID] = PCI_CAP_ID_AF,
	[PCI_AF_LENGTH] = PCI_CAP_AF_SIZEOF,
	[PCI_AF_CAP] = PCI_AF_CAP_TP | PCI_AF_CAP_FLR,
};

static int af_read(struct pci_bus *bus, unsigned int devfn, int where, int size,
		   u32 *val)
{
	int ret = real->read(bus, devfn, where, size, val);
	int i;

	if (ret || devfn != pdev->devfn)
		return ret;
	for (i = 0; i < size; i++) {
		int at = where + i, byte = -1;

		if (at == last)
			byte = AT;
		else if (at >= AT && at < AT + PCI_CAP_AF_SIZEOF)
			byte = capability[at - AT];
		if (byte >= 0) {
			*val &= ~(0xffU << (8 * i));
			*val |= (u32)byte << (8 * i);
		}
	}
	return ret;
}

static int __init af_init(void)
{
	unsigned int domain, bus, slot, function;
	int left = 48;
	u8 next;

	if (!bdf || sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &slot,
			   &function) != 4)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!pdev)
		return -ENODEV;

	last = PCI_CAPABILITY_LIST;
	while (left-- && !pci_read_config_byte(pdev, last, &next) && next)
		last = next + PCI_CAP_LIST_NEXT;
	if (last == PCI_CAPABILITY_LIST || left < 0) {
		pci_dev_put(pdev);
		return -EINVAL;
	}

	real = pdev->bus->ops;
	ops = *real;
	ops.read = af_read;
	pci_bus_set_ops(pdev->bus, &ops);
	return 0;
}
module_init(af_init);

static void __exit af_exit(void)
{
	pci_bus_set_ops(pdev->bus, real);
	pci_dev_put(pdev);
}
module_exit(af_exit);

MODULE_DESCRIPTION("Test capability of advanced features");
MODULE_LICENSE("GPL");
