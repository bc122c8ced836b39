// SPDX-License-Identifier: GPL-2.0-only
/*
 * A reset of a device that its user has not asked for, and the recovery from an error:
 * what /modules/foreign_reset.ko tells vfio-pci, for as long as this program likes.
 *
 * usage: vfio_foreign recovery BDF    prints KTAP; BDF is bound to vfio-pci, and
 *		/modules/mapping_probe.ko is there
 *	  vfio_foreign importer BDF    the same, and /modules/slow_importer.ko has a device
 *	  vfio_foreign aer BDF PORT    an error of the port above the device is injected,
 *		with a kernel that can do that
 * exit: 0 all pass, 1 not so
 */

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "clock.h"
#include "importer.h"
#include "ktap.h"
#include "probe.h"
#include "touch.h"
#include "vfio.h"

#define SLEEP_MS	2000
#define AMID_MS		200
/* What does not wait is done by then */
#define SOON_MS		1000

#define BAR		0
#define IOVA		0x10000000ULL

static const char *bdf;
static size_t page;

/* Tell vfio-pci; 0 or -errno. */
static int tell(const char *what)
{
	int fd = open("/sys/kernel/debug/foreign_reset", O_WRONLY | O_CLOEXEC);
	char line[64];
	int ret = 0;

	snprintf(line, sizeof(line), "%s %s", what, bdf);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* A mapping of a BAR, one of a buffer, and an import of it */
struct users {
	int device;
	int iommufd;
	uint32_t pt;
	int buf;
	void *bar;
	void *buffer;
};

static int users_open(struct users *users)
{
	struct vfio_region_info info;

	memset(users, 0, sizeof(*users));
	users->iommufd = vfio_open_iommufd();
	users->device = users->iommufd < 0 ? -1 :
		vfio_open_in(bdf, users->iommufd, &users->pt);
	if (users->device < 0 || vfio_region(users->device, BAR, &info))
		return -1;
	users->buf = vfio_export(users->device, BAR, 0, page);
	users->bar = mmap(NULL, page, PROT_READ, MAP_SHARED, users->device,
			  info.offset);
	users->buffer = mmap(NULL, page, PROT_READ, MAP_SHARED, users->buf, 0);
	if (users->bar == MAP_FAILED || users->buffer == MAP_FAILED ||
	    touch(users->bar) || touch(users->buffer))
		return -1;
	return vfio_import(users->iommufd, users->pt, users->buf, IOVA, page);
}

/* Whether an importer gets the buffer now: 0 or -errno */
static int users_import(struct users *users)
{
	return vfio_import(users->iommufd, users->pt, users->buf, 2 * IOVA,
			   page) ?:
	       vfio_unimport(users->iommufd, users->pt, 2 * IOVA, page);
}

static void users_close(struct users *users)
{
	munmap(users->bar, page);
	munmap(users->buffer, page);
	close(users->buf);
	close(users->device);
	close(users->iommufd);
}

/* Somebody who accesses an address */
struct toucher {
	pthread_t thread;
	void *address;
	int done;
	int signal;
};

static void *toucher_run(void *argument)
{
	struct toucher *toucher = argument;

	toucher->signal = touch(toucher->address);
	__atomic_store_n(&toucher->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void toucher_begin(struct toucher *toucher, void *address)
{
	*toucher = (struct toucher){ .address = address };
	pthread_create(&toucher->thread, NULL, toucher_run, toucher);
}

static bool toucher_done(struct toucher *toucher)
{
	return __atomic_load_n(&toucher->done, __ATOMIC_SEQ_CST);
}

/* How long the config space and the list of buffers keep others waiting, in ms */
static long others(struct users *users)
{
	uint64_t start = now_ns();

	vfio_memory(users->device, true);
	close(vfio_export(users->device, BAR, page, page));
	return (now_ns() - start) / 1000000;
}

/*
 * Between the two, accesses wait and importers get nothing; then all is as before. An
 * error, a reset, and one within the other.
 */
static void test_between(const char *name, const char *const *begin,
			 const char *const *end)
{
	struct toucher bar, buffer;
	int ret, said = 0, early, refused, late;
	struct users users;
	long took;

	ret = users_open(&users);
	for (; *begin; begin++)
		said = said ?: tell(*begin);
	toucher_begin(&bar, users.bar);
	toucher_begin(&buffer, users.buffer);
	sleep_ms(AMID_MS);
	early = toucher_done(&bar) + toucher_done(&buffer);
	refused = users_import(&users);
	took = others(&users);
	for (; *end; end++) {
		/* until the last of them has ended */
		early += toucher_done(&bar) + toucher_done(&buffer);
		said = said ?: tell(*end);
	}
	pthread_join(bar.thread, NULL);
	pthread_join(buffer.thread, NULL);
	late = users_import(&users);
	result(!ret && !said && !early && refused == -ENODEV &&
	       took < SOON_MS && !bar.signal && !buffer.signal && !late, name,
	       "set up %d, told %d, %d accesses did not wait, import %d, others took %ld ms; then signals %d and %d, import %d",
	       ret, said, early, refused, took, bar.signal, buffer.signal,
	       late);
	users_close(&users);
}

/* What the user disables during a reset stays so when it has ended. */
static void test_memory_off(void)
{
	int ret, said, off, imported, signal, back, late;
	struct users users;

	ret = users_open(&users);
	said = tell("prepare");
	off = vfio_memory(users.device, false);
	said = said ?: tell("done");
	imported = users_import(&users);
	signal = touch(users.bar);
	back = vfio_memory(users.device, true);
	late = users_import(&users);
	result(!ret && !said && !off && imported == -ENODEV &&
	       signal == SIGBUS && !back && !late && !touch(users.bar),
	       "memory_off_amid_reset",
	       "set up %d, told %d, off %d; then import %d, signal %d; on %d, import %d",
	       ret, said, off, imported, signal, back, late);
	users_close(&users);
}

/* The mapping in the IOMMU is gone when the driver has been told, and does not come back. */
static void test_unmapped(void)
{
	struct users users;
	int ret = users_open(&users), said, before, amid, after;

	before = probe_dma(bdf, IOVA);
	said = tell("freeze");
	amid = probe_dma(bdf, IOVA);
	said = said ?: tell("resume");
	after = probe_dma(bdf, IOVA);
	result(!ret && !said && before == 1 && !amid && !after,
	       "error_takes_import",
	       "set up %d, told %d, translated %d, %d and %d", ret, said,
	       before, amid, after);
	users_close(&users);
}

/* Have errors of a device signalled by an eventfd, which this returns, or -1 */
static int errors_of(int device)
{
	struct {
		struct vfio_irq_set set;
		int32_t fd;
	} arg = {
		.set = {
			.argsz = sizeof(arg),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_ERR_IRQ_INDEX,
			.count = 1,
		},
		.fd = eventfd(0, EFD_NONBLOCK),
	};

	if (!ioctl(device, VFIO_DEVICE_SET_IRQS, &arg))
		return arg.fd;
	close(arg.fd);
	return -1;
}

/* How often that has been since the last time */
static unsigned long signalled(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void test_eventfd(void)
{
	struct users users;
	int ret = users_open(&users), said, fd;
	unsigned long count;

	fd = errors_of(users.device);
	said = tell("freeze") ?: tell("resume");
	count = signalled(fd);
	result(!ret && fd >= 0 && !said && count == 1 && !touch(users.bar),
	       "error_is_signalled",
	       "set up %d, eventfd %d, told %d, signalled %lu times", ret, fd,
	       said, count);
	close(fd);
	users_close(&users);
}

/* Who waits can be killed. */
static void test_killed(void)
{
	struct users users;
	int ret = users_open(&users), said, status, running;
	uint64_t start;
	pid_t child;
	long took;

	said = tell("freeze");
	child = fork();
	if (!child)
		_exit(touch(users.bar));
	sleep_ms(AMID_MS);
	running = !waitpid(child, &status, WNOHANG);
	start = now_ns();
	kill(child, SIGKILL);
	if (running)
		waitpid(child, &status, 0);
	took = (now_ns() - start) / 1000000;
	said = said ?: tell("resume");
	result(!ret && !said && running && took < SOON_MS, "error_wait_killed",
	       "set up %d, told %d, waited %d, gone after %ld ms", ret, said,
	       running, took);
	users_close(&users);
}

/* Who waits does not keep the memory of the process from others. */
static void test_mmap(void)
{
	struct toucher toucher;
	struct users users;
	int ret = users_open(&users), said, early, status = -1;
	uint64_t start;
	void *other;
	pid_t child;
	long took;

	said = tell("freeze");
	/* ends the wait even if this process cannot */
	child = fork();
	if (!child) {
		sleep_ms(SLEEP_MS);
		_exit(tell("resume") != 0);
	}
	toucher_begin(&toucher, users.bar);
	sleep_ms(AMID_MS);
	early = toucher_done(&toucher);
	start = now_ns();
	other = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	took = (now_ns() - start) / 1000000;
	pthread_join(toucher.thread, NULL);
	waitpid(child, &status, 0);
	result(!ret && !said && !early && other != MAP_FAILED &&
	       took < SOON_MS && !toucher.signal && !status,
	       "error_wait_without_mmap_lock",
	       "set up %d, told %d, waited %d, mmap() took %ld ms, signal %d, resumed %d",
	       ret, said, !early, took, toucher.signal, status);
	if (other != MAP_FAILED)
		munmap(other, page);
	users_close(&users);
}

/* What is waited for goes away: the mapping, then the user's hold of the device. */
static void test_gone(void)
{
	struct toucher bar, buffer;
	struct users users;
	int ret = users_open(&users), said, early, status = -1;
	pid_t child;

	said = tell("freeze");
	child = fork();
	if (!child) {
		/* the mappings that a child inherits keep the device open */
		users_close(&users);
		sleep_ms(SLEEP_MS);
		_exit(tell("resume") != 0);
	}
	toucher_begin(&bar, users.bar);
	toucher_begin(&buffer, users.buffer);
	sleep_ms(AMID_MS);
	early = toucher_done(&bar) + toucher_done(&buffer);
	users_close(&users);
	pthread_join(bar.thread, NULL);
	pthread_join(buffer.thread, NULL);
	waitpid(child, &status, 0);
	result(!ret && !said && !early && bar.signal == SIGSEGV &&
	       buffer.signal == SIGSEGV && !status, "error_wait_unmapped",
	       "set up %d, told %d, %d accesses did not wait, then signals %d and %d, resumed %d",
	       ret, said, early, bar.signal, buffer.signal, status);
}

static void *unbind_run(void *argument)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind",
		 bdf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, bdf, strlen(bdf)) < 0)
		*(int *)argument = -errno;
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* Nobody resumes a device without a driver: who waits goes on when it is unbound. */
static void test_unbind(void)
{
	struct toucher toucher;
	struct users users;
	int ret = users_open(&users), said, unbound = 0, early, i;
	pthread_t thread;

	said = tell("freeze");
	toucher_begin(&toucher, users.bar);
	sleep_ms(AMID_MS);
	early = toucher_done(&toucher);
	pthread_create(&thread, NULL, unbind_run, &unbound);
	for (i = 0; i < 50 && !toucher_done(&toucher); i++)
		sleep_ms(AMID_MS / 2);
	result(!ret && !said && !early && toucher_done(&toucher),
	       "error_then_unbind",
	       "set up %d, told %d, waited %d, went on %d", ret, said, !early,
	       toucher_done(&toucher));
	if (!toucher_done(&toucher))
		/* the kernel would wait for this program for ever */
		_exit(1);
	pthread_join(toucher.thread, NULL);
	users_close(&users);
	pthread_join(thread, NULL);
}

static int recovery(void)
{
	static const char *const freeze[] = { "freeze", NULL };
	static const char *const normal[] = { "normal", NULL };
	static const char *const resume[] = { "resume", NULL };
	static const char *const fail[] = { "fail", NULL };
	static const char *const prepare[] = { "prepare", NULL };
	static const char *const done[] = { "done", NULL };
	static const char *const both[] = { "freeze", "freeze", "prepare", NULL };
	static const char *const after[] = { "done", "resume", NULL };

	plan(12);
	test_between("error", freeze, resume);
	test_between("error_not_fatal", normal, resume);
	test_between("error_without_recovery", freeze, fail);
	test_between("reset", prepare, done);
	test_between("reset_amid_error", both, after);
	test_memory_off();
	test_unmapped();
	test_eventfd();
	test_killed();
	test_mmap();
	test_gone();
	test_unbind();
	return ktap_failed != 0;
}

/* --- an importer that takes its time */

static void *prepare_run(void *argument)
{
	*(int *)argument = tell("prepare");
	return NULL;
}

static int importers(void)
{
	struct users users;
	int ret = users_open(&users), said = -1, before, mapped, signal, done;
	pthread_t thread;
	uint64_t start;
	long took;

	plan(2);
	ret = ret ?: importer("attach %d", users.buf) ?:
	      importer("map %d apart", SLEEP_MS);
	start = now_ns();
	pthread_create(&thread, NULL, prepare_run, &said);
	sleep_ms(AMID_MS);
	/* accesses go on while the importer is waited for */
	signal = touch(users.bar) ?: touch(users.buffer);
	before = importer_says("mapped");
	pthread_join(thread, NULL);
	mapped = importer_says("mapped");
	took = (now_ns() - start) / 1000000;
	done = said ?: tell("done");
	result(!ret && !done && !signal && before == 1,
	       "reset_waits_without_faults",
	       "set up %d, told %d, signal %d with the importer's mapping %d",
	       ret, done, signal, before);
	result(!ret && !done && !mapped && took >= SLEEP_MS - AMID_MS,
	       "reset_waits_for_importer",
	       "set up %d, told %d after %ld ms, the importer's mapping then %d",
	       ret, done, took, mapped);
	importer("detach");
	users_close(&users);
	return ktap_failed != 0;
}

/* --- an error that the PCI core recovers from */

/* As the kernel's drivers/pci/pcie/aer_inject.c has it */
struct aer_error_inj {
	uint8_t bus;
	uint8_t dev;
	uint8_t fn;
	uint32_t uncor_status;
	uint32_t cor_status;
	uint32_t header_log[4];
	uint32_t domain;
};

/* A fatal error of the port above: data link protocol */
static int inject(const char *port)
{
	struct aer_error_inj error = { .uncor_status = 1 << 4 };
	int fd = open("/dev/aer_inject", O_WRONLY | O_CLOEXEC), ret = 0;
	unsigned int domain, bus, slot, function;

	if (sscanf(port, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		ret = -EINVAL;
	error.domain = domain;
	error.bus = bus;
	error.dev = slot;
	error.fn = function;
	if (fd < 0 || write(fd, &error, sizeof(error)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/*
 * The link is reset, so that the device has lost its configuration: what a read gives is
 * not looked at, and it raises no signal.
 */
static int aer(const char *port)
{
	struct users users;
	int ret = users_open(&users), fd = errors_of(users.device);
	int before = probe_dma(bdf, IOVA), injected, after, late = -ENODEV, i;
	unsigned long count = 0;

	plan(1);
	injected = inject(port);
	for (i = 0; i < 100 && !count; i++) {
		sleep_ms(100);
		count = signalled(fd);
	}
	after = probe_dma(bdf, IOVA);
	for (i = 0; i < 100 && late == -ENODEV; i++) {
		sleep_ms(100);
		late = users_import(&users);
	}
	result(!ret && fd >= 0 && !injected && before == 1 && count == 1 &&
	       !after && !late && !touch(users.bar) && !touch(users.buffer),
	       "fatal_error",
	       "set up %d, eventfd %d, injected %d, translated %d, signalled %lu times, translated %d, then import %d",
	       ret, fd, injected, before, count, after, late);
	close(fd);
	users_close(&users);
	return ktap_failed != 0;
}

int main(int argc, char **argv)
{
	page = getpagesize();
	touch_begin();
	if (argc == 4 && !strcmp(argv[1], "aer")) {
		bdf = argv[2];
		return aer(argv[3]);
	}
	if (argc == 3) {
		bdf = argv[2];
		if (!strcmp(argv[1], "recovery"))
			return recovery();
		if (!strcmp(argv[1], "importer"))
			return importers();
	}
	fprintf(stderr, "usage: vfio_foreign recovery|importer BDF\n"
		"       vfio_foreign aer BDF PORT\n");
	return 1;
}
