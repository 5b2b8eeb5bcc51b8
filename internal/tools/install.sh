#!/usr/bin/env bash
# Installs what the tests need and this machine lacks, on Debian and Ubuntu.
# Elsewhere it says what to install, and fails. Arguments: any of
#
#   rabbitmq   the broker, from the distribution (not started as a service)
#   pika       the Python client, for the tests against the tutorial's programs
#   postgresql the database, for the middleware that keeps its marks in one (not started as a service)
#   cc         a C compiler, for the race detector
#   debootstrap  another Debian in a folder, for the RabbitMQ that comes with it
set -euo pipefail

have_rabbitmq() {
	PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin" command -v rabbitmq-server >/dev/null
}
# The distribution's package serves its own Python only, which need not be the first in PATH.
have_pika() { python3 -c 'import pika' 2>/dev/null || /usr/bin/python3 -c 'import pika' 2>/dev/null; }
have_postgresql() {
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null ||
		compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' >/dev/null || command -v initdb >/dev/null
}
# Only Linux needs one: elsewhere the race detector works without cgo.
have_cc() { [ "$(go env GOOS)" != linux ] || { command -v "$(go env CC)" >/dev/null && [ -e /usr/include/stdlib.h ]; }; }

packages=() # Debian's names of what is missing
advice=()   # the same for people
for want in "$@"; do
	case $want in
	rabbitmq) have_rabbitmq || { packages+=(rabbitmq-server); advice+=("RabbitMQ (macOS: brew install rabbitmq; Fedora: dnf install rabbitmq-server)"); } ;;
	pika) have_pika || { packages+=(python3 python3-pika); advice+=("Python 3 with pika (pip install pika)"); } ;;
	postgresql) have_postgresql || { packages+=(postgresql); advice+=("PostgreSQL (macOS: brew install postgresql; Fedora: dnf install postgresql-server)"); } ;;
	cc) have_cc || { packages+=(gcc libc6-dev); advice+=("a C compiler, which go test -race needs (gcc)"); } ;;
	debootstrap) # as root only, and not elsewhere: the parity page then says so
		[ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || command -v debootstrap >/dev/null || packages+=(debootstrap) ;;
	*) echo "install.sh: unknown argument $want" >&2; exit 2 ;;
	esac
done
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
	printf 'Missing, please install: %s\n' "${advice[@]}" >&2
	echo 'Without them: `make test-unit` needs no broker, `docker compose up rabbitmq` starts one,' \
		'and the tests use the one that MESSAGING_TEST_URL names.' >&2
	exit 1
fi
sudo=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "Missing: ${packages[*]}. Install them as root, with apt-get install." >&2; exit 1; }
	sudo=(sudo)
fi
echo "Installing ${packages[*]} with ${sudo[*]:+sudo }apt-get."

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
new_rabbitmq=no new_erlang=no new_postgresql=no made_policy=no
[[ " ${packages[*]} " != *" rabbitmq-server "* ]] || new_rabbitmq=yes
[[ " ${packages[*]} " != *" postgresql "* ]] || new_postgresql=yes
command -v erl >/dev/null || new_erlang=yes

clean_up() {
	[ "$made_policy" = no ] || "${sudo[@]}" rm -f "$policy"
	rm -f "$log"
}
trap clean_up EXIT

# Tests start servers of their own. A service would take a port and memory,
# so the package is kept from starting it, now and at the next boot.
if [ "$new_rabbitmq$new_postgresql" != nono ] && [ ! -e "$policy" ]; then
	made_policy=yes
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
	"${sudo[@]}" chmod 755 "$policy"
fi
apt() {
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1 ||
		{ cat "$log" >&2; echo "apt-get $* failed, see above." >&2; exit 1; }
}
apt update
apt install --yes --no-install-recommends "${packages[@]}"

units=()
[ "$new_rabbitmq" = no ] || units+=(rabbitmq-server.service)
[ "$new_rabbitmq$new_erlang" != yesyes ] || units+=(epmd.socket epmd.service)
[ "$new_postgresql" = no ] || units+=(postgresql.service)
if [ ${#units[@]} -gt 0 ] && [ -d /run/systemd/system ]; then
	"${sudo[@]}" systemctl disable --now "${units[@]}" >/dev/null 2>&1 || true # a unit may not exist
fi
