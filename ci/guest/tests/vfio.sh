# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Run a selftest of vfio on a device; sourced by the tests, never run.

# The tests may write to BARs that are memory: all devices are emulated.
export VFIO_SELFTESTS_BAR_IS_MEMORY=1

# vfio_device NAME VENDOR DEVICE PROGRAM OPTION...: run a program of the selftests on the
# first device of that kind, as the subtest NAME.
vfio_device() {
	name=$1 address=$(pci_find "$2" "$3" | head -n 1) program=/selftests/vfio/$4
	shift 4
	if [ ! -x "$program" ]; then
		ktap_result 4 "$name" "the selftests have no ${program##*/}"
	elif [ -z "$address" ]; then
		ktap_result 1 "$name" "no such device"
	elif ! pci_bind "$address" vfio-pci; then
		ktap_result 1 "$name" "vfio-pci does not bind to $address"
	else
		"$program" "$@" "$address" >/tmp/vfio
		rc=$?
		ktap_subtest "$name" </tmp/vfio
		ktap_result "$rc" "$name"
		pci_unbind "$address"
	fi
}

# vfio_iommufd NAME VENDOR DEVICE PROGRAM OPTION...: the same with iommufd alone. Options
# -t then name the tests: after "-v iommufd" they would add to all tests with iommufd.
vfio_iommufd() {
	what="$1 $2 $3 $4"
	shift 4
	# shellcheck disable=SC2086 # words
	vfio_device $what -V vfio_type1_iommu -V vfio_type1v2_iommu \
		-V iommufd_compat_type1 -V iommufd_compat_type1v2 "$@"
}

# Tests of vfio_pci_dmabuf_test that vfio-dmabuf-revoke and vfio-wc run, as options that
# leave them out elsewhere.
later="-F vfio_pci_dmabuf_revoke -T revoke_o_path -T revoke_mappings -T revoke_received
	-T revoke_ranges -T revoke_huge -T revoke_mremap -T revoke_fork -T revoke_while_reset
	-T revoke_many -T revoke_errors -T memattr_errors -T memattr_nc -T memattr_ranges -T sysfs_reset_stops
	-T bridge_reset_stops -T sysfs_reset_waits -T sysfs_reset_close
	-T memattr_wc -T memattr_wc_part -T memattr_wc_slices"
export later
