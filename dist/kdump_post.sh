#!/bin/sh
# kdump_post of kdump.conf: labels the dump that was just written, while the capture kernel still runs. See fleet.md.
# $1 is the exit status of the dump. It is handed on whatever comes of this: some kdumps take ours for the dump's. A dump
# that failed has no final name, and is not looked at.
status=${1:-0}
[ "$status" = 0 ] || exit "$status"

# kdump mounts what it writes to at /sysroot or below /kdumproot, and writes below `path` of its configuration: the copy
# in the capture kernel tells the path within that mount.
path=/var/crash
while read -r option value _; do
    [ "$option" = path ] && path=$value
done 2>/dev/null </etc/kdump.conf
newest=
while read -r _ mount _; do
    # A blank in a mount's name is written as \040.
    mount=$(printf '%b' "$mount")
    case $mount in
    */kdumproot | */kdumproot/* | */sysroot)
        for folder in "$mount/${path#/}"/*/; do
            # shellcheck disable=SC3013 # dash and busybox know -nt as well as bash
            if [ -d "$folder" ] && { [ -z "$newest" ] || [ "$folder" -nt "$newest" ]; }; then
                newest=$folder
            fi
        done
        ;;
    esac
done 2>/dev/null </proc/mounts
# Older dumps can wait until the machine is back.
[ -n "$newest" ] || exit 0

(
    # Memory is short here: one thread, and the first to go when there is none left.
    echo 1000 2>/dev/null >/proc/self/oom_score_adj
    export RAYON_NUM_THREADS=1
    exec vmcoroner watch --once --write --settle 0 "$newest"
) &
labeller=$!
# Whatever happens, the machine must go on to reboot.
(sleep 120 && kill "$labeller") >/dev/null 2>&1 &
guard=$!
wait "$labeller"
kill "$guard" 2>/dev/null
sync
exit 0
