#!/bin/bash
# Checks for the Debian packages that make targets need: packages.sh TARGET...
# As root on Debian it installs the missing ones, unless NO_INSTALL is set. What then still cannot run
# goes to standard output. The exit code is 1 if that is a whole target, or if CI is set.
set -euo pipefail
unset CDPATH
cd -- "$(dirname "$0")"
list=${KUBEMETER_DEBIAN_PACKAGES:-debian-packages} # tests have lists of their own

# find_missing sets packages to the missing ones, and skipped to one line for each thing that
# cannot run without them. It sets failed if one of these is a whole target, or if CI is set.
find_missing() {
	packages=() skipped='' failed=${CI:+1}
	local targets package probe needed_by target line
	while read -r targets package probe needed_by || [[ -n $targets ]]; do
		[[ -n $targets && $targets != \#* ]] || continue
		for target in "$@"; do
			[[ ,$targets, == *",$target,"* || ,$targets, == *",$target!,"* ]] || continue
			! is_installed "$probe" || continue
			[[ " ${packages[*]} " == *" $package "* ]] || packages+=("$package")
			line="not run: $needed_by"
			[[ ,$targets, != *",$target!,"* ]] || { line="not run: $target (it needs $package for $needed_by)" failed=1; }
			[[ $skipped == *"$line"$'\n'* ]] || skipped+=$line$'\n'
		done
	done <"$list"
}

# shellcheck disable=SC2046 # CC may have arguments.
is_installed() {
	case $1 in
	/*) compgen -G "$1" >/dev/null ;;
	\<*) $(go env CC) -E - >/dev/null 2>&1 <<<"#include $1" ;;
	*) type -P "$1" >/dev/null ;;
	esac
}

# install installs packages. It prints the output of apt-get only if that fails.
install() {
	log=$(mktemp)
	trap 'rm -f -- "$log"' EXIT
	trap 'exit 130' INT TERM
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2016 # The inner shell expands these.
	./heartbeat.sh "installing ${packages[*]} (set NO_INSTALL=1 to skip this)" sh -c '
		log=$1; shift
		{ apt-get update; apt-get install -y --no-remove --no-install-recommends -- "$@"; } </dev/null >"$log" 2>&1' sh "$log" "${packages[@]}" ||
		{ tail -n 5 "$log"; echo "apt-get could not install the packages"; } >&2
}

for target in "$@"; do
	grep -qE "(^|,)$target!?(,|[[:space:]])" "$list" || { echo "hack/$list has no target $target" >&2; exit 2; }
done
find_missing "$@"
[ ${#packages[@]} -gt 0 ] || exit 0
sudo='sudo '
[ "$(id -u)" != 0 ] || sudo=
if [ -z "$sudo" ] && [ -z "${NO_INSTALL:-}" ] && type -P apt-get >/dev/null; then
	install
	find_missing "$@"
	[ ${#packages[@]} -gt 0 ] || exit 0
fi
printf '%sTo install what is missing: %sapt-get install --no-install-recommends %s\n' "$skipped" "$sudo" "${packages[*]}"
[ -z "${CI:-}" ] || echo "CI is set: nothing may be skipped"
[ -z "$failed" ]
