// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Reads a version of metrics.k8s.io with Kubernetes' JavaScript client. With "watch" as the
// last argument it prints the events of all pods, one a line, until it is ended; with "top",
// what the client's own class for metrics and its topPods show; otherwise what there is.

import * as k8s from '@kubernetes/client-node';

const [kubeconfig, version, namespace, labelSelector, node, pod, what] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);

const group = 'metrics.k8s.io';
const print = (value) => process.stdout.write(JSON.stringify(value) + '\n');

async function read() {
  const api = config.makeApiClient(k8s.CustomObjectsApi);
  const list = async (plural, more) => (await api.listClusterCustomObject({ group, version, plural, ...more })).items;
  return {
    nodes: await list('nodes'),
    pods: await list('pods'),
    namespaced: (await api.listNamespacedCustomObject({ group, version, namespace, plural: 'pods' })).items,
    selected: await list('pods', { labelSelector }),
    node: await api.getClusterCustomObject({ group, version, plural: 'nodes', name: node }),
    pod: await api.getNamespacedCustomObject({ group, version, namespace, plural: 'pods', name: pod }),
  };
}

async function top() {
  const metrics = new k8s.Metrics(config);
  const usage = (of) => ({ cpu: Number(of.CPUUsage.CurrentUsage), memory: Number(of.MemoryUsage.CurrentUsage) });
  return {
    nodes: (await metrics.getNodeMetrics()).items,
    pods: (await metrics.getPodMetrics()).items,
    namespaced: (await metrics.getPodMetrics(namespace)).items,
    top: (await k8s.topPods(config.makeApiClient(k8s.CoreV1Api), metrics, namespace)).map((status) => ({
      name: status.Pod.metadata.name,
      cpu: Number(status.CPU.CurrentUsage),
      memory: Number(status.Memory.CurrentUsage),
      containers: Object.fromEntries(status.Containers.map((c) => [c.Container, usage(c)])),
    })),
  };
}

switch (what) {
  case 'watch':
    await new k8s.Watch(config).watch(`/apis/${group}/${version}/pods`, {}, (type, object) => print({ type, object }), (err) => {
      if (err) throw err;
    });
    break;
  case 'top':
    print(await top());
    break;
  default:
    print(await read());
}
