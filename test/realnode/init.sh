# Copyright The Kubemeter Authors.
# SPDX-License-Identifier: Apache-2.0

# The first process of a node, which ends with the first of its parts that does.
set -eu
dir=$1
cd "$dir"

containerd --config containerd.toml >logs/containerd.log 2>&1 &
containerd=$!
until ctr --connect-timeout 1s version >/dev/null 2>&1; do
	kill -0 "$containerd" || { cat logs/containerd.log; exit 1; }
	sleep 0.1
done
# The kubelet needs the image of sandboxes.
ctr --namespace k8s.io images import --snapshotter native workload.tar

bin/kubelet --config=kubelet.yaml --kubeconfig=kubelet.kubeconfig --hostname-override="$NODE_NAME" \
	--node-ip="$NODE_ADDRESS" --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki >logs/kubelet.log 2>&1 &
bin/kube-proxy --config=kube-proxy.yaml >logs/kube-proxy.log 2>&1 &

status=0
wait -n || status=$?
echo "a part of the node ended with status $status" >&2
tail -n 20 logs/*.log >&2
exit 1
