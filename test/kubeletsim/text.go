// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"math"
	"strconv"
	"strings"
)

// appendText appends the answer in the Prometheus text format, version 0.0.4.
func (s *snapshot) appendText(b []byte) []byte {
	for i := range families {
		f := &families[i]
		samples := s.samples[f.scope]
		if s.missing[i] || len(samples) == 0 {
			continue
		}
		b = append(b, f.textHeader...)
		for j := range samples {
			b = f.appendTextSeries(b, &samples[j], s.timeless)
		}
	}
	return b
}

func (f *family) appendTextSeries(b []byte, s *sample, timeless bool) []byte {
	b = append(b, f.name...)
	b = append(b, s.textLabels()...)
	b = append(b, ' ')
	b = appendFloat(b, f.valueOf(s))
	if !f.timeless && !timeless {
		b = append(b, ' ')
		b = strconv.AppendInt(b, s.time, 10)
	}
	return append(b, '\n')
}

// appendFloat spells the special values as the format has them; strconv does not.
func appendFloat(b []byte, v float64) []byte {
	switch {
	case v == 0:
		return append(b, '0')
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	default:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	}
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// textLabels is the part of a series in braces, empty for a node.
func (id *identity) textLabels() string {
	if id.text == "" && id.pod != "" {
		id.text = id.encodeText()
	}
	return id.text
}

func (id *identity) encodeText() string {
	var b strings.Builder
	separator := byte('{')
	for _, l := range id.labels() {
		b.WriteByte(separator)
		b.WriteString(l.name + `="` + labelEscaper.Replace(l.value) + `"`)
		separator = ','
	}
	b.WriteByte('}')
	return b.String()
}
