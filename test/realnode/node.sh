# Copyright The Kubemeter Authors.
# SPDX-License-Identifier: Apache-2.0

# Wires and runs a node. It is started in network and mount namespaces of its own:
# node.sh FOLDER PID LINK HOST-ADDRESS NODE-ADDRESS PODS CGROUP
#
# PID is of a process in the network to which the node is linked. The node's files are
# in FOLDER.
set -eu
dir=$1 pid=$2 link=$3 host=$4 node=$5 pods=$6 cgroup=$7
outside() { nsenter --target "$pid" --net ip "$@"; }

ip link set lo up
ip link add eth0 type veth peer name "$link" netns "$pid"
ip address add "$node/24" dev eth0
ip link set eth0 up
outside address add "$host/24" dev "$link"
outside link set "$link" up
outside route add "$pods" via "$node"
ip route add default via "$host"
echo 1 >/proc/sys/net/ipv4/ip_forward

# What containerd, runc, the kubelet and CNI plugins write to fixed places goes to the
# node's folder.
for place in run var/lib var/log; do
	mkdir -p "$dir/$place"
	mount --bind "$dir/$place" "/$place"
done

# The kubelet wants the group to be there. With version 2 of cgroups, its parent has to
# hand the controllers down. Containers get the CPU that they are to use, whatever else
# the machine does.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	sed 's/^/+/; s/ / +/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
	mkdir "/sys/fs/cgroup/$cgroup"
	echo 10000 >"/sys/fs/cgroup/$cgroup/cpu.weight"
else
	for controller in /sys/fs/cgroup/*/; do mkdir "$controller/$cgroup"; done
	echo 262144 >"/sys/fs/cgroup/cpu/$cgroup/cpu.shares"
fi

# Its first process takes all others along.
exec unshare --pid --fork --kill-child --mount-proc bash "$dir/init.sh" "$dir"
