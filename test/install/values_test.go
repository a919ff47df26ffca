// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// others are values for those of values.yaml that are empty, or that allow only
// some.
var others = map[string]any{
	"securityContext.capabilities.drop":              []any{"NET_RAW"},
	"addonResizer.securityContext.capabilities.drop": []any{"NET_RAW"},
	"image.digest":                                   "sha256:" + strings.Repeat("0", 64),
	"image.pullPolicy":                               "Always",
	"imagePullSecrets":                               []any{map[string]any{"name": "registry"}},
	"serviceAccount.secrets":                         []any{map[string]any{"name": "token"}},
	"apiService.caBundle":                            "-----BEGIN CERTIFICATE-----",
	"hostUsers":                                      false,
	"revisionHistoryLimit":                           0,
	"updateStrategy":                                 map[string]any{"type": "Recreate"},
	"podDisruptionBudget.minAvailable":               0,
	"podDisruptionBudget.maxUnavailable":             "50%",
	"podDisruptionBudget.unhealthyPodEvictionPolicy": "AlwaysAllow",
	"defaultArgs":                                    []any{"--v=1"},
	"args":                                           []any{"--v=2"},
	"service.type":                                   "NodePort",
	"serviceMonitor.interval":                        "7s",
	"serviceMonitor.scrapeTimeout":                   "6s",
	"serviceMonitor.metricRelabelings":               []any{map[string]any{"action": "drop"}},
	"serviceMonitor.relabelings":                     []any{map[string]any{"action": "drop"}},
	"prometheusRule.withheldPodsRatio":               0.5,
	"networkPolicy.ingressFrom":                      []any{map[string]any{"ipBlock": map[string]any{"cidr": "10.0.0.0/8"}}},
	"networkPolicy.egress":                           []any{map[string]any{"ports": []any{map[string]any{"port": 443}}}},
	"extraVolumeMounts":                              []any{map[string]any{"name": "a", "mountPath": "/a"}},
	"extraVolumes":                                   []any{map[string]any{"name": "a", "emptyDir": map[string]any{}}},
	"tolerations":                                    []any{map[string]any{"operator": "Exists"}},
	"topologySpreadConstraints":                      []any{map[string]any{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}},
	"tmpVolume.emptyDir":                             map[string]any{"medium": "Memory"},
	"tls.type":                                       "helm",
	"tls.metricsServer.validity":                     "720h",
	"tls.certManager.duration":                       "720h",
	"tls.certManager.renewBefore":                    "72h",
}

// needs are the values with which others have an effect, by a prefix of their
// names. The longest counts; no value needs itself.
var needs = map[string]string{
	"addonResizer.":                          "addonResizer.enabled=true",
	"apiService.caBundle":                    "tls.type=existingSecret,tls.existingSecret.name=x",
	"grafanaDashboard.":                      "grafanaDashboard.enabled=true",
	"networkPolicy.":                         "networkPolicy.enabled=true",
	"podDisruptionBudget.":                   "podDisruptionBudget.enabled=true",
	"prometheusRule.":                        "prometheusRule.enabled=true",
	"serviceMonitor.":                        "serviceMonitor.enabled=true,metrics.enabled=true",
	"serviceMonitor.enabled":                 "metrics.enabled=true",
	"serviceAccount.name":                    "serviceAccount.create=false",
	"tls.clusterDomain":                      "tls.type=cert-manager",
	"tls.certManager.":                       "tls.type=cert-manager",
	"tls.certManager.existingIssuer.":        "tls.type=cert-manager,tls.certManager.existingIssuer.enabled=true",
	"tls.certManager.existingIssuer.enabled": "tls.type=cert-manager",
}

// elsewhere are values that cannot be changed like others, or without a cluster, and
// which tests are about them.
var elsewhere = map[string]string{
	"rbac.pspEnabled":           "there is no PodSecurityPolicy any more",
	"tls.helm.lookup":           "TestUpgrades",
	"tls.helm.certDurationDays": "the certificate is another one each time",
	"tls.existingSecret.lookup": "TestChart",
	"tls.existingSecret.name":   "TestChart",
}

// leaves are the values of a tree by their names, such as image.tag.
func leaves(prefix string, tree map[string]any) map[string]any {
	all := map[string]any{}
	for key, value := range tree {
		if branch, ok := value.(map[string]any); ok && len(branch) > 0 {
			maps.Copy(all, leaves(prefix+key+".", branch))
		} else {
			all[prefix+key] = value
		}
	}
	return all
}

// another is a value of the same kind.
func another(t *testing.T, name string, value any) any {
	t.Helper()
	if other, ok := others[name]; ok {
		return other
	}
	switch v := value.(type) {
	case bool:
		return !v
	case float64:
		return v + 1
	case string:
		return v + "x"
	case map[string]any:
		return map[string]any{"key": "x"}
	}
	t.Fatalf("say in this test which other value %s may have", name)
	return nil
}

// tree makes a tree of one value.
func tree(name string, value any) map[string]any {
	if first, rest, found := strings.Cut(name, "."); found {
		return map[string]any{first: tree(rest, value)}
	}
	return map[string]any{name: value}
}

func needed(name string) (values string) {
	longest := ""
	for prefix, v := range needs {
		if strings.HasPrefix(name, prefix) && len(prefix) > len(longest) && !strings.HasPrefix(v, name+"=") {
			longest, values = prefix, v
		}
	}
	return values
}

func defaults(t *testing.T) map[string]any {
	t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal(must[[]byte](t)(os.ReadFile(filepath.Join(chart(), "values.yaml"))), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// TestEveryValueHasAnEffect changes each value of values.yaml by itself.
func TestEveryValueHasAnEffect(t *testing.T) {
	h := newest()
	rendered := map[string]string{} // without a change, by what is needed
	render := func(needed string, more ...string) string {
		return must[string](t)(h.template(t.Context(), append([]string{"--set", needed}, more...)...))
	}
	for name, value := range leaves("", defaults(t)) {
		if elsewhere[name] != "" {
			continue
		}
		need := needed(name)
		if rendered[need] == "" {
			rendered[need] = render(need)
		}
		file := filepath.Join(t.TempDir(), "values.yaml")
		writeFile(t, file, string(must[[]byte](t)(yaml.Marshal(tree(name, another(t, name, value))))))
		if render(need, "--values", file) == rendered[need] {
			t.Errorf("%s has no effect", name)
		}
	}
	for _, names := range [][]string{slices.Collect(maps.Keys(others)), slices.Collect(maps.Keys(elsewhere))} {
		for _, name := range names {
			if _, ok := leaves("", defaults(t))[name]; !ok {
				t.Errorf("there is no value %s any more", name)
			}
		}
	}
}

// peerValues are all values of the chart of kubernetes-sigs/metrics-server 3.13.1:
// its users must find each one here.
var peerValues = strings.Fields(`
image.repository image.tag image.pullPolicy imagePullSecrets nameOverride fullnameOverride namespaceOverride
serviceAccount.create serviceAccount.annotations serviceAccount.name serviceAccount.secrets
rbac.create rbac.pspEnabled
apiService.create apiService.annotations apiService.insecureSkipTLSVerify apiService.caBundle
commonLabels podLabels podAnnotations podSecurityContext hostUsers securityContext.runAsUser priorityClassName
containerPort hostNetwork.enabled replicas revisionHistoryLimit updateStrategy
podDisruptionBudget.enabled podDisruptionBudget.minAvailable podDisruptionBudget.maxUnavailable podDisruptionBudget.unhealthyPodEvictionPolicy
defaultArgs args livenessProbe.failureThreshold readinessProbe.failureThreshold
service.type service.port service.annotations service.labels
addonResizer.enabled addonResizer.image.repository addonResizer.image.tag addonResizer.securityContext.runAsUser addonResizer.resources.limits.cpu
addonResizer.nanny.cpu addonResizer.nanny.extraCpu addonResizer.nanny.memory addonResizer.nanny.extraMemory
addonResizer.nanny.minClusterSize addonResizer.nanny.pollPeriod addonResizer.nanny.threshold
metrics.enabled serviceMonitor.enabled serviceMonitor.additionalLabels serviceMonitor.interval serviceMonitor.scrapeTimeout
serviceMonitor.metricRelabelings serviceMonitor.relabelings
resources.requests.cpu extraVolumeMounts extraVolumes nodeSelector tolerations affinity topologySpreadConstraints dnsConfig
deploymentAnnotations schedulerName tmpVolume.emptyDir
tls.type tls.clusterDomain tls.certManager.addInjectorAnnotations
tls.certManager.existingIssuer.enabled tls.certManager.existingIssuer.kind tls.certManager.existingIssuer.name
tls.certManager.duration tls.certManager.renewBefore tls.certManager.annotations tls.certManager.labels
tls.helm.lookup tls.helm.certDurationDays tls.existingSecret.name tls.existingSecret.lookup
`)

func TestPeerValues(t *testing.T) {
	ours := leaves("", defaults(t))
	for _, name := range peerValues {
		if _, ok := ours[name]; !ok {
			t.Errorf("there is no value %s", name)
		}
	}
}

func TestSchemaRefusesMistakes(t *testing.T) {
	for _, c := range []struct{ set, problem string }{
		{"replica=2", "replica"},
		{"tls.type=selfsigned", "tls/type"},
		{"tls.existingsecret.name=x", "existingsecret"},
		{"args={v=2}", "args/0"},
		{"kubeletServiceAccount.name= ", "kubeletServiceAccount/name"},
		{"kubeletServiceAccount.name=a\\, b", "kubeletServiceAccount/name"},
		{"kubeletServiceAccount.name=metrics-server", "must be another ServiceAccount than the server's own"},
		{"replicas=two", "replicas"},
		{"podDisruptionBudget.minAvailable=half", "minAvailable"},
		{"tls.metricsServer.validity=90d", "validity"},
		{"tls.type=existingSecret", "tls.existingSecret.name must be set"},
	} {
		for _, h := range helms {
			_, err := h.template(t.Context(), "--set", c.set)
			// Version 3 writes tls.type and version 4 /tls/type.
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "/", "."), strings.ReplaceAll(c.problem, "/", ".")) {
				t.Errorf("%s --set %s: %v", h.name, c.set, err)
			}
		}
	}
}

// TestReplicasAreSpread has constraints of the user's own stay as they are.
func TestReplicasAreSpread(t *testing.T) {
	constraint := `[{"topologyKey":"zone","maxSkew":1,"whenUnsatisfiable":"DoNotSchedule"}]`
	for _, c := range []struct {
		set  []string
		want int
	}{
		{[]string{"--set", "replicas=1"}, 0},
		{[]string{"--set", "replicas=2"}, 2},
		{[]string{"--set", "replicas=2", "--set-json", "topologySpreadConstraints=" + constraint}, 1},
		{[]string{"--set", "replicas=2", "--set-json", `affinity={"podAntiAffinity":{}}`}, 0},
	} {
		out := must[string](t)(newest().template(t.Context(), append(c.set, "--show-only=templates/deployment.yaml")...))
		if got := strings.Count(out, "topologyKey"); got != c.want || strings.Count(out, "labelSelector") != c.want {
			t.Errorf("%q: %d constraints, want %d, each with a labelSelector\n%s", c.set, got, c.want, out)
		}
	}
}

func TestNotes(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"replicas=1", "kubectl top nodes"},
		{"apiService.insecureSkipTLSVerify=true", "WARNING: with apiService.insecureSkipTLSVerify"},
		{"args={--kubelet-insecure-tls}", "WARNING: with --kubelet-insecure-tls"},
		{"args={--tls-cert-file=/a}", "WARNING: apiService.caBundle is not set"},
		{"args={--kubelet-service-account=a/b}", "WARNING: with --kubelet-service-account in args"},
		{"rbac.create=false", "WARNING: the server's own token is sent to kubelets"},
		{"rbac.create=false,metrics.enabled=true,serviceMonitor.enabled=true", "WARNING: the ServiceMonitor names ConfigMap notes-metrics-server-ca"},
		{"serviceMonitor.enabled=true", "WARNING: there is no ServiceMonitor"},
	} {
		for _, h := range helms {
			out := h.must(t, "install", "notes", chart(), "--dry-run=client", "--set", c.set)
			if !strings.Contains(out, c.want) {
				t.Errorf("%s --set %s: no %q in\n%s", h.name, c.set, c.want, out)
			}
		}
	}
	if out := newest().must(t, "install", "notes", chart(), "--dry-run=client"); strings.Contains(out, "WARNING") {
		t.Errorf("a warning by default:\n%s", out)
	}
}
