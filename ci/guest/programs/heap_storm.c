// SPDX-License-Identifier: GPL-2.0-only
/*
 * A coherent pool among processes that are killed: each allocates a buffer, passes it
 * over a socket, has two devices map it at once, and frees it, ROUNDS times in all. The
 * processes are killed at any moment and replaced. Then the whole pool is free.
 *
 * usage: heap_storm HEAP PAGES ROUNDS    prints KTAP; PAGES: what the pool has. On the machine
 *		of ci/lanes/arm64-pools.dtsi, with the module dmabuf_importer
 * exit: 0 all pass, 1 not so
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "clock.h"
#include "heap.h"
#include "ktap.h"

#define PAGE		4096ul
#define PROCESSES	8
#define MOST_PAGES	16u
#define KILL_MS		40	/* a process is killed as often */
#define FREE_MS		10000	/* all is free after that */
#define FIRST		"importer-direct"
#define SECOND		"importer-smmu"
#define LOCK		"/tmp/heap_storm.lock"

/* What all processes count in */
struct count {
	unsigned long rounds, exhausted, mapped, wrong;
};

static struct count *count;
static const char *heap_name;

static void add(unsigned long *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_SEQ_CST);
}

static unsigned long get(unsigned long *what)
{
	return __atomic_load_n(what, __ATOMIC_SEQ_CST);
}

/* Send a buffer through a pair of sockets, with no other descriptor of it; -1 with errno. */
static int pass(const int *pair, int buf)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = { .head = {
		.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	ssize_t sent;

	memcpy(CMSG_DATA(&control.head), &buf, sizeof(int));
	sent = sendmsg(pair[0], &message, 0);
	close(buf);
	if (sent != 1 || recvmsg(pair[1], &message, 0) != 1 ||
	    control.head.cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&buf, CMSG_DATA(&control.head), sizeof(int));
	return buf;
}

/* Have two devices map a buffer at once; whether both are right, or one is not there. */
static bool map_twice(int lock, int buf, uint64_t *mem, size_t size, uint64_t seed)
{
	struct import got;
	char words[32];
	size_t i;
	int held;

	snprintf(words, sizeof(words), "%llx", (unsigned long long)seed);
	for (i = 0; i < size / PAGE; i++)
		mem[i * PAGE / 8] = mem[(i + 1) * PAGE / 8 - 1] = seed + i;

	flock(lock, LOCK_EX);
	/* what a process that was killed has left */
	tell_importer(FIRST, "release", 0);
	held = tell_importer(FIRST, "hold %d", buf);
	got = import(SECOND, buf, words);
	tell_importer(FIRST, "release", 0);
	flock(lock, LOCK_UN);

	add(&count->mapped);
	return !held && !got.error && got.bytes == size && !got.wrong && !got.left;
}

static void round_of(int heap, int lock, const int *pair, unsigned int *state)
{
	uint64_t *mem, seed = ((uint64_t)getpid() << 32) + get(&count->rounds);
	size_t size;
	int buf;

	*state = *state * 1664525 + 1013904223;
	size = (1 + (*state >> 16) % MOST_PAGES) * PAGE;
	buf = allocate_from(heap, size);
	if (buf < 0) {
		add(errno == ENOMEM ? &count->exhausted : &count->wrong);
		return;
	}
	buf = pass(pair, buf);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	if (mem == MAP_FAILED) {
		add(&count->wrong);
		close(buf);
		return;
	}
	/* it was cleared, and nobody else has it */
	if (mem[0] || mem[size / 8 - 1] || !map_twice(lock, buf, mem, size, seed))
		add(&count->wrong);
	munmap(mem, size);
	close(buf);
	add(&count->rounds);
}

static pid_t begin(unsigned int id, unsigned long rounds)
{
	unsigned int state = id * 2654435761u + 1;
	int heap, lock, pair[2];
	pid_t pid = fork();

	if (pid)
		return pid;
	heap = open_heap(heap_name);
	lock = open(LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (heap < 0 || lock < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		_exit(1);
	while (get(&count->rounds) < rounds)
		round_of(heap, lock, pair, &state);
	_exit(0);
}

/* How many pages can be allocated, one by one */
static int free_pages(int most)
{
	int heap = open_heap(heap_name), *bufs = calloc(most + 1, sizeof(*bufs)), n = 0, i;

	while (n <= most && (bufs[n] = allocate_from(heap, PAGE)) >= 0)
		n++;
	for (i = 0; i < n; i++)
		close(bufs[i]);
	free(bufs);
	close(heap);
	return n;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	int pages = argc == 4 ? atoi(argv[2]) : 0, status, found = -1;
	unsigned int id = 0, killed = 0, failed = 0, i;
	pid_t pids[PROCESSES];
	uint64_t end;

	if (!rounds || !pages) {
		fprintf(stderr, "usage: heap_storm HEAP PAGES ROUNDS\n");
		return 1;
	}
	heap_name = argv[1];
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	plan(4);
	for (i = 0; i < PROCESSES; i++)
		pids[i] = begin(++id, rounds);
	while (get(&count->rounds) < rounds && !failed && !get(&count->wrong)) {
		i = id % PROCESSES;
		sleep_ms(KILL_MS);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
		killed += WIFSIGNALED(status);
		failed += WIFEXITED(status) && WEXITSTATUS(status);
		pids[i] = begin(++id, rounds);
	}
	for (i = 0; i < PROCESSES; i++) {
		if (failed || get(&count->wrong))
			kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
		failed += WIFEXITED(status) && WEXITSTATUS(status);
	}
	tell_importer(FIRST, "release", 0);

	result(!failed && get(&count->rounds) >= rounds, "rounds", "%lu of %lu, %u processes failed",
	       get(&count->rounds), rounds, failed);
	result(get(&count->mapped) && !get(&count->wrong), "buffers", "%lu of %lu were wrong; the pool was exhausted %lu times",
	       get(&count->wrong), get(&count->mapped), get(&count->exhausted));
	result(killed > PROCESSES, "killed", "%u processes were", killed);
	/* what a process had open is freed after its end */
	for (end = now_ns() + FREE_MS * 1000000ull; now_ns() < end && found != pages; sleep_ms(100))
		found = free_pages(pages);
	result(found == pages, "every_page_is_free", "%d of %d are", found, pages);
	return ktap_failed != 0;
}
