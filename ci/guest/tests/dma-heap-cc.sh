# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The heap system_cc_shared where memory is encrypted: needs a kernel with
# ci/lanes/arm64-fake-memory-encryption.patch; sourced by the tests, never run.

. /tests/ktap.sh
. /tests/pci.sh

# heap_cc ROLE [WHAT]: run the program heap_cc_shared for a kernel booted with
# fake_mem_encrypt=ROLE, guest, guest-mmio or host, and end with its exit code.
# WHAT: what the program is to look for, where that is not ROLE.
heap_cc() {
	grep -q "fake_mem_encrypt=$1" /proc/cmdline || ktap_give_up "booted without fake_mem_encrypt=$1"
	dmesg | grep -q "fake_mem_encrypt: pretending" ||
		ktap_give_up "the kernel does not know fake_mem_encrypt"
	insmod /modules/dmabuf_importer.ko >&2 || ktap_give_up "dmabuf_importer.ko does not load"
	edu=$(pci_edu)
	[ -n "$edu" ] || ktap_give_up "no edu device"
	pci_bind "$edu" dmabuf_importer || ktap_give_up "dmabuf_importer does not bind to $edu"

	heap_cc_shared "${2:-$1}"
	rc=$?

	pci_unbind "$edu"
	rmmod dmabuf_importer >&2
	exit "$rc"
}
