// SPDX-License-Identifier: GPL-2.0-only
/*
 * Have a zap of a file's mappings come at the worst moment. A debug register of the CPU
 * watches the page table entry, a huge one, that maps an address of whoever writes to
 * /sys/kernel/debug/entry_zap
 *
 *	read N ADDRESS	When the writer has accessed the entry for the Nth time without a
 *			lock that a zap would wait for, the entry is cleared, as by a zap
 *			on another CPU. Its page table is not flushed: the address is not
 *			to be accessed any more.
 *	away ADDRESS	When the writer has taken the entry away, a thread on another CPU
 *			zaps all of the file. The writer goes on when that is done, or
 *			waits for a lock.
 *	end		The end of either, with its thread.
 *	mapped ADDRESS	Fails with ENOENT where the writer has nothing mapped there.
 *
 * Each waits for the others. Read
 *
 *	size N accesses N zapped N
 *
 * size: of what the entry maps, in bytes; accesses: of the writer, of the kind that counts;
 * zapped: 1 where the zap came, and, for "away", was through before the writer went on,
 * 2 where it had to wait, 0 where it did not come.
 *
 * The VMA has to be a VM_PFNMAP one of a file. The trap of a debug register comes when the
 * access is done, in a context like that of an NMI: nothing here may sleep or take a lock
 * there.
 */

#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hw_breakpoint.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/perf_event.h>
#include <linux/pgtable.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/uaccess.h>

/* How long the writer waits for a thread that neither ends nor waits */
#define PATIENCE_US	(5 * USEC_PER_SEC)
#define STEP_US		20

enum zapped { ZAP_NONE, ZAP_THROUGH, ZAP_WAITS };

static DEFINE_MUTEX(zap_lock);	/* for writers and readers of the file */
static struct dentry *zap_file;

static struct {
	struct task_struct *task;	/* the writer; NULL if nothing is watched */
	struct file *file;
	unsigned long *entry;
	spinlock_t *ptl;
	unsigned long size;
	struct perf_event * __percpu *watch;

	unsigned int nth;		/* 0 for "away" */
	unsigned int accesses;
	enum zapped zapped;

	struct task_struct *thread;
	bool go, begun, done;
} zap;

static int zap_thread(void *unused)
{
	while (!smp_load_acquire(&zap.go)) {
		if (kthread_should_stop())
			return 0;
		usleep_range(50, 100);
	}
	WRITE_ONCE(zap.begun, true);
	unmap_mapping_range(zap.file->f_mapping, 0, 0, 1);
	smp_store_release(&zap.done, true);
	while (!kthread_should_stop())
		usleep_range(500, 1000);
	return 0;
}

/* The entry is nowhere: let the thread look for it. */
static void zap_elsewhere(void)
{
	unsigned int waited;

	smp_store_release(&zap.go, true);
	for (waited = 0; waited < PATIENCE_US; waited += STEP_US) {
		if (smp_load_acquire(&zap.done)) {
			zap.zapped = ZAP_THROUGH;
			return;
		}
		/* it has nothing to sleep for but a lock */
		if (READ_ONCE(zap.begun) &&
		    READ_ONCE(zap.thread->__state) != TASK_RUNNING)
			break;
		udelay(STEP_US);
	}
	zap.zapped = ZAP_WAITS;
}

static void zap_accessed(struct perf_event *event, struct perf_sample_data *data,
			 struct pt_regs *regs)
{
	if (current != READ_ONCE(zap.task) || zap.zapped)
		return;
	if (!zap.nth) {
		zap.accesses++;
		if (!READ_ONCE(*zap.entry))
			zap_elsewhere();
		return;
	}
	/* a zap would wait for either; the table's lock is taken by its owner alone */
	if (spin_is_locked(zap.ptl) ||
	    rwsem_is_locked(&zap.file->f_mapping->i_mmap_rwsem))
		return;
	if (++zap.accesses == zap.nth) {
		WRITE_ONCE(*zap.entry, 0);
		zap.zapped = ZAP_THROUGH;
	}
}

/* The entry that maps an address. It stays where it is while only the writer is there. */
static int zap_find(unsigned long address)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int ret = -ENOENT;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, address);
	if (!vma || !vma->vm_file || !(vma->vm_flags & VM_PFNMAP))
		goto unlock;
	pgd = pgd_offset(mm, address);
	if (!pgd_present(*pgd))
		goto unlock;
	p4d = p4d_offset(pgd, address);
	if (!p4d_present(*p4d))
		goto unlock;
	pud = pud_offset(p4d, address);
	if (!pud_present(*pud))
		goto unlock;
	if (pud_leaf(*pud)) {
		zap.entry = (unsigned long *)pud;
		zap.ptl = pud_lockptr(mm, pud);
		zap.size = PUD_SIZE;
	} else {
		pmd = pmd_offset(pud, address);
		if (!pmd_present(*pmd) || !pmd_leaf(*pmd))
			goto unlock;
		zap.entry = (unsigned long *)pmd;
		zap.ptl = pmd_lockptr(mm, pmd);
		zap.size = PMD_SIZE;
	}
	zap.file = get_file(vma->vm_file);
	ret = 0;
unlock:
	mmap_read_unlock(mm);
	return ret;
}

static void zap_end(void)
{
	if (zap.watch)
		unregister_wide_hw_breakpoint(zap.watch);
	zap.watch = NULL;
	WRITE_ONCE(zap.task, NULL);
	if (zap.thread)
		kthread_stop(zap.thread);
	zap.thread = NULL;
	if (zap.file)
		fput(zap.file);
	zap.file = NULL;
}

/* The thread of "away", on another CPU than ours */
static int zap_start_thread(void)
{
	unsigned int cpu = cpumask_any_but(cpu_online_mask, get_cpu());
	struct task_struct *thread;

	put_cpu();
	if (cpu >= nr_cpu_ids)
		return -ENODEV;
	thread = kthread_create(zap_thread, NULL, "entry_zap");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	kthread_bind(thread, cpu);
	zap.thread = thread;
	wake_up_process(thread);
	return 0;
}

/* nth: of the writer's accesses, or 0 for the moment when the entry is away */
static int zap_begin(unsigned long address, unsigned int nth)
{
	struct perf_event_attr attr;
	int ret;

	if (zap.task)
		return -EBUSY;
	zap.nth = nth;
	zap.accesses = 0;
	zap.zapped = ZAP_NONE;
	zap.size = 0;
	zap.go = zap.begun = zap.done = false;
	ret = zap_find(address);
	if (!ret && !nth)
		ret = zap_start_thread();
	if (ret)
		goto end;
	WRITE_ONCE(zap.task, current);

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)zap.entry;
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = nth ? HW_BREAKPOINT_RW : HW_BREAKPOINT_W;
	zap.watch = register_wide_hw_breakpoint(&attr, zap_accessed, NULL);
	if (IS_ERR_PCPU(zap.watch)) {
		ret = PTR_ERR_PCPU(zap.watch);
		zap.watch = NULL;
	}
end:
	if (ret)
		zap_end();
	return ret;
}

static int zap_mapped(unsigned long address)
{
	struct follow_pfnmap_args args = { .address = address };
	struct mm_struct *mm = current->mm;
	int ret = -ENOENT;

	mmap_read_lock(mm);
	args.vma = vma_lookup(mm, address);
	if (args.vma && !follow_pfnmap_start(&args)) {
		follow_pfnmap_end(&args);
		ret = 0;
	}
	mmap_read_unlock(mm);
	return ret;
}

static ssize_t zap_write(struct file *file, const char __user *text,
			 size_t count, loff_t *ppos)
{
	unsigned long address;
	unsigned int nth;
	char line[64];
	int ret = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, count))
		return -EFAULT;
	line[count] = 0;

	mutex_lock(&zap_lock);
	if (sscanf(line, "read %u %lx", &nth, &address) == 2 && nth)
		ret = zap_begin(address, nth);
	else if (sscanf(line, "away %lx", &address) == 1)
		ret = zap_begin(address, 0);
	else if (sscanf(line, "mapped %lx", &address) == 1)
		ret = zap_mapped(address);
	else if (sysfs_streq(line, "end"))
		zap_end();
	else
		ret = -EINVAL;
	mutex_unlock(&zap_lock);
	return ret ?: count;
}

static int zap_show(struct seq_file *seq, void *unused)
{
	mutex_lock(&zap_lock);
	seq_printf(seq, "size %lu accesses %u zapped %d\n", zap.size,
		   zap.accesses, zap.zapped);
	mutex_unlock(&zap_lock);
	return 0;
}

static int zap_open(struct inode *inode, struct file *file)
{
	return single_open(file, zap_show, NULL);
}

static const struct file_operations zap_fops = {
	.owner = THIS_MODULE,
	.open = zap_open,
	.read = seq_read,
	.write = zap_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int __init zap_init(void)
{
	zap_file = debugfs_create_file("entry_zap", 0600, NULL, NULL, &zap_fops);
	return 0;
}
module_init(zap_init);

static void __exit zap_exit(void)
{
	debugfs_remove(zap_file);
	zap_end();
}
module_exit(zap_exit);

MODULE_DESCRIPTION("Test zap at the worst moment");
MODULE_LICENSE("GPL");
