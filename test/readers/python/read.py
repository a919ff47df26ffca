# Copyright The Kubemeter Authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads a version of metrics.k8s.io with Kubernetes' Python client.

With "watch" as the last argument it prints the events of all pods, one a line, until it is
ended; otherwise what there is.
"""

import json
import sys

from kubernetes import client, config, watch

kubeconfig, version, namespace, selector, node, pod = sys.argv[1:7]
config.load_kube_config(config_file=kubeconfig)
api = client.CustomObjectsApi()
of = {"group": "metrics.k8s.io", "version": version}

if sys.argv[7:] == ["watch"]:
    for event in watch.Watch().stream(api.list_cluster_custom_object, plural="pods", **of):
        print(json.dumps({"type": event["type"], "object": event["object"]}), flush=True)
    sys.exit()

cluster = api.list_cluster_custom_object
json.dump({
    "nodes": cluster(plural="nodes", **of)["items"],
    "pods": cluster(plural="pods", **of)["items"],
    "namespaced": api.list_namespaced_custom_object(namespace=namespace, plural="pods", **of)["items"],
    "selected": cluster(plural="pods", label_selector=selector, **of)["items"],
    "node": api.get_cluster_custom_object(plural="nodes", name=node, **of),
    "pod": api.get_namespaced_custom_object(namespace=namespace, plural="pods", name=pod, **of),
}, sys.stdout)
