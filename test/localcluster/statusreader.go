// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

// StatusReader is a ServiceAccount in kube-system, status-reader, that may see the server's
// own page, and nothing else.
const StatusReader = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: status-reader, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: status-reader}
rules:
- nonResourceURLs: [/status]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: status-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: status-reader}
subjects:
- {kind: ServiceAccount, name: status-reader, namespace: kube-system}
`
