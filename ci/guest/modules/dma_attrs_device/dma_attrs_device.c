// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA attributes on real devices: what each call of the DMA API does with
 * DMA_ATTR_CC_SHARED, DMA_ATTR_MMIO and DMA_ATTR_REQUIRE_COHERENT.
 *
 * The PCI driver has no ids: bind it to QEMU's edu by driver_override. The
 * platform driver takes the nodes of ci/lanes/arm64-pools.dtsi with the
 * compatible "test,dma-attrs". For each way that a device's DMA goes, directory
 * /sys/kernel/debug/dma_attrs_device/WAY/ has, while the device is bound,
 *
 *   rows	runs the rows that use the API as it should be used
 *   stray	runs the rows that unmap with an attribute the mapping was not
 *		made with
 *   internal	maps memory with an attribute that is not for drivers
 *
 * WAY is iommu, viommu (a virtio-iommu), vtrusted (the same, and an encrypted guest
 * trusts the device), direct or bounce for the PCI device; platform, restricted,
 * range_in and range_out (memory inside and outside of the dma-ranges), short (32
 * address bits) and trusted (with private memory) for the others. rows and stray
 * answer one line a row: "pass NAME", or "fail NAME: WHY". stray and internal, which
 * only direct has, end with "reports N": the N calls that dma-debug has to complain
 * about. They are in files of their own so that whoever reads them can have these
 * complaints counted without having them printed.
 */

#include <linux/cc_platform.h>
#include <linux/debugfs.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

#include "../edu.h"
#include "../host_view.h"

/* what the device copies */
#define EDU_BYTES	1024

/* entries: 2 MiB of addresses in a trace */
#define LONG_TABLE	SZ_256K

/* What the bus of the node "testbus-ranges" translates. */
#define RANGE_START	0x40000000ULL
#define RANGE_END	0x60000000ULL
#define RANGE_OFFSET	0x40000000ULL

/* QEMU's virtio-iommu */
#define VIOMMU_DEVICE	0x1057
/* An address of QEMU's virt machine on arm64 where nothing is */
#define NOTHING		0x0b100000

/*
 * Only a kernel with arm64-fake-shared-memory.patch knows which pages an encrypted guest
 * shares with the host, and maps them in a way of their own for user space.
 */
#ifdef fake_mem_shared
#define SHOWS_SHARED		true
#else
#define SHOWS_SHARED		false
#define fake_mem_shared(pfn)	false
#endif

enum way {
	IOMMU,
	DIRECT,
	BOUNCE,		/* swiotlb is forced */
	PLATFORM,	/* direct, for a device that is not coherent */
	RESTRICTED,	/* a restricted pool: all is bounced */
	RANGE_IN,	/* memory within dma-ranges */
	RANGE_OUT,	/* memory that no range covers */
	SHORT,		/* direct, for a device of 32 address bits */
	TRUSTED,	/* direct; an encrypted guest lets it use private memory */
	VIOMMU,		/* an IOMMU that can map shared memory of an encrypted guest */
	VTRUSTED,	/* the same; an encrypted guest lets it use private memory */
	WAYS,
};

static const char * const ways[WAYS] = {
	"iommu", "direct", "bounce", "platform", "restricted", "range_in",
	"range_out", "short", "trusted", "viommu",
	"vtrusted",
};

/*
 * Where memory is encrypted, it has one address as private and another one as shared
 * memory: its physical address, and that with a bit more. Which of the two has the
 * bit is for the machine to say.
 */
enum answer {
	UNDEFINED,	/* no row */
	PHYSICAL,	/* at its physical address, as private memory */
	SHARED,		/* at its physical address, as shared memory */
	OFFSET,		/* where the bus has it, as private memory */
	SHARED_OFFSET,	/* where the bus has it, as shared memory */
	TRANSLATED,	/* at an address that the IOMMU translates to it */
	VISIBLE,	/* the same, and the device accesses what the host sees of it */
	BOUNCED,	/* in a bounce buffer with the same data, as shared memory */
	REFUSED,	/* DMA_MAPPING_ERROR, -EOPNOTSUPP, NULL */
	UNREACHABLE,	/* DMA_MAPPING_ERROR, -EIO */
};

static const struct {
	const char *name;
	unsigned long attrs;
} columns[] = {
	{ "none", 0 },
	{ "require_coherent", DMA_ATTR_REQUIRE_COHERENT },
	{ "cc_shared", DMA_ATTR_CC_SHARED },
	{ "mmio", DMA_ATTR_MMIO },
	{ "mmio_cc_shared", DMA_ATTR_MMIO | DMA_ATTR_CC_SHARED },
};

/*
 * The answer of every call that maps, a column each. Behind an IOMMU and
 * without memory encryption the answer to DMA_ATTR_CC_SHARED is the row
 * "changes_nothing": the same from all calls.
 */
static const enum answer plain[WAYS][ARRAY_SIZE(columns)] = {
	/*		none	     coherent	  cc_shared    mmio	    both */
	[IOMMU]	     = { TRANSLATED, TRANSLATED,  UNDEFINED,   TRANSLATED,  UNDEFINED },
	[DIRECT]     = { PHYSICAL,   PHYSICAL,    PHYSICAL,    PHYSICAL,    PHYSICAL },
	[BOUNCE]     = { BOUNCED,    UNREACHABLE, BOUNCED,     UNREACHABLE, UNREACHABLE },
	[PLATFORM]   = { PHYSICAL,   REFUSED,     PHYSICAL,    PHYSICAL,    PHYSICAL },
	[RESTRICTED] = { BOUNCED,    REFUSED,     BOUNCED,     UNREACHABLE, UNREACHABLE },
	[RANGE_IN]   = { OFFSET,     REFUSED,     OFFSET,      OFFSET,      OFFSET },
	[RANGE_OUT]  = { BOUNCED,    REFUSED,     BOUNCED,     PHYSICAL,    PHYSICAL },
	[SHORT]	     = { PHYSICAL,   REFUSED,     PHYSICAL,    PHYSICAL,    PHYSICAL },
	[TRUSTED]    = { PHYSICAL,   REFUSED,     PHYSICAL,    PHYSICAL,    PHYSICAL },
	[VIOMMU]     = { TRANSLATED, TRANSLATED,  UNDEFINED,   TRANSLATED,  UNDEFINED },
	[VTRUSTED]   = { TRANSLATED, TRANSLATED,  UNDEFINED,   TRANSLATED,  UNDEFINED },
};

/* The same in a guest whose memory is encrypted: devices need shared memory. */
static const enum answer guest[WAYS][ARRAY_SIZE(columns)] = {
	/*		none	     coherent	  cc_shared    mmio	    both */
	[IOMMU]	     = { UNREACHABLE, UNREACHABLE, REFUSED,    UNREACHABLE, REFUSED },
	[DIRECT]     = { BOUNCED,    UNREACHABLE, SHARED,      UNREACHABLE, SHARED },
	[BOUNCE]     = { BOUNCED,    UNREACHABLE, BOUNCED,     UNREACHABLE, UNREACHABLE },
	[PLATFORM]   = { BOUNCED,    REFUSED,     SHARED,      UNREACHABLE, SHARED },
	[RESTRICTED] = { BOUNCED,    REFUSED,     BOUNCED,     UNREACHABLE, UNREACHABLE },
	[RANGE_IN]   = { BOUNCED,    REFUSED,     SHARED_OFFSET, UNREACHABLE, SHARED_OFFSET },
	[RANGE_OUT]  = { BOUNCED,    REFUSED,     BOUNCED,     UNREACHABLE, SHARED },
	[SHORT]	     = { UNREACHABLE, REFUSED,    UNREACHABLE, UNREACHABLE, UNREACHABLE },
	[TRUSTED]    = { PHYSICAL,   REFUSED,     SHARED,      PHYSICAL,    SHARED },
	[VIOMMU]     = { BOUNCED,    UNREACHABLE, VISIBLE,     UNREACHABLE, VISIBLE },
	[VTRUSTED]   = { TRANSLATED, TRANSLATED,  VISIBLE,     TRANSLATED,  VISIBLE },
};

struct attrs_device {
	struct device *dev;
	enum way way;
	void __iomem *regs;		/* of edu, or NULL */
	phys_addr_t mmio;		/* what is mapped as MMIO */
	struct page *page;
	struct iommu_domain *domain;	/* NULL without an IOMMU */
	struct dentry *dir;
};

static struct dentry *attrs_dir;

static bool guest_encrypted(void)
{
	return cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT);
}

static enum answer expected(struct attrs_device *ad, unsigned int column)
{
	return guest_encrypted() ? guest[ad->way][column] : plain[ad->way][column];
}

/* The bits of private and of shared memory in addresses; neither without encryption. */
static u64 private_bit(struct device *dev)
{
	return dev ? dma_addr_encrypted(0ULL) : 0;
}

static u64 shared_bit(struct device *dev)
{
	return dev ? dma_addr_unencrypted(0ULL) : 0;
}

/* Memory is mapped without DMA_ATTR_MMIO, somebody's registers with it. */
static phys_addr_t source(struct attrs_device *ad, unsigned long attrs)
{
	return attrs & DMA_ATTR_MMIO ? ad->mmio : page_to_phys(ad->page);
}

static bool copies(struct attrs_device *ad, u64 from, u64 to, u64 cmd)
{
	return edu_copy(ad->regs, from, to, EDU_BYTES, cmd);
}

/* The device accesses what is mapped at addr; the CPU has it at data, if it is memory. */
static const char *judge_host_access(struct attrs_device *ad, dma_addr_t addr,
				     u8 *data, phys_addr_t phys)
{
	u8 *host = host_view(phys);
	const char *wrong = NULL;

	if (!host)
		return "the machine has no memory that the host sees";
	if (data)
		memset(data, 0x11, PAGE_SIZE);
	memset(host, 0x22, EDU_BYTES);
	memset(host + SZ_2K, 0, EDU_BYTES);
	if (!copies(ad, addr, EDU_BUFFER, EDU_DMA_RUN) ||
	    !copies(ad, EDU_BUFFER, addr + SZ_2K, EDU_DMA_RUN | EDU_DMA_TO_RAM))
		wrong = "the device does not finish";
	else if (data && memchr_inv(data, 0x11, PAGE_SIZE))
		wrong = "the device writes to private memory";
	else if (memchr_inv(host + SZ_2K, 0x22, EDU_BYTES))
		wrong = "the device does not copy what the host sees";
	memunmap(host);
	return wrong;
}

static const char *judge_bounce(struct attrs_device *ad, dma_addr_t addr,
				phys_addr_t phys)
{
	dma_addr_t canonical = addr & ~(private_bit(ad->dev) | shared_bit(ad->dev));
	phys_addr_t behind;

	if (ad->domain) {
		behind = iommu_iova_to_phys(ad->domain, addr);
		if (!behind || behind == phys)
			return "not bounced";
		if (memcmp(phys_to_virt(behind), phys_to_virt(phys), PAGE_SIZE))
			return "other data in the bounce buffer";
		return judge_host_access(ad, addr, phys_to_virt(behind), behind);
	}
	if (canonical == phys || canonical == phys + RANGE_OFFSET)
		return "not bounced";
	if (canonical + shared_bit(ad->dev) != addr)
		return "the bounce buffer is not at its shared address";
	if (memcmp(phys_to_virt(dma_to_phys(ad->dev, addr)), phys_to_virt(phys),
		   PAGE_SIZE))
		return "other data in the bounce buffer";
	return NULL;
}

/* Whether the address is where the memory has to be. */
static const char *judge_address(struct attrs_device *ad, enum answer answer,
				 dma_addr_t addr, phys_addr_t phys)
{
	u64 private = private_bit(ad->dev), shared = shared_bit(ad->dev);

	switch (answer) {
	case PHYSICAL:
		return addr == phys + private ? NULL :
			"not at its physical address, as private memory";
	case SHARED:
		return addr == phys + shared ? NULL :
			"not at its physical address, as shared memory";
	case OFFSET:
		return addr == phys + RANGE_OFFSET + private ? NULL :
			"not where the bus has it, as private memory";
	case SHARED_OFFSET:
		return addr == phys + RANGE_OFFSET + shared ? NULL :
			"not where the bus has it, as shared memory";
	case TRANSLATED:
		return iommu_iova_to_phys(ad->domain, addr) == phys ? NULL :
			"the address leads somewhere else";
	case VISIBLE:
		if (iommu_iova_to_phys(ad->domain, addr) != phys)
			return "the address leads somewhere else";
		return judge_host_access(ad, addr, phys == ad->mmio ? NULL :
					 page_address(ad->page), phys);
	case BOUNCED:
		return judge_bounce(ad, addr, phys);
	default:
		return "mapped, with the attribute ignored";
	}
}

/* Check a mapping; errno is 0 where the call has none. */
static const char *judge_map(struct attrs_device *ad, enum answer answer,
			     dma_addr_t addr, phys_addr_t phys, bool failed,
			     int errno)
{
	if (!failed)
		return judge_address(ad, answer, addr, phys);
	if (answer != REFUSED && answer != UNREACHABLE)
		return "the mapping failed";
	if (errno && errno != (answer == REFUSED ? -EOPNOTSUPP : -EIO))
		return "failed with another error than it should";
	return NULL;
}

static const char *judge_unmap(struct attrs_device *ad, dma_addr_t addr)
{
	if (ad->domain && iommu_iova_to_phys(ad->domain, addr))
		return "still mapped after the unmap";
	return NULL;
}

static const char *row_map_phys(struct attrs_device *ad, unsigned long attrs,
				enum answer answer)
{
	phys_addr_t phys = source(ad, attrs);
	const char *wrong;
	dma_addr_t addr;
	bool failed;

	addr = dma_map_phys(ad->dev, phys, PAGE_SIZE, DMA_BIDIRECTIONAL, attrs);
	failed = dma_mapping_error(ad->dev, addr);
	wrong = judge_map(ad, answer, addr, phys, failed, 0);
	if (!failed) {
		dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, attrs);
		wrong = wrong ?: judge_unmap(ad, addr);
	}
	return wrong;
}

/* A page is memory: DMA_ATTR_MMIO is refused on every path. */
static const char *row_map_page(struct attrs_device *ad, unsigned long attrs,
				enum answer answer)
{
	const char *wrong;
	dma_addr_t addr;
	bool failed;

	if (attrs & DMA_ATTR_MMIO)
		answer = REFUSED;
	addr = dma_map_page_attrs(ad->dev, ad->page, 0, PAGE_SIZE,
				  DMA_BIDIRECTIONAL, attrs);
	failed = dma_mapping_error(ad->dev, addr);
	wrong = judge_map(ad, answer, addr, page_to_phys(ad->page), failed, 0);
	if (!failed) {
		dma_unmap_page_attrs(ad->dev, addr, PAGE_SIZE,
				     DMA_BIDIRECTIONAL, attrs);
		wrong = wrong ?: judge_unmap(ad, addr);
	}
	return wrong;
}

/* An entry of a table has a page behind it: not for MMIO. */
static const char *row_map_sgtable(struct attrs_device *ad, unsigned long attrs,
				   enum answer answer)
{
	struct sg_table table;
	const char *wrong;
	dma_addr_t addr;
	int ret;

	if (sg_alloc_table(&table, 1, GFP_KERNEL))
		return "no memory";
	sg_set_page(table.sgl, ad->page, PAGE_SIZE, 0);

	ret = dma_map_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL, attrs);
	addr = ret ? DMA_MAPPING_ERROR : sg_dma_address(table.sgl);
	wrong = judge_map(ad, answer, addr, page_to_phys(ad->page), ret, ret);
	if (!ret) {
		dma_unmap_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL, attrs);
		wrong = wrong ?: judge_unmap(ad, addr);
	}
	sg_free_table(&table);
	return wrong;
}

static const char *row_iova_link(struct attrs_device *ad, unsigned long attrs,
				 enum answer answer)
{
	phys_addr_t phys = source(ad, attrs);
	struct dma_iova_state state = {};
	const char *wrong;
	dma_addr_t addr;
	int ret;

	/* its one error for what the device cannot be given */
	if (answer == UNREACHABLE)
		answer = REFUSED;
	if (!dma_iova_try_alloc(ad->dev, &state, phys, PAGE_SIZE))
		return "no IOVA";

	addr = state.addr;
	ret = dma_iova_link(ad->dev, &state, phys, 0, PAGE_SIZE,
			    DMA_BIDIRECTIONAL, attrs);
	if (ret) {
		wrong = judge_map(ad, answer, 0, 0, true, ret);
		wrong = wrong ?: judge_unmap(ad, addr);
		dma_iova_free(ad->dev, &state);
		return wrong;
	}

	ret = dma_iova_sync(ad->dev, &state, 0, PAGE_SIZE);
	wrong = judge_map(ad, answer, addr, phys, ret, ret);
	dma_iova_destroy(ad->dev, &state, PAGE_SIZE, DMA_BIDIRECTIONAL, attrs);
	return wrong ?: judge_unmap(ad, addr);
}

/*
 * A table that is refused and far longer than what a trace event keeps of it. What
 * would be written of it beyond the event would not stop at the next page of memory.
 */
static const char *row_map_long_table(struct attrs_device *ad)
{
	struct scatterlist *sg;
	struct sg_table table;
	unsigned int i;
	int ret;

	if (sg_alloc_table(&table, LONG_TABLE, GFP_KERNEL))
		return "no memory";
	for_each_sgtable_sg(&table, sg, i)
		sg_set_page(sg, ad->page, PAGE_SIZE, 0);
	ret = dma_map_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL,
			      DMA_ATTR_REQUIRE_COHERENT);
	if (!ret)
		dma_unmap_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL,
				  DMA_ATTR_REQUIRE_COHERENT);
	sg_free_table(&table);
	return ret == -EOPNOTSUPP ? NULL : "not refused";
}

static const struct {
	const char *name;
	unsigned long never;	/* the call makes no sense with this attribute */
	const char *(*run)(struct attrs_device *ad, unsigned long attrs,
			   enum answer answer);
} calls[] = {
	{ "map_phys", 0, row_map_phys },
	{ "map_page", 0, row_map_page },
	{ "map_sgtable", DMA_ATTR_MMIO, row_map_sgtable },
	{ "iova_link", 0, row_iova_link },	/* last: only behind an IOMMU */
};

static unsigned int calls_of(struct attrs_device *ad)
{
	return ARRAY_SIZE(calls) - !ad->domain;
}

/* Behind an IOMMU, without memory encryption: the attribute changes nothing. */
static const char *row_changes_nothing(struct attrs_device *ad,
				       unsigned long attrs)
{
	const char *wrong = NULL;
	unsigned int i;

	for (i = 0; i < calls_of(ad) && !wrong; i++)
		if (!(calls[i].never & attrs))
			wrong = calls[i].run(ad, attrs, TRANSLATED);
	return wrong;
}

/*
 * An allocation is refused where the device can only use shared memory and its IOMMU
 * cannot map any, or that is out of its reach.
 */
static bool no_allocation(struct attrs_device *ad)
{
	return guest_encrypted() && (ad->way == IOMMU || ad->way == SHORT);
}

/* A guest allocates shared memory for all devices but those that it trusts. */
static const char *judge_alloc(struct attrs_device *ad, void *data,
			       dma_addr_t addr, phys_addr_t phys)
{
	u64 bit = guest_encrypted() && ad->way != TRUSTED ?
			  shared_bit(ad->dev) : private_bit(ad->dev);
	bool ranges = ad->way == RANGE_IN || ad->way == RANGE_OUT;

	if (!!data == no_allocation(ad))
		return data ? "memory, but the device cannot use it" : "no memory";
	if (!data)
		return NULL;
	if (ad->domain && iommu_iova_to_phys(ad->domain, addr) != phys)
		return "the address leads somewhere else";
	if (ad->way == VIOMMU && guest_encrypted())
		return fake_mem_shared(PHYS_PFN(phys)) ? judge_host_access(ad, addr, data, phys) :
					 "the memory is not shared with the host";
	if (ad->domain)
		return NULL;
	return addr == phys + (ranges ? RANGE_OFFSET : 0) + bit ? NULL :
		"not the address of the memory";
}

/* What was shared for the device is private again, but for pools that stay shared. */
static const char *judge_free(struct attrs_device *ad, phys_addr_t phys)
{
	return ad->way == VIOMMU && guest_encrypted() && fake_mem_shared(PHYS_PFN(phys)) ?
		"freed, and still shared with the host" : NULL;
}

static const char *row_alloc_attrs(struct attrs_device *ad, gfp_t gfp)
{
	const char *wrong;
	phys_addr_t phys;
	dma_addr_t addr;
	void *data;

	data = dma_alloc_attrs(ad->dev, PAGE_SIZE, &addr, gfp, 0);
	if (!data)
		return judge_alloc(ad, NULL, 0, 0);
	phys = is_vmalloc_addr(data) ? page_to_phys(vmalloc_to_page(data)) :
				       virt_to_phys(data);
	wrong = judge_alloc(ad, data, addr, phys);
	dma_free_attrs(ad->dev, PAGE_SIZE, data, addr, 0);
	return wrong ?: gfpflags_allow_blocking(gfp) ? judge_free(ad, phys) : NULL;
}

static const char *row_alloc_pages(struct attrs_device *ad)
{
	const char *wrong;
	struct page *page;
	phys_addr_t phys;
	dma_addr_t addr;

	page = dma_alloc_pages(ad->dev, PAGE_SIZE, &addr, DMA_BIDIRECTIONAL,
			       GFP_KERNEL);
	if (!page)
		return judge_alloc(ad, NULL, 0, 0);
	phys = page_to_phys(page);
	wrong = judge_alloc(ad, page_address(page), addr, phys);
	dma_free_pages(ad->dev, PAGE_SIZE, page, addr, DMA_BIDIRECTIONAL);
	return wrong ?: judge_free(ad, phys);
}

static const char *row_alloc_noncontiguous(struct attrs_device *ad)
{
	struct sg_table *table;
	const char *wrong;
	phys_addr_t phys;

	table = dma_alloc_noncontiguous(ad->dev, PAGE_SIZE, DMA_BIDIRECTIONAL,
					GFP_KERNEL, 0);
	if (!table)
		return judge_alloc(ad, NULL, 0, 0);
	phys = sg_phys(table->sgl);
	wrong = judge_alloc(ad, page_address(sg_page(table->sgl)),
			    sg_dma_address(table->sgl), phys);
	dma_free_noncontiguous(ad->dev, PAGE_SIZE, table, DMA_BIDIRECTIONAL);
	return wrong ?: judge_free(ad, phys);
}

/* The device reads one half of a mapped page and writes it to the other half. */
static const char *row_transfer(struct attrs_device *ad)
{
	u8 *data = page_address(ad->page);
	const char *wrong = NULL;
	dma_addr_t addr;
	bool copied;

	get_random_bytes(data, EDU_BYTES);
	memset(data + SZ_2K, 0, EDU_BYTES);
	addr = dma_map_phys(ad->dev, page_to_phys(ad->page), PAGE_SIZE,
			    DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(ad->dev, addr))
		return "the mapping failed";
	copied = copies(ad, addr, EDU_BUFFER, EDU_DMA_RUN) &&
		 copies(ad, EDU_BUFFER, addr + SZ_2K, EDU_DMA_RUN | EDU_DMA_TO_RAM);
	dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	if (!copied)
		wrong = "the device does not finish";
	else if (memcmp(data, data + SZ_2K, EDU_BYTES))
		wrong = "other data than was sent";
	return wrong;
}

/* Whether a mapping for user space is made as shared: the range is beyond the memory. */
#define BEYOND {							\
	.vm_end		= PAGE_SIZE,					\
	.vm_pgoff	= 1,						\
	.vm_page_prot	= vm_get_page_prot(VM_READ | VM_WRITE | VM_SHARED), \
}

static const char *judge_protection(const struct vm_area_struct *vma)
{
	pgprot_t prot = vm_get_page_prot(VM_READ | VM_WRITE | VM_SHARED);

	return pgprot_val(vma->vm_page_prot) == pgprot_val(pgprot_decrypted(prot)) ?
		NULL : "user space sees private memory";
}

static const char *row_mmap(struct attrs_device *ad)
{
	struct vm_area_struct vma = BEYOND;
	dma_addr_t addr;
	void *data;

	data = dma_alloc_attrs(ad->dev, PAGE_SIZE, &addr, GFP_KERNEL, 0);
	if (!data)
		return "no memory";
	dma_mmap_attrs(ad->dev, &vma, data, addr, PAGE_SIZE, 0);
	dma_free_attrs(ad->dev, PAGE_SIZE, data, addr, 0);
	return judge_protection(&vma);
}

static const char *row_mmap_pages(struct attrs_device *ad)
{
	struct vm_area_struct vma = BEYOND;

	dma_mmap_pages(ad->dev, &vma, PAGE_SIZE, ad->page);
	return judge_protection(&vma);
}

static const char *row_mmap_noncontiguous(struct attrs_device *ad)
{
	struct vm_area_struct vma = BEYOND;
	struct sg_table *table;

	table = dma_alloc_noncontiguous(ad->dev, PAGE_SIZE, DMA_BIDIRECTIONAL,
					GFP_KERNEL, 0);
	if (!table)
		return "no memory";
	dma_mmap_noncontiguous(ad->dev, &vma, PAGE_SIZE, table);
	dma_free_noncontiguous(ad->dev, PAGE_SIZE, table, DMA_BIDIRECTIONAL);
	return judge_protection(&vma);
}

static void say(struct seq_file *seq, const char *call, const char *column,
		const char *wrong)
{
	seq_printf(seq, "%s %s_%s%s%s\n", wrong ? "fail" : "pass", call, column,
		   wrong ? ": " : "", wrong ?: "");
}

static int rows_show(struct seq_file *seq, void *unused)
{
	struct attrs_device *ad = seq->private;
	unsigned int i, k;

	for (i = 0; i < calls_of(ad); i++) {
		for (k = 0; k < ARRAY_SIZE(columns); k++) {
			if (expected(ad, k) == UNDEFINED ||
			    (calls[i].never & columns[k].attrs))
				continue;
			/* what a bounce buffer is compared with */
			get_random_bytes(page_address(ad->page), PAGE_SIZE);
			say(seq, calls[i].name, columns[k].name,
			    calls[i].run(ad, columns[k].attrs, expected(ad, k)));
		}
	}
	if (ad->domain && !guest_encrypted()) {
		say(seq, "cc_shared", "changes_nothing",
		    row_changes_nothing(ad, DMA_ATTR_CC_SHARED));
		say(seq, "mmio_cc_shared", "changes_nothing",
		    row_changes_nothing(ad, DMA_ATTR_MMIO | DMA_ATTR_CC_SHARED));
	}
	if (ad->way == PLATFORM)
		say(seq, "map_sgtable", "of_many_entries", row_map_long_table(ad));
	say(seq, "alloc", "attrs", row_alloc_attrs(ad, GFP_KERNEL));
	say(seq, "alloc", "pages", row_alloc_pages(ad));
	say(seq, "alloc", "noncontiguous", row_alloc_noncontiguous(ad));
	/* elsewhere shared and private memory are mapped alike */
	if (SHOWS_SHARED && ad->way == PLATFORM && guest_encrypted())
		say(seq, "mmap_pages", "shared", row_mmap_pages(ad));
	if (ad->way == VIOMMU && guest_encrypted()) {
		say(seq, "alloc", "attrs_atomic", row_alloc_attrs(ad, GFP_ATOMIC));
		say(seq, "mmap", "shared", row_mmap(ad));
		say(seq, "mmap_pages", "shared", row_mmap_pages(ad));
		say(seq, "mmap_noncontiguous", "shared", row_mmap_noncontiguous(ad));
	} else if (ad->regs && !no_allocation(ad)) {
		say(seq, "device", "transfer", row_transfer(ad));
	}
	return 0;
}

/* Until a kernel refuses that, a device that needs shared memory gets private memory. */
static bool maps_private(struct attrs_device *ad)
{
	dma_addr_t addr = dma_map_phys(ad->dev, page_to_phys(ad->page), PAGE_SIZE,
				       DMA_BIDIRECTIONAL, 0);

	if (dma_mapping_error(ad->dev, addr))
		return false;
	dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	return true;
}

/*
 * Unmap a plain mapping as if it had been made with another attribute. When
 * that leaves the mapping in place, unmap it as one should, so that the device
 * has no access to the page once it is freed.
 */
static const char *stray_unmap_phys(struct attrs_device *ad, unsigned long attr)
{
	const char *wrong;
	dma_addr_t addr;

	addr = dma_map_phys(ad->dev, page_to_phys(ad->page), PAGE_SIZE,
			    DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(ad->dev, addr))
		return "the mapping failed";
	dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, attr);
	wrong = judge_unmap(ad, addr);
	if (wrong)
		dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	return wrong;
}

static const char *stray_unmap_page(struct attrs_device *ad, unsigned long attr)
{
	const char *wrong;
	dma_addr_t addr;

	addr = dma_map_page_attrs(ad->dev, ad->page, 0, PAGE_SIZE,
				  DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(ad->dev, addr))
		return "the mapping failed";
	dma_unmap_page_attrs(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, attr);
	wrong = judge_unmap(ad, addr);
	if (wrong)
		dma_unmap_page_attrs(ad->dev, addr, PAGE_SIZE,
				     DMA_BIDIRECTIONAL, 0);
	return wrong;
}

static const char *stray_unmap_sgtable(struct attrs_device *ad,
				       unsigned long attr)
{
	const char *wrong = "the mapping failed";
	struct sg_table table;
	dma_addr_t addr;

	if (sg_alloc_table(&table, 1, GFP_KERNEL))
		return "no memory";
	sg_set_page(table.sgl, ad->page, PAGE_SIZE, 0);

	if (!dma_map_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL, 0)) {
		addr = sg_dma_address(table.sgl);
		dma_unmap_sgtable(ad->dev, &table, DMA_BIDIRECTIONAL, attr);
		wrong = judge_unmap(ad, addr);
	}
	sg_free_table(&table);
	return wrong;
}

/*
 * A bounce buffer that is given back is copied back before. One that is left behind, a
 * page, stays so: dma-debug has forgotten the mapping, and would report a second unmap.
 */
static const char *stray_unmap_bounced(struct attrs_device *ad, unsigned long attr)
{
	u8 *data = page_address(ad->page), *bounced;
	dma_addr_t addr;

	memset(data, 0, PAGE_SIZE);
	addr = dma_map_phys(ad->dev, page_to_phys(ad->page), PAGE_SIZE,
			    DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(ad->dev, addr))
		return "the mapping failed";
	bounced = phys_to_virt(dma_to_phys(ad->dev, addr));
	memset(bounced, 0xa5, PAGE_SIZE);
	dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, attr);
	return data == bounced ? "not bounced" :
	       memchr_inv(data, 0xa5, PAGE_SIZE) ? "the bounce buffer is left behind" :
	       NULL;
}

static int stray_show(struct seq_file *seq, void *unused)
{
	struct attrs_device *ad = seq->private;
	int reports = expected(ad, 0) == UNREACHABLE ? 0 : 3;

	if (ad->way == IOMMU && guest_encrypted()) {
		if (!maps_private(ad)) {
			seq_puts(seq, "reports 0\n");
			return 0;
		}
		reports = 3;
	}
	say(seq, "unmap_phys", "stray_cc_shared",
	    stray_unmap_phys(ad, DMA_ATTR_CC_SHARED));
	say(seq, "unmap_page", "stray_cc_shared",
	    stray_unmap_page(ad, DMA_ATTR_CC_SHARED));
	say(seq, "unmap_sgtable", "stray_cc_shared",
	    stray_unmap_sgtable(ad, DMA_ATTR_CC_SHARED));
	if (ad->domain) {
		say(seq, "unmap_page", "stray_mmio",
		    stray_unmap_page(ad, DMA_ATTR_MMIO));
		reports++;
	}
	if (ad->way == BOUNCE) {
		say(seq, "unmap_phys", "stray_mmio",
		    stray_unmap_bounced(ad, DMA_ATTR_MMIO));
		reports++;
	}
	seq_printf(seq, "reports %d\n", reports);
	return 0;
}

/* A driver that takes the internal attribute for DMA_ATTR_CC_SHARED. */
static int internal_show(struct seq_file *seq, void *unused)
{
	struct attrs_device *ad = seq->private;
	dma_addr_t addr;

	addr = dma_map_phys(ad->dev, page_to_phys(ad->page), PAGE_SIZE,
			    DMA_BIDIRECTIONAL, __DMA_ATTR_ALLOC_CC_SHARED);
	if (!dma_mapping_error(ad->dev, addr))
		dma_unmap_phys(ad->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL,
			       __DMA_ATTR_ALLOC_CC_SHARED);
	seq_puts(seq, "reports 1\n");
	return 0;
}

/* A buffer that the answer fits in: a second try would run the rows twice. */
static int rows_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, rows_show, inode->i_private, SZ_16K);
}

static int stray_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, stray_show, inode->i_private, SZ_16K);
}

static int internal_open(struct inode *inode, struct file *file)
{
	return single_open(file, internal_show, inode->i_private);
}

static const struct file_operations rows_fops = {
	.owner = THIS_MODULE,
	.open = rows_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static const struct file_operations stray_fops = {
	.owner = THIS_MODULE,
	.open = stray_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static const struct file_operations internal_fops = {
	.owner = THIS_MODULE,
	.open = internal_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static void attrs_unpublish(void *data)
{
	struct attrs_device *ad = data;

	debugfs_remove_recursive(ad->dir);
	__free_page(ad->page);
}

/* A page that the way is about: in the first 4 GiB, inside or outside the range. */
static struct page *attrs_page(enum way way)
{
	struct page *page, *wrong[64];
	unsigned int n = 0;
	bool in;

	for (;;) {
		page = alloc_page((way == RANGE_IN ? GFP_DMA :
				   way == RANGE_OUT ? 0 : GFP_DMA32) |
				  GFP_KERNEL | __GFP_ZERO);
		if (!page || (way != RANGE_IN && way != RANGE_OUT))
			break;
		in = page_to_phys(page) >= RANGE_START &&
		     page_to_phys(page) < RANGE_END;
		if (in == (way == RANGE_IN))
			break;
		if (n == ARRAY_SIZE(wrong)) {
			__free_page(page);
			page = NULL;
			break;
		}
		wrong[n++] = page;
	}
	while (n)
		__free_page(wrong[--n]);
	return page;
}

/* Show a way of a device in debugfs, for as long as the device is bound. */
static int attrs_publish(struct device *dev, enum way way,
			 struct iommu_domain *domain, void __iomem *regs,
			 phys_addr_t mmio)
{
	struct attrs_device *ad;

	ad = devm_kzalloc(dev, sizeof(*ad), GFP_KERNEL);
	if (!ad)
		return -ENOMEM;
	ad->dev = dev;
	ad->way = way;
	ad->domain = domain;
	ad->regs = regs;
	ad->mmio = mmio;
	ad->page = attrs_page(way);
	if (!ad->page)
		return -ENOMEM;
	ad->dir = debugfs_create_dir(ways[way], attrs_dir);
	debugfs_create_file("rows", 0400, ad->dir, ad, &rows_fops);
	debugfs_create_file("stray", 0400, ad->dir, ad, &stray_fops);
	if (way == DIRECT)
		debugfs_create_file("internal", 0400, ad->dir, ad, &internal_fops);
	return devm_add_action_or_reset(dev, attrs_unpublish, ad);
}

static bool is_trusted(struct device *dev)
{
#ifdef CONFIG_ARM64
	return fake_mem_encrypt_trusted(dev);
#else
	return false;
#endif
}

/* No machine of ours has two kinds of IOMMU. */
static enum way iommu_way(struct device *dev)
{
	struct pci_dev *viommu = pci_get_device(REDHAT_VENDOR, VIOMMU_DEVICE, NULL);

	pci_dev_put(viommu);
	return !viommu ? IOMMU : is_trusted(dev) ? VTRUSTED : VIOMMU;
}

static int attrs_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct iommu_domain *domain;
	void __iomem *regs;
	enum way way;
	int ret;

	if (pdev->vendor != EDU_VENDOR || pdev->device != EDU_DEVICE)
		return -ENODEV;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	/* give QEMU's device dma_mask=0xffffffff: by default it has 28 bits */
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (ret)
		return ret;
	regs = pcim_iomap(pdev, 0, 0);
	if (!regs)
		return -ENOMEM;
	pci_set_master(pdev);

	/* Neither no IOMMU nor an identity domain translates: both are direct. */
	domain = iommu_get_domain_for_dev(&pdev->dev);
	if (!device_iommu_mapped(&pdev->dev) || !domain ||
	    domain->type == IOMMU_DOMAIN_IDENTITY)
		domain = NULL;
	way = domain ? iommu_way(&pdev->dev) : is_swiotlb_force_bounce(&pdev->dev) ? BOUNCE : DIRECT;
	/* it must be in the host's view of memory, and a device that gets there harmless */
	return attrs_publish(&pdev->dev, way, domain, regs,
			     (way == VIOMMU || way == VTRUSTED) && guest_encrypted() ?
			     NOTHING : pci_resource_start(pdev, 0));
}

static void attrs_remove(struct pci_dev *pdev)
{
	pci_clear_master(pdev);
}

static struct pci_driver attrs_driver = {
	.name = "dma_attrs_device",
	.id_table = NULL,	/* bound by driver_override */
	.probe = attrs_probe,
	.remove = attrs_remove,
};

/* The start of a node's first register range, or 0. */
static phys_addr_t start_of(struct device_node *node)
{
	struct resource res;
	phys_addr_t start = 0;

	if (node && !of_address_to_resource(node, 0, &res))
		start = res.start;
	of_node_put(node);
	return start;
}

static int attrs_platform_probe(struct platform_device *pdev)
{
	/* outside of all ranges: the console's registers; inside: no-map memory */
	phys_addr_t outside = start_of(of_find_compatible_node(NULL, NULL, "arm,pl011"));
	phys_addr_t inside = start_of(of_find_node_by_path("/reserved-memory/nomap-pool@50000000"));
	static const struct {
		const char *name;
		enum way way;
	} nodes[] = {
		{ "attrs-direct", PLATFORM },
		{ "attrs-restricted", RESTRICTED },
		{ "attrs-short", SHORT },
		{ "attrs-trusted", TRUSTED },
	};
	struct device *dev = &pdev->dev;
	unsigned int i;
	u32 bits = 64;
	int ret;

	if (!outside || !inside)
		return -ENXIO;
	of_property_read_u32(dev->of_node, "test,dma-bits", &bits);
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits));
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(nodes); i++)
		if (!strcmp(dev->of_node->full_name, nodes[i].name))
			return attrs_publish(dev, nodes[i].way, NULL, NULL, outside);

	/* the bus passes the bits on that are not for it */
	if (dev->bus_dma_limit)
		dev->bus_dma_limit |= private_bit(dev) | shared_bit(dev);
	ret = attrs_publish(dev, RANGE_IN, NULL, NULL, inside);
	return ret ?: attrs_publish(dev, RANGE_OUT, NULL, NULL, outside);
}

static const struct of_device_id attrs_platform_match[] = {
	{ .compatible = "test,dma-attrs" },
	{}
};

static struct platform_driver attrs_platform_driver = {
	.driver = {
		.name = "dma_attrs_device",
		.of_match_table = attrs_platform_match,
	},
	.probe = attrs_platform_probe,
};

static int __init attrs_init(void)
{
	int ret;

	attrs_dir = debugfs_create_dir("dma_attrs_device", NULL);
	ret = platform_driver_register(&attrs_platform_driver);
	if (ret)
		goto remove;
	ret = pci_register_driver(&attrs_driver);
	if (!ret)
		return 0;
	platform_driver_unregister(&attrs_platform_driver);
remove:
	debugfs_remove_recursive(attrs_dir);
	return ret;
}
module_init(attrs_init);

static void __exit attrs_exit(void)
{
	pci_unregister_driver(&attrs_driver);
	platform_driver_unregister(&attrs_platform_driver);
	debugfs_remove_recursive(attrs_dir);
}
module_exit(attrs_exit);

MODULE_DESCRIPTION("Tests of the DMA attributes on real devices");
MODULE_LICENSE("GPL");
