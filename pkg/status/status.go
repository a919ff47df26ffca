// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package status tells an operator how a server, its nodes and its pods are: as a page
// for a browser and as JSON. The page has no scripts, and asks for nothing but itself.
package status

import "time"

// Status is what a server knows at a time. Fields of its JSON may be added, and do not
// change their meaning. Times are absent while there is none; durations are in seconds.
type Status struct {
	Time    time.Time `json:"time"`
	Verdict Verdict   `json:"verdict"`
	Server  Server    `json:"server"`
	// Checks are those of /readyz and /livez that are the server's own.
	Checks []Check `json:"checks"`
	Totals Totals  `json:"totals"`
	// Problems are the nodes that are not ok, by state and reason, the worst first.
	Problems []Problem `json:"problems"`
	// SampleAges are those of the pods that are served.
	SampleAges Histogram `json:"sampleAges"`
	// ScrapeDurations are those of the last scrape of each node.
	ScrapeDurations Histogram `json:"scrapeDurations"`
	// Nodes are the ones that were asked for.
	Nodes []Node `json:"nodes"`
	// WithheldPods are the ones that were asked for.
	WithheldPods WithheldPods `json:"withheldPods"`
}

// Level is how bad something is.
type Level string

// Levels, the best first.
const (
	LevelOK       Level = "ok"
	LevelNotice   Level = "notice"   // nothing to do yet
	LevelWarning  Level = "warning"  // some is wrong, or will be
	LevelCritical Level = "critical" // much is wrong
)

// Verdict says in a sentence what is wrong, and in another what to do. Commands and flags
// are between backquotes, as in all texts of this package.
type Verdict struct {
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Server is one server: its build and its configuration.
type Server struct {
	// Name is that of the pod or machine.
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	GoVersion string    `json:"goVersion"`
	Platform  string    `json:"platform"`
	Started   time.Time `json:"started"`

	Resolution     float64 `json:"resolutionSeconds"`
	MaxAge         float64 `json:"maxAgeSeconds"`
	RequestTimeout float64 `json:"kubeletRequestTimeoutSeconds"`
	// Workers is how many kubelets are scraped at the same time; 0 is chosen from the
	// number of nodes.
	Workers      int      `json:"scrapeWorkers"`
	NodeSelector string   `json:"nodeSelector,omitempty"`
	KubeletPort  int      `json:"kubeletPort"`
	AddressTypes []string `json:"kubeletAddressTypes"`
	// KubeletTLS is "verified", "not verified" or "none".
	KubeletTLS string `json:"kubeletTLS"`
	// MemoryLimit of Go's heap in bytes, 0 for none.
	MemoryLimit int64 `json:"memoryLimitBytes,omitempty"`
	// Flags are those that were given, by name. None has a secret value.
	Flags map[string]string `json:"flags"`
}

// Check is a health check.
type Check struct {
	Name string `json:"name"`
	// Message is why it fails, "" if it does not.
	Message string `json:"message,omitempty"`
}

// Totals count nodes and pods.
type Totals struct {
	Nodes int `json:"nodes"`
	// NodesByState has all states.
	NodesByState map[State]int `json:"nodesByState"`
	NodesServed  int           `json:"nodesServed"`
	PodsServed   int           `json:"podsServed"`
	// PodsWithheld run according to the API server and are not served, by reason.
	PodsWithheld map[string]int `json:"podsWithheld"`
	// FirstCertificateExpires is the next end of a kubelet's serving certificate.
	FirstCertificateExpires time.Time `json:"firstCertificateExpires,omitzero"`
	// CertificatesExpiring is how many end within 14 days, or have ended.
	CertificatesExpiring int `json:"certificatesExpiring"`
}

// State is how a node is.
type State string

// States of a node, the worst first. A node has the worst that applies.
const (
	// StateFailing: its last two scrapes or more have failed. What is known of it is
	// served until the maximum age.
	StateFailing State = "failing"
	// StateWithheld: its scrapes succeed, and its own usage is not served.
	StateWithheld State = "withheld"
	// StatePartial: something was left out of its last answer, because it cannot be true
	// or is another's.
	StatePartial State = "partial"
	// StateRetrying: its last scrape has failed, and the one before has not.
	StateRetrying State = "retrying"
	// StateNew: it has not been scraped as often yet as it takes to serve it.
	StateNew State = "new"
	// StateOK: it is served.
	StateOK State = "ok"
)

// States are all, the worst first.
func States() []State {
	return []State{StateFailing, StateWithheld, StatePartial, StateRetrying, StateNew, StateOK}
}

// Node is one node.
type Node struct {
	Name string `json:"name"`
	// Address is the host and port that are scraped, "" if the node states none.
	Address string `json:"address,omitempty"`
	State   State  `json:"state"`
	// Reason of a state that is not ok, as in metrics and logs, and what happened.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Since is when the state began, where that is known.
	Since time.Time `json:"since,omitzero"`
	// Failures in a row.
	Failures    int       `json:"failures,omitempty"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// Duration of the last scrape.
	Duration float64 `json:"scrapeDurationSeconds,omitempty"`
	// Served tells whether the node's own usage can be read from the API.
	Served bool `json:"served"`
	// Sample is the time of its last sample.
	Sample    time.Time `json:"sampleTime,omitzero"`
	SampleAge float64   `json:"sampleAgeSeconds,omitempty"`
	// PodsServed and PodsWithheld run there according to the API server.
	PodsServed   int `json:"podsServed"`
	PodsWithheld int `json:"podsWithheld"`
	// CertificateExpires is the end of the serving certificate that the kubelet has shown
	// last.
	CertificateExpires time.Time `json:"certificateExpires,omitzero"`
}

// Problem is what some nodes have in common.
type Problem struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
	Nodes  int    `json:"nodes"`
	// Meaning and Remedy are clauses for a person.
	Meaning string `json:"meaning"`
	Remedy  string `json:"remedy,omitempty"`
	// Example is the name of one of the nodes, with what happened there.
	Example string `json:"example"`
	Message string `json:"message,omitempty"`
}

// WithheldPods are pods that run according to the API server and are not served.
type WithheldPods struct {
	// Selected is how many were asked for; at most 1,000 of them are in Pods, in the
	// order of namespace and name.
	Selected int   `json:"selected"`
	Pods     []Pod `json:"pods"`
}

// Pod is a pod that is withheld.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Node      string `json:"node"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
}

// Histogram counts by value, in seconds.
type Histogram struct {
	Buckets []Bucket `json:"buckets"`
	// Greatest of the values.
	Greatest float64 `json:"greatestSeconds"`
}

// Bucket counts the values up to a bound, and over that of the bucket before.
type Bucket struct {
	// UpTo is 0 in the last bucket, which has no bound.
	UpTo  float64 `json:"upToSeconds,omitempty"`
	Count int     `json:"count"`
}
