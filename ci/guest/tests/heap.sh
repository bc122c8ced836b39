# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Heaps of coherent pools and their importers; sourced by the tests, never run.

# heap_named: what the kernel command line says are the regions to make heaps of.
heap_named() {
	tr ' ' '\n' </proc/cmdline | sed -n 's/^coherent_heap\.regions=//p'
}

# heap_named_nocpu: ... of regions that the CPU must not access.
heap_named_nocpu() {
	tr ' ' '\n' </proc/cmdline | sed -n 's/^coherent_heap\.nocpu_regions=//p'
}

# heap_is_module: whether the kernel was built with the heap as a module.
heap_is_module() {
	[ -e /modules/coherent_heap.ko ]
}

# heap_load: load the importers, and the heap where it is a module: with the kernel
# command line's parameter, as modprobe does it. Fails where there is no such heap.
heap_load() {
	[ -d /sys/module/dmabuf_importer ] || insmod /modules/dmabuf_importer.ko >&2
	[ -d /sys/module/coherent_heap ] || ! heap_is_module ||
		insmod /modules/coherent_heap.ko "regions=$(heap_named)" \
			"nocpu_regions=$(heap_named_nocpu)" >&2
	[ -d /sys/module/coherent_heap ]
}

# heap_refused NAME REASON: whether one message says that there is no heap for this reason,
# and there is none.
heap_refused() {
	[ ! -e "/dev/dma_heap/$1" ] && [ "$(heap_messages "$1")" -eq 1 ] &&
		dmesg | grep -qF "coherent_heap: no heap of region $1: $2"
}

# heap_messages NAME: how many messages of the heap's name that region.
heap_messages() {
	dmesg | grep 'coherent_heap: ' | grep -cF "$1"
}
