#!/bin/bash
# Looks for the Debian packages that make targets need: packages.sh TARGET...
# As root on Debian it installs those that are missing, and says so; NO_INSTALL=1 keeps it from
# that. Otherwise its standard output says what will not run. It fails if that is a whole target,
# and, where CI is set, if it is anything.
set -euo pipefail
cd "$(dirname "$0")"

# find_missing sets packages to those that are missing, and notes to a line for each thing that
# will not run without them. It sets fatal if a whole target is among these.
find_missing() {
	packages=() notes='' fatal=${CI:+1}
	local targets package shown_by what target note
	while read -r targets package shown_by what; do
		[[ -n $targets && $targets != \#* ]] || continue
		for target in "$@"; do
			[[ ,$targets, =~ ,$target!?, ]] || continue
			is_there "$shown_by" && continue
			[[ " ${packages[*]} " == *" $package "* ]] || packages+=("$package")
			note="not run: $what"
			[[ ,$targets, != *",$target!,"* ]] || { note="not run: make $target, which needs $package for $what" fatal=1; }
			[[ $notes == *"$note"$'\n'* ]] || notes+=$note$'\n'
		done
	done <debian-packages
}

is_there() {
	case $1 in
	/*) compgen -G "$1" >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# install installs packages, and is silent if that works.
install() {
	local log
	log=$(mktemp)
	export DEBIAN_FRONTEND=noninteractive
	./heartbeat.sh "installing Debian's ${packages[*]} (NO_INSTALL=1 does without)" sh -ec '
		log=$1; shift
		{ apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1' sh "$log" "${packages[@]}" ||
		{ tail -n 5 "$log"; echo "the packages could not be installed"; } >&2
	rm -f "$log"
}

find_missing "$@"
[ ${#packages[@]} -gt 0 ] || exit 0
as_root=sudo\ 
[ "$(id -u)" != 0 ] || as_root=
if [ -z "$as_root" ] && [ "${NO_INSTALL:-}" != 1 ] && command -v apt-get >/dev/null; then
	install
	find_missing "$@"
	[ ${#packages[@]} -gt 0 ] || exit 0
fi
printf '%sto run it, type: %sapt-get install --no-install-recommends %s\n' "$notes" "$as_root" "${packages[*]}"
[ -z "$fatal" ]
