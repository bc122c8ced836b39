# shellcheck shell=sh
# Run a selftest of vfio on a device; sourced by the tests, never run.

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
