#!/bin/sh
# kdump_post of kdump.conf: labels the dump while the capture kernel still runs. See docs/fleet.md.
# $1 is the exit status of the dump; a dump that failed has no final name, and is not looked at.
[ "${1:-0}" = 0 ] || exit 0
# Where the capture kernel mounts the file system that the dump was written to.
for root in /kdumproot /sysroot; do
    if [ -d "$root/var/crash" ]; then
        # Memory is short here: one thread. Whatever comes of it, the machine must go on to reboot.
        RAYON_NUM_THREADS=1 vmcoroner watch --once --write --settle 0 "$root/var/crash"
        break
    fi
done
exit 0
