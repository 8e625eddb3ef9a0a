#!/bin/busybox sh
# First process of an emulated machine (kernel_vm.ts): the host's root file system, read-only by
# 9p, below an overlay in memory; in it runs `command.sh` of the folder that both sides share.
# Ends by powering off. What goes wrong before the command is said on the console.
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /dev /host /upper /new
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" || echo "init: insmod $module failed"; done
for word in $(cat /proc/cmdline); do
  case $word in
    ovn_xdp.modules=*) modules=${word#*=} ;;		# lib/modules of this kernel, on the host
    ovn_xdp.load=*) load=$(echo "${word#*=}" | tr , ' ') ;;
    ovn_xdp.uptime=*) uptime=${word#*=} ;;
  esac
done

die() { echo "init: $*"; poweroff -f; }
p9=trans=virtio,version=9p2000.L,msize=1048576
# loose: what the host changes meanwhile may be seen late or never.
mount -t 9p -o $p9,ro,cache=loose host /host || die "no root of the host"
mount -t tmpfs upper /upper
mkdir /upper/data /upper/work /shared
mount -t 9p -o $p9,rw,cache=none shared /shared || die "no shared folder"
# What is opened often (kernel_files.ts) is in memory. In large reads: each goes to the host.
dd if=/shared/files.tar bs=1M 2> /dev/null | tar -xf - -C /upper/data || die "no files"
mount -t overlay -o lowerdir=/host,upperdir=/upper/data,workdir=/upper/work new /new ||
  die "no overlay"
cd /new
mount -t proc proc proc
mount -t sysfs sys sys
mount -t devtmpfs dev dev
mkdir -p dev/pts dev/shm
mount -t devpts -o ptmxmode=666 pts dev/pts
mount -t tmpfs shm dev/shm
mount -t tmpfs run run
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mkdir -p run/lock run/netns run/shared
mount -o bind /shared run/shared
mkdir -p lib/modules
mount -o bind ".$modules" lib/modules || die "no modules in $modules"
echo kernel-vm > /proc/sys/kernel/hostname
ip link set lo up
for module in $load; do
  chroot . /sbin/modprobe "$module" || echo "init: no module $module"
done
while read -r up rest < /proc/uptime && [ "${up%.*}" -lt "${uptime:-0}" ]; do sleep 0.2; done
chroot . /bin/sh /run/shared/command.sh < /dev/null \
  > run/shared/stdout 2> run/shared/stderr
echo $? > run/shared/status
sync
poweroff -f
