# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Helpers of the guest tests; sourced by them, never run.
#
# kunit_parser.py wants the plan before the results, so each test says first how
# many results it will have; after that the lines go out as they come.

ktap_count=0
ktap_failed=0

# ktap_plan N: begin a document of N results.
ktap_plan() {
	echo "KTAP version 1"
	echo "1..$1"
}

# ktap_result RC NAME [REASON]: one result, of a case or of a subtest; RC 0 passes,
# RC 4 is a skip for that reason (as kselftest has it).
ktap_result() {
	ktap_count=$((ktap_count + 1))
	case $1 in
	0)
		echo "ok $ktap_count $2"
		;;
	4)
		echo "ok $ktap_count $2 # SKIP ${3:-the test skips itself}"
		;;
	*)
		ktap_failed=$((ktap_failed + 1))
		echo "# $2: ${3:-exit code $1}"
		echo "not ok $ktap_count $2"
		;;
	esac
}

# ktap_test NAME REASON CONDITION...: one result, of test(1) with that condition.
ktap_test() {
	ktap_name=$1 ktap_reason=$2
	shift 2
	if test "$@"; then
		ktap_result 0 "$ktap_name"
	else
		ktap_result 1 "$ktap_name" "$ktap_reason"
	fi
}

# ktap_subtest NAME: turn the (K)TAP document on standard input into a subtest's,
# without its result line, which ktap_result gives. NAME must be that of the result.
ktap_subtest() {
	echo "    KTAP version 1"
	echo "    # Subtest: $1"
	sed -e '/^K\{0,1\}TAP version [0-9]*$/d' -e 's/^/    /'
}

# ktap_end: end the test, exit 0 when every result was ok or a skip, else 1.
ktap_end() {
	[ "$ktap_failed" -eq 0 ]
	exit
}

# ktap_give_up REASON: a document that says why nothing could be tested; exit 1.
ktap_give_up() {
	ktap_plan 1
	ktap_result 1 set_up "$1"
	exit 1
}
