// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device, the dma-bufs of its BARs and a second device whose driver uses them: what the
 * owner of the first can take back, and what nobody else can.
 *
 * usage: vfio_clients OWNER CLIENT    prints KTAP; the addresses of two devices that are
 *	bound to vfio-pci and in groups of their own. /modules/mapping_probe.ko looks at the
 *	page tables of the IOMMU.
 * exit: 0 all pass, 1 not so, 2 wrong use
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "container.h"
#include "heap.h"
#include "ktap.h"
#include "probe.h"
#include "touch.h"
#include "vfio.h"

#define BAR	0
#define IOVA	0x10000000ULL

static const char *owner, *client;
static size_t page;

static void close_all(const int *fds, int count)
{
	while (count--)
		if (fds[count] >= 0)
			close(fds[count]);
}

/*
 * One import is mapped in the domains of both devices. After the revocation, neither
 * device reaches the BAR.
 */
static void test_two_domains(void)
{
	int iommufd = vfio_open_iommufd(), device, other, buf, ret;
	int before[2], after[2];
	uint32_t pt = 0;

	device = vfio_open_in(owner, iommufd, &pt);
	other = device < 0 ? -1 : vfio_open_as(client, iommufd, &pt, true);
	buf = vfio_export(device, BAR, 0, page);
	ret = other < 0 ? -ENODEV : vfio_import(iommufd, pt, buf, IOVA, page);
	before[0] = probe_dma(owner, IOVA);
	before[1] = probe_dma(client, IOVA);
	ret = ret ?: vfio_revoke(device, buf);
	after[0] = probe_dma(owner, IOVA);
	after[1] = probe_dma(client, IOVA);
	result(!ret && before[0] == 1 && before[1] == 1 && !after[0] &&
	       !after[1], "revoke_in_two_domains",
	       "import and revoke %d, translated %d and %d, then %d and %d",
	       ret, before[0], before[1], after[0], after[1]);
	close_all((int[]){ buf, other, device, iommufd }, 4);
}

/* Only the owner of a device chooses how its BARs are mapped. */
static void test_memattr_of_others(void)
{
	int iommufd = vfio_open_iommufd(), device, other, buf, heap;
	int of_device, of_heap, own;
	uint32_t pt = 0;
	void *vaddr;

	device = vfio_open_in(owner, iommufd, &pt);
	other = device < 0 ? -1 : vfio_open_in(client, iommufd, &pt);
	buf = vfio_export(device, BAR, 0, page);
	heap = allocate("system", page);
	of_device = vfio_memattr(other, buf, VFIO_DMA_BUF_MEMATTR_NC);
	of_heap = vfio_memattr(other, heap, VFIO_DMA_BUF_MEMATTR_NC);
	own = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_NC);
	vaddr = mmap(NULL, page, PROT_READ, MAP_SHARED, buf, 0);
	result(heap >= 0 && of_device == -ENODEV && of_heap == -ENODEV &&
	       !own && vaddr != MAP_FAILED && !touch(vaddr),
	       "memattr_of_what_others_export",
	       "of another device's %d, of a heap's (%d) %d, of its own %d, mmap %s",
	       of_device, heap, of_heap, own,
	       vaddr == MAP_FAILED ? "fails" : "succeeds");
	if (vaddr != MAP_FAILED)
		munmap(vaddr, page);
	close_all((int[]){ heap, buf, other, device, iommufd }, 5);
}

/* --- a client that uses iommufd as a container */

/* Tells the other end, which waits. */
static void say(int socket, int what)
{
	if (write(socket, &what, sizeof(what)) != sizeof(what))
		_exit(1);
}

/* What the other end says; -EPIPE where it has ended */
static int hear(int socket)
{
	int what;

	return read(socket, &what, sizeof(what)) == sizeof(what) ? what : -EPIPE;
}

/*
 * Maps the buffer by its address, as VMMs map a virtual machine's memory; tries again
 * when it is revoked; unmaps it. The outcomes are said one by one.
 */
static void client_main(int socket, int buf)
{
	struct container container;
	void *vaddr = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, buf,
			   0);
	int ret = vaddr == MAP_FAILED ? -errno : 0;

	ret = ret ?: container_open(&container, CONTAINER_IOMMUFD,
				    VFIO_TYPE1v2_IOMMU, client);
	if (ret) {
		say(socket, ret);
		_exit(1);
	}
	say(socket, container_map(&container, vaddr, IOVA, page));
	hear(socket);
	say(socket, touch(vaddr));
	say(socket, container_map(&container, vaddr, 2 * IOVA, page));
	say(socket, container_unmap(&container, IOVA, page));
	_exit(0);
}

/*
 * The owner has nothing to do with the client's container, and takes the BAR from it all
 * the same.
 */
static void test_container(void)
{
	int iommufd = vfio_open_iommufd(), device, buf, sockets[2];
	int mapped, before, revoked, after, signal, again, unmapped;
	uint32_t pt = 0;
	pid_t child;

	device = vfio_open_in(owner, iommufd, &pt);
	buf = vfio_export(device, BAR, 0, page);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets);
	child = fork();
	if (!child) {
		close_all((int[]){ device, iommufd, sockets[0] }, 3);
		client_main(sockets[1], buf);
	}
	close(sockets[1]);

	mapped = hear(sockets[0]);
	before = probe_dma(client, IOVA);
	revoked = vfio_revoke(device, buf);
	after = probe_dma(client, IOVA);
	say(sockets[0], 0);
	signal = hear(sockets[0]);
	again = hear(sockets[0]);
	unmapped = hear(sockets[0]);
	waitpid(child, NULL, 0);
	result(!mapped && before == 1 && !revoked && !after &&
	       signal == SIGBUS && again == -EFAULT && !unmapped,
	       "revoke_in_container_of_client",
	       "map %d, translated %d, revoke %d, then translated %d, signal %d, map again %d, unmap %d",
	       mapped, before, revoked, after, signal, again, unmapped);
	close_all((int[]){ sockets[0], buf, device, iommufd }, 4);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: vfio_clients OWNER CLIENT\n");
		return 2;
	}
	owner = argv[1];
	client = argv[2];
	page = getpagesize();
	touch_begin();
	/* a client that has ended is an outcome */
	signal(SIGPIPE, SIG_IGN);

	plan(3);
	test_two_domains();
	test_memattr_of_others();
	test_container();
	return ktap_failed != 0;
}
