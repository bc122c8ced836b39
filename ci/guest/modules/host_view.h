/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the host of an encrypted guest sees the guest's shared memory: in the BAR of QEMU's
 * ivshmem. It is other memory than what the CPU sees there, so that an access tells which
 * of the two addresses it went to.
 */
#ifndef HOST_VIEW_H
#define HOST_VIEW_H

#include <linux/io.h>
#include <linux/mem_encrypt.h>
#include <linux/pci.h>

/* QEMU's memory with a BAR */
#define REDHAT_VENDOR	0x1af4
#define IVSHMEM_DEVICE	0x1110
#define IVSHMEM_BAR	2

/* Where the host sees the page at phys; 0 where it does not. */
static inline phys_addr_t host_phys(phys_addr_t phys)
{
	u64 shared = dma_addr_unencrypted(0ULL);
	phys_addr_t found = 0;
	struct pci_dev *pdev;

	pdev = shared ? pci_get_device(REDHAT_VENDOR, IVSHMEM_DEVICE, NULL) : NULL;
	if (!pdev)
		return 0;
	if (pci_resource_start(pdev, IVSHMEM_BAR) == shared &&
	    phys + PAGE_SIZE <= pci_resource_len(pdev, IVSHMEM_BAR) &&
	    !pci_enable_device(pdev))
		/* it stays enabled: nobody else uses it */
		found = shared + phys;
	pci_dev_put(pdev);
	return found;
}

/* The page there, until memunmap(); NULL where there is none. */
static inline void *host_view(phys_addr_t phys)
{
	phys_addr_t found = host_phys(phys);

	return found ? memremap(found, PAGE_SIZE, MEMREMAP_WB) : NULL;
}

#endif	/* HOST_VIEW_H */
