// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mapping costs, in instructions: on the direct path, for a platform device,
 * and behind an IOMMU, for QEMU's edu, which the driver binds to.
 *
 * Needs an emulator that executes one instruction a nanosecond of guest time and
 * has a cycle counter that follows it (QEMU: -icount shift=0); whether it does
 * is measured first. Reading /sys/kernel/debug/dma_bench runs everything and
 * answers with the lines
 *
 *   measured NAME CALLS INSTRUCTIONS	one repetition
 *   allowed NAME RATIO			see ci/guest/tests/bench.sh
 *   pass NAME				after the repetitions of NAME
 *   fail NAME: WHY
 *
 * The instructions include those of the loop around the calls, which is the same
 * code whatever kernel the module is built against.
 */

#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/irqflags.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/timex.h>
#ifdef CONFIG_ARM64
#include <asm/arch_timer.h>
#endif

#include "../edu.h"

#define REPETITIONS	7
#define CALLS		1024	/* of dma_map_phys() in a repetition */
#define TABLES		16	/* mapped one after the other, then unmapped */
#define ROUNDS		4	/* of that in a repetition */
#define MOST_ENTRIES	256
#define COUNTER_LOOPS	100000

struct dma_bench {
	struct device *dev;	/* that is measured: pdev's or behind_iommu */
	struct device *behind_iommu;	/* NULL where no edu has been bound */
	struct page *pages;	/* MOST_ENTRIES of them */
	struct sg_table tables[TABLES];
};

static struct dma_bench bench;
static struct platform_device *pdev;
static struct dentry *file;

/* Instructions executed so far, in steps of the counter's period. */
static u64 instructions(void)
{
	u64 now;

	barrier();
#ifdef CONFIG_ARM64
	now = get_cycles() * div_u64(NSEC_PER_SEC, arch_timer_get_cntfrq());
#else
	now = get_cycles();
#endif
	barrier();
	return now;
}

/* COUNTER_LOOPS times two instructions. */
static u64 known_loop(void)
{
	unsigned long left = COUNTER_LOOPS;
	u64 start = instructions();

#if defined(CONFIG_X86_64)
	asm volatile("1: dec %0\n\tjnz 1b" : "+r" (left) : : "cc");
#elif defined(CONFIG_ARM64)
	asm volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r" (left) : : "cc");
#else
#error "write a loop of two instructions"
#endif
	return instructions() - start;
}

static const char *map_phys(struct dma_bench *db, u64 *took)
{
	phys_addr_t phys = page_to_phys(db->pages);
	u64 start = instructions();
	dma_addr_t addr;
	unsigned int i;

	for (i = 0; i < CALLS; i++) {
		addr = dma_map_phys(db->dev, phys, PAGE_SIZE, DMA_BIDIRECTIONAL,
				    0);
		if (dma_mapping_error(db->dev, addr))
			return "not mapped";
		dma_unmap_phys(db->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	}
	*took = instructions() - start;
	if (!dev_dma_iommu(db->dev) && addr != phys)
		return "not mapped where the memory is";
	return NULL;
}

/* Whether all entries of all tables are mapped where the memory is */
static bool mapped_directly(struct dma_bench *db)
{
	struct scatterlist *sg;
	int i, k;

	for (i = 0; i < TABLES; i++)
		for_each_sgtable_sg(&db->tables[i], sg, k)
			if (sg_dma_address(sg) != sg_phys(sg) ||
			    sg_dma_len(sg) != sg->length)
				return false;
	return true;
}

static const char *map_sg(struct dma_bench *db, u64 *map, u64 *unmap)
{
	unsigned int nents = db->tables[0].orig_nents, round, i;
	bool failed;
	u64 start;

	*map = *unmap = 0;
	for (round = 0; round < ROUNDS; round++) {
		failed = false;
		start = instructions();
		for (i = 0; i < TABLES; i++)
			failed |= !dma_map_sg(db->dev, db->tables[i].sgl, nents,
					      DMA_BIDIRECTIONAL);
		*map += instructions() - start;
		if (failed)
			return "not mapped";
		if (!dev_dma_iommu(db->dev) && !mapped_directly(db))
			return "not mapped where the memory is";

		start = instructions();
		for (i = 0; i < TABLES; i++)
			dma_unmap_sg(db->dev, db->tables[i].sgl, nents,
				     DMA_BIDIRECTIONAL);
		*unmap += instructions() - start;
	}
	return NULL;
}

static void say(struct seq_file *seq, const char *name, const char *suffix,
		const char *wrong)
{
	seq_printf(seq, "%s %s%s%s%s\n", wrong ? "fail" : "pass", name, suffix,
		   wrong ? ": " : "", wrong ?: "");
}

static void show_counter(struct seq_file *seq)
{
	unsigned long flags;
	u64 took;

	known_loop();
	local_irq_save(flags);
	took = known_loop();
	local_irq_restore(flags);
	if (took - 2 * COUNTER_LOOPS < 64)
		seq_puts(seq, "pass counter\n");
	else
		seq_printf(seq, "fail counter: it counts %llu for %u instructions, see -icount of QEMU\n",
			   took, 2 * COUNTER_LOOPS);
}

static void show_phys(struct seq_file *seq, const char *suffix)
{
	static const char name[] = "dma_map_phys+dma_unmap_phys";
	const char *wrong = NULL;
	unsigned long flags;
	u64 took;
	int i;

	/* the first is to warm up */
	for (i = 0; i <= REPETITIONS && !wrong; i++) {
		local_irq_save(flags);
		wrong = map_phys(&bench, &took);
		local_irq_restore(flags);
		if (i && !wrong)
			seq_printf(seq, "measured %s%s %u %llu\n", name, suffix,
				   CALLS, took);
	}
	say(seq, name, suffix, wrong);
}

static void free_tables(void)
{
	int i;

	for (i = 0; i < TABLES; i++)
		sg_free_table(&bench.tables[i]);
}

static const char *alloc_tables(unsigned int nents)
{
	struct scatterlist *sg;
	int i, k;

	memset(bench.tables, 0, sizeof(bench.tables));
	for (i = 0; i < TABLES; i++) {
		if (sg_alloc_table(&bench.tables[i], nents, GFP_KERNEL))
			return "no memory";
		for_each_sgtable_sg(&bench.tables[i], sg, k)
			sg_set_page(sg, bench.pages + k, PAGE_SIZE, 0);
	}
	return NULL;
}

static void show_sg(struct seq_file *seq, unsigned int nents, const char *suffix)
{
	const char *wrong = alloc_tables(nents);
	unsigned long flags;
	char name[32];
	u64 map, unmap;
	int i;

	snprintf(name, sizeof(name), "_%u%s", nents, suffix);
	for (i = 0; i <= REPETITIONS && !wrong; i++) {
		local_irq_save(flags);
		wrong = map_sg(&bench, &map, &unmap);
		local_irq_restore(flags);
		if (i && !wrong) {
			seq_printf(seq, "measured dma_map_sg%s %u %llu\n", name,
				   ROUNDS * TABLES, map);
			seq_printf(seq, "measured dma_unmap_sg%s %u %llu\n",
				   name, ROUNDS * TABLES, unmap);
		}
	}
	/* where a guest's memory is encrypted, an unmap may not be deferred */
	if (dev_dma_iommu(bench.dev) && !wrong)
		seq_printf(seq, "allowed dma_unmap_sg%s 1.01\n", name);
	say(seq, "dma_map_sg", name, wrong);
	free_tables();
}

static void show_path(struct seq_file *seq, const char *suffix)
{
	show_phys(seq, suffix);
	show_sg(seq, 1, suffix);
	show_sg(seq, 16, suffix);
	show_sg(seq, MOST_ENTRIES, suffix);
}

static void show_direct(struct seq_file *seq)
{
	bench.dev = &pdev->dev;
	say(seq, "direct", "", get_dma_ops(bench.dev) || dev_dma_iommu(bench.dev) ?
	    "the device is not mapped directly" : NULL);
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE)
	dev_clear_dma_coherent(bench.dev);
	show_path(seq, "_noncoherent");
	dev_set_dma_coherent(bench.dev);
#endif
	show_path(seq, "");
}

static void show_iommu(struct seq_file *seq)
{
	bench.dev = bench.behind_iommu;
	if (!bench.dev) {
		say(seq, "iommu", "", "no edu has been bound");
		return;
	}
	if (!dev_dma_iommu(bench.dev)) {
		say(seq, "iommu", "", "the device is not mapped by an IOMMU");
		return;
	}
	say(seq, "iommu", "", NULL);
	show_path(seq, "_iommu");
}

static int bench_show(struct seq_file *seq, void *unused)
{
	show_counter(seq);
	show_direct(seq);
	show_iommu(seq);
	return 0;
}

/* A buffer that the answer fits in: a second try would run everything twice. */
static int bench_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, bench_show, NULL, SZ_32K);
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.open = bench_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static int bench_probe(struct pci_dev *edu, const struct pci_device_id *id)
{
	int ret = dma_set_mask_and_coherent(&edu->dev, DMA_BIT_MASK(64));

	if (!ret)
		bench.behind_iommu = &edu->dev;
	return ret;
}

static void bench_remove(struct pci_dev *edu)
{
	bench.behind_iommu = NULL;
}

static const struct pci_device_id bench_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{}
};

static struct pci_driver bench_driver = {
	.name = "dma_bench",
	.id_table = bench_ids,
	.probe = bench_probe,
	.remove = bench_remove,
};

static int __init bench_init(void)
{
	const struct platform_device_info info = {
		.name = "dma_bench",
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};
	int ret;

	bench.pages = alloc_pages(GFP_KERNEL, get_order(MOST_ENTRIES * PAGE_SIZE));
	if (!bench.pages)
		return -ENOMEM;
	pdev = platform_device_register_full(&info);
	if (IS_ERR(pdev)) {
		ret = PTR_ERR(pdev);
		goto free_pages;
	}
	ret = pci_register_driver(&bench_driver);
	if (ret)
		goto unregister;
	file = debugfs_create_file("dma_bench", 0400, NULL, NULL, &bench_fops);
	return 0;

unregister:
	platform_device_unregister(pdev);
free_pages:
	__free_pages(bench.pages, get_order(MOST_ENTRIES * PAGE_SIZE));
	return ret;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	debugfs_remove(file);
	pci_unregister_driver(&bench_driver);
	platform_device_unregister(pdev);
	__free_pages(bench.pages, get_order(MOST_ENTRIES * PAGE_SIZE));
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Cost of DMA mapping, in instructions");
MODULE_LICENSE("GPL");
