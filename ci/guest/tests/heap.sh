# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Heaps of coherent pools and their importers; sourced by the tests, never run.

# heap_named: what the kernel command line says are the regions to make heaps of.
heap_named() {
	tr ' ' '\n' </proc/cmdline | sed -n 's/^coherent_heap\.regions=//p'
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
		insmod /modules/coherent_heap.ko "regions=$(heap_named)" >&2
	[ -d /sys/module/coherent_heap ]
}

# heap_messages NAME: how many messages of the heap's name that region.
heap_messages() {
	dmesg | grep 'coherent_heap: ' | grep -cF "$1"
}
