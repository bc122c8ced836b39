# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Find and bind the PCI devices the tests use; sourced by the tests, never run.

# pci_find VENDOR DEVICE: print the addresses of the devices of that kind, one a line.
pci_find() {
	for dir in /sys/bus/pci/devices/*; do
		if [ "$(cat "$dir/vendor")$(cat "$dir/device")" = "0x${1}0x$2" ]; then
			echo "${dir##*/}"
		fi
	done
}

# Prints the address of QEMU's edu device, or nothing.
pci_edu() {
	pci_find 1234 11e8 | head -n 1
}

# pci_unbind ADDRESS: take the device from its driver, if it has one.
pci_unbind() {
	[ -e "/sys/bus/pci/devices/$1/driver" ] || return 0
	echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
	echo >"/sys/bus/pci/devices/$1/driver_override"
}

# pci_bind ADDRESS DRIVER: give the device to that driver and no other.
pci_bind() {
	pci_unbind "$1"
	echo "$2" >"/sys/bus/pci/devices/$1/driver_override"
	echo "$1" >/sys/bus/pci/drivers_probe
	driver=$(readlink "/sys/bus/pci/devices/$1/driver")
	[ "${driver##*/}" = "$2" ]
}
