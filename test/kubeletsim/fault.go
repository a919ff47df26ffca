// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Fault is one thing that can be wrong with a kubelet. Faults are switched on
// and off with Node.SetFaults and combine with one another, except that the
// last of several about one thing (the status, the certificate) counts.
type Fault struct {
	name  string
	apply func(*Node, *faults) error
}

func (f Fault) String() string { return f.name }

// SetFaults makes the given faults, and no others, those of the node; without
// arguments the node is sound. Each call starts its faults anew: times and random
// sequences begin again. Faults that concern connections close the ones that are
// open. A fault that does not fit the node (a container or a metric
// family that does not exist, a parameter out of range) is an error and nothing
// changes.
func (n *Node) SetFaults(list ...Fault) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := &faults{since: n.clock.Now()}
	for _, f := range list {
		if err := f.apply(n, next); err != nil {
			return fmt.Errorf("fault %q of node %s: %w", f.name, n.name, err)
		}
	}
	reconnect := next.resetConnections || next.certificate != n.faults.certificate
	if next.certificate != n.faults.certificate {
		n.certificate = nil
	}
	n.faults = next
	if reconnect {
		n.closeConnections()
	}
	return nil
}

// faults is what is wrong with a node. It does not change once it is in use.
type faults struct {
	since time.Time // when they were switched on

	resetConnections bool
	certificate      certificateKind

	delay             time.Duration
	hang              bool
	status            int
	noResourceMetrics bool
	random            *randomFailure
	body              bodyFaults
	raw               *rawResponse

	frozen     bool
	skew       time.Duration
	missing    [numFamilies]bool
	timeless   bool
	containers map[ContainerRef]containerFault
	override   map[ContainerRef]map[familyID]float64
	extra      []*identity
}

type containerFault struct {
	zero bool
	// less is what the counter has lost by a reset, in nanoseconds.
	less uint64
}

// sound is what a node without faults has.
var sound = &faults{}

func newFault(name string, set func(*faults)) Fault {
	return Fault{name, func(_ *Node, f *faults) error {
		set(f)
		return nil
	}}
}

// ConnectionReset has every connection reset as soon as it is accepted, before
// TLS. It is the nearest thing to a refused connection: the nodes share one
// listener, so the kernel has accepted by then.
func ConnectionReset() Fault {
	return newFault("connection reset", func(f *faults) { f.resetConnections = true })
}

// WrongName serves a certificate for another name and another address.
func WrongName() Fault {
	return newFault("certificate for another name", func(f *faults) { f.certificate = wrongName })
}

// WrongCA serves a certificate that another CA has signed.
func WrongCA() Fault {
	return newFault("certificate of another CA", func(f *faults) { f.certificate = wrongCA })
}

// Expired serves a certificate that has expired.
func Expired() Fault {
	return newFault("expired certificate", func(f *faults) { f.certificate = expired })
}

// SelfSigned serves a certificate that is its own issuer.
func SelfSigned() Fault {
	return newFault("self-signed certificate", func(f *faults) { f.certificate = selfSigned })
}

// Slow waits for the given time, by the simulation's clock, before it answers.
func Slow(delay time.Duration) Fault {
	return newFault("slow "+delay.String(), func(f *faults) { f.delay = delay })
}

// Hang never answers: a request ends when the client leaves.
func Hang() Fault {
	return newFault("hang", func(f *faults) { f.hang = true })
}

// Status answers every request with an HTTP error: 401, 403, 500 and so on.
func Status(code int) Fault {
	return Fault{fmt.Sprintf("status %d", code), func(_ *Node, f *faults) error {
		if code < 400 || code > 599 {
			return fmt.Errorf("%d is no HTTP error; use 400 to 599", code)
		}
		f.status = code
		return nil
	}}
}

// ResourceMetricsNotFound answers 404 on /metrics/resource only, like a kubelet
// too old to know it; /stats/summary still answers.
func ResourceMetricsNotFound() Fault {
	return newFault("no /metrics/resource", func(f *faults) { f.noResourceMetrics = true })
}

// RandomFailure answers 500 with the given probability. The seed and the node
// decide which requests fail, so that a run can be repeated.
func RandomFailure(probability float64, seed uint64) Fault {
	return Fault{fmt.Sprintf("random failure %v", probability), func(n *Node, f *faults) error {
		if !(probability >= 0 && probability <= 1) {
			return fmt.Errorf("%v is no probability; use 0 to 1", probability)
		}
		f.random = &randomFailure{probability, rand.New(rand.NewPCG(seed, uint64(n.index)))}
		return nil
	}}
}

type randomFailure struct {
	probability float64
	source      *rand.Rand // used under Node.mu
}

// fails draws whether the next request fails.
func (n *Node) fails(f *faults) bool {
	if f.random == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return f.random.source.Float64() < f.random.probability
}

// Frozen repeats the samples of the time at which the fault was switched on.
func Frozen() Fault {
	return newFault("frozen samples", func(f *faults) { f.frozen = true })
}

// ClockSkew shifts the times that the kubelet reports, of samples and of starts,
// as a clock that is wrong by this much would.
func ClockSkew(by time.Duration) Fault {
	return newFault("clock skew "+by.String(), func(f *faults) { f.skew = by })
}

// MissingFamilies leaves out metric families, and from /stats/summary the fields
// that correspond to them.
func MissingFamilies(names ...string) Fault {
	return Fault{"missing " + strings.Join(names, ", "), func(_ *Node, f *faults) error {
		for _, name := range names {
			id, err := familyByName(name)
			if err != nil {
				return err
			}
			f.missing[id] = true
		}
		return nil
	}}
}

// MissingTimestamps leaves out the times of all samples.
func MissingTimestamps() Fault {
	return newFault("missing timestamps", func(f *faults) { f.timeless = true })
}

// CounterReset takes the CPU counter of a container back to 0 at the time at
// which the fault is switched on, without a new start time.
func CounterReset(ref ContainerRef) Fault {
	return Fault{"counter reset of " + ref.String(), func(n *Node, f *faults) error {
		r, err := n.mustRun(ref)
		if err != nil {
			return err
		}
		c := f.container(ref)
		c.less = r.cpuNanoseconds(f.since.UnixNano())
		f.containers[ref] = c
		return nil
	}}
}

// ZeroContainer reports 0 for the CPU counter and the working set of a
// container, as a kubelet does for an init container that has finished.
func ZeroContainer(ref ContainerRef) Fault {
	return Fault{"zero container " + ref.String(), func(n *Node, f *faults) error {
		if _, err := n.mustRun(ref); err != nil {
			return err
		}
		c := f.container(ref)
		c.zero = true
		f.containers[ref] = c
		return nil
	}}
}

// BadValue reports the given value, such as NaN, an infinity or a negative
// number, in one family of a container; an empty ref stands for the node. It
// does not show in /stats/summary, whose integers cannot hold such values.
func BadValue(familyName string, ref ContainerRef, value float64) Fault {
	return Fault{fmt.Sprintf("%s of %s is %v", familyName, ref, value), func(n *Node, f *faults) error {
		id, err := familyByName(familyName)
		if err != nil {
			return err
		}
		wanted := perContainer
		if ref == (ContainerRef{}) {
			wanted = perNode
		} else if _, err := n.mustRun(ref); err != nil {
			return err
		}
		if families[id].scope != wanted {
			return fmt.Errorf("use a container_ family with a container and a node_ family without")
		}
		if f.override == nil {
			f.override = make(map[ContainerRef]map[familyID]float64)
		}
		if f.override[ref] == nil {
			f.override[ref] = make(map[familyID]float64)
		}
		f.override[ref][id] = value
		return nil
	}}
}

// HugeLabels adds a container whose pod has a name of the given length.
func HugeLabels(bytes int) Fault {
	return newFault(fmt.Sprintf("label of %d bytes", bytes), func(f *faults) {
		f.addExtra(strings.Repeat("x", bytes))
	})
}

// ExtraContainers adds containers that no pod of the API server owns, each in a
// pod of its own: too many series for a kubelet that can be trusted.
func ExtraContainers(n int) Fault {
	return newFault(fmt.Sprintf("%d extra containers", n), func(f *faults) {
		for i := range n {
			f.addExtra(fmt.Sprintf("extra-%07d", i))
		}
	})
}

func (f *faults) addExtra(pod string) {
	f.extra = append(f.extra, &identity{namespace: "extra", pod: pod, container: "extra"})
}

func (f *faults) container(ref ContainerRef) containerFault {
	if f.containers == nil {
		f.containers = make(map[ContainerRef]containerFault)
	}
	return f.containers[ref]
}

func (n *Node) mustRun(ref ContainerRef) (*run, error) {
	r := n.run(ref)
	if r == nil {
		return nil, fmt.Errorf("the node has no container %s; add its pod first", ref)
	}
	return r, nil
}

// What an extra container uses.
const (
	extraCPU    = uint64(time.Second)
	extraMemory = 1 << 20
)

// distort applies the faults that concern values. It is called under Node.mu,
// under which labels of extra containers are encoded too.
func (f *faults) distort(s *snapshot) {
	s.missing, s.timeless = f.missing, f.timeless
	f.distortContainers(s.samples[perContainer])
	s.samples[perNode][0].override = f.override[ContainerRef{}]
	f.addExtraSamples(s)
	if f.skew != 0 {
		for _, samples := range s.samples {
			skew(samples, f.skew)
		}
	}
}

func (f *faults) distortContainers(samples []sample) {
	if len(f.containers) == 0 && len(f.override) == 0 {
		return
	}
	for i := range samples {
		s := &samples[i]
		ref := ContainerRef{s.namespace, s.pod, s.container}
		s.override = f.override[ref]
		fault := f.containers[ref]
		s.cpu -= min(s.cpu, fault.less)
		if fault.zero {
			s.cpu, s.memory = 0, 0
		}
	}
}

func (f *faults) addExtraSamples(s *snapshot) {
	node := s.samples[perNode][0]
	for _, id := range f.extra {
		s.samples[perContainer] = append(s.samples[perContainer], sample{
			identity: id,
			usage:    usage{cpu: extraCPU, memory: extraMemory},
			time:     node.time,
			start:    node.start,
		})
	}
}

func skew(samples []sample, by time.Duration) {
	for i := range samples {
		samples[i].time += by.Milliseconds()
		samples[i].start += by.Nanoseconds()
	}
}
