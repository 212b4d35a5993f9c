# Shell functions that ./try and ./check share.

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# The words of lists of packages, without their comments.
packages_of() {
	cat "$@" | sed 's/#.*//' | tr -s ' \t\n' '\n'
}

# Prints those of its arguments that are not installed.
packages_missing() {
	for package; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
			grep -qx installed || printf '%s\n' "$package"
	done
}

# Installs what is missing of its arguments: as root directly, else with sudo.
packages_install() {
	missing=$(packages_missing "$@")
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "needs these packages:" $missing
	say "installing:" $missing
	if [ "$(id -u)" = 0 ]; then
		sh dist/install-packages $missing
	elif command -v sudo >/dev/null; then
		sudo sh dist/install-packages $missing
	else
		die "needs root or sudo to install:" $missing
	fi || die "these packages could not be installed:" $missing
}

# configure DIR OPTION...: a build directory of this very tree with these options.
configure() {
	dir=$1
	shift
	# One that was copied with the tree still builds the other tree.
	if [ -d "$dir/meson-info" ] &&
		! grep -qF "\"source\": \"$(pwd -P)\"" "$dir/meson-info/meson-info.json"; then
		rm -rf "$dir"
	fi
	[ ! -e "$dir/build.ninja" ] || [ -w "$dir/build.ninja" ] ||
		die "$dir belongs to another user: remove it"
	log=$(mktemp)
	if [ -e "$dir/build.ninja" ]; then
		meson configure "$dir" "$@" >"$log" 2>&1
	else
		meson setup "$dir" "$@" >"$log" 2>&1
	fi || {
		cat "$log" >&2
		rm -f "$log"
		die "$dir cannot be configured"
	}
	rm -f "$log"
}

# build DIR [TARGET...]
build() {
	log=$(mktemp)
	ninja -C "$@" >"$log" 2>&1 || {
		cat "$log" >&2
		rm -f "$log"
		die "$1 cannot be built"
	}
	rm -f "$log"
}
