# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What every benchmark prints; sourced after ktap.sh.
#
# bench_report FILE: turn what a benchmark found into KTAP and end the test, exit 0
# when no line of FILE begins with "fail". FILE has the lines
#
#   measured NAME CALLS VALUE [UNIT]   one repetition: VALUE for all CALLS together,
#                                      in instructions where UNIT is left out
#   allowed NAME RATIO                 NAME may be RATIO (1.05) times as dear as on the
#                                      earlier step, or as dear as it likes: any
#   compared NAME OTHER                the host also prints NAME / OTHER, both
#                                      measured in this boot
#   pass NAME
#   fail NAME: WHY
bench_report() {
	grep -qE '^(pass|fail) ' "$1" || ktap_give_up "the benchmark reports nothing"
	ktap_plan "$(grep -cE '^(pass|fail) ' "$1")"
	while read -r word name rest; do
		case $word in
		pass) ktap_result 0 "$name" ;;
		fail) ktap_result 1 "${name%:}" "$rest" ;;
		measured | allowed | compared) echo "# $word $name $rest" ;;
		esac
	done <"$1"
	ktap_end
}
