#!/bin/sh
# Becomes pid 1 of a host: makes its root from the image's layers, then gives itself up to systemd.
# Runs in new mount, PID, UTS, IPC and cgroup namespaces, in the host's network namespace, in its folder.
# In: LAYERS (overlay's lowerdir), FQDN, CONSOLE (a terminal). On descriptor 9 it says its pid outside and
# when that process began, and 'up' as the last thing before systemd.
set -eu

read -r stat </proc/self/stat # the machine's /proc still, and no child of ours: this is pid 1
set -- $stat
echo "$1 ${22}" >&9

mount -t overlay overlay -o "lowerdir=$LAYERS,upperdir=upper,workdir=work" merged
cd merged
hostname "$FQDN"

mount -t proc proc proc
# /proc/sys and sysrq are the real machine's: nothing in here may tune or reboot it.
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
[ ! -e proc/sysrq-trigger ] || mount --bind /dev/null proc/sysrq-trigger
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup

mount -t tmpfs -o mode=755,size=4m tmpfs dev
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
: >dev/console
mount --bind "$CONSOLE" dev/console
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for stream in stdin:0 stdout:1 stderr:2; do
    ln -s /proc/self/fd/${stream#*:} dev/${stream%:*}
done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp

# systemd finds here that it is in a container; the environment would tell cloud-init as well, which
# would then take this for no EC2 instance and never ask for a metadata token.
mkdir -p run/host
echo lxc >run/host/container-manager

mkdir -p .old
pivot_root . .old
cd /
umount -l /.old
rmdir /.old

echo up >&9
exec 9>&-
# The clock, the modules and the ports are the real machine's: without these rights nothing touches them.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb SYSTEMD_COLORS=0 \
    setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-syslog \
    /lib/systemd/systemd --show-status=1 --log-level=notice </dev/console >/dev/console 2>&1
