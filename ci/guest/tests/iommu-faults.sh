# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# DMA that is meant to be refused; sourced by the tests, never run.
#
# The host takes a line of the IOMMU about a refused access for a failure, which it is in
# every other test. Here the console is quiet in the meantime, and gets all other lines
# afterwards, so that a warning is a failure as ever. A kernel that dies speaks all the same.

# iommu_faults COMMAND...: run it, and keep what the IOMMU says off the console.
iommu_faults() {
	read -r level _ </proc/sys/kernel/printk
	mark="ci: faults of the IOMMU from here on $$"
	echo "<6>$mark" >/dev/kmsg
	dmesg -n 1
	"$@"
	status=$?
	dmesg -n "$level"
	dmesg | sed "1,/$mark/d" | grep -vE \
		'DMAR: (\[DMA |DRHD: handling fault status)|arm-smmu-v3 .*: ' >/dev/console
	return $status
}
