// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

var numberCases = []string{
	"0", "1", "42.133412598", "0.013377914", "5.4222848e+07", "1.7954326841765418e+09", "1e22", "1e23", "1e-22", "1e-23",
	"9007199254740992", "9007199254740993", "9007199254740993e-3", "9999999999999999999", "99999999999999999999",
	"18446744073709551615", "0000000000000000001", "00000000000000000001", ".5", "5.", ".", "", "e5", "1e5", "1e+5", "1e+05",
	"1e+005", "1e+308", "1e+309", "1e-400", "+1", "-1", "-0", "NaN", "+Inf", "inf", "0x10", "1_000", "1p5", "1E+05", "1.5e+10x",
	"4.9406564584124654e-32", "123456789012345678e-18", "8.5e+99", "0.1e+22", "1e", "1e+", "1e+1",
}

func TestNumber(t *testing.T) {
	for _, c := range numberCases {
		checkNumber(t, c)
	}
}

// Numbers as the Go clients write them must go the quick way.
func TestNumberOfGoClients(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		value := float64(r.Uint64N(1e17)) / math.Pow10(r.IntN(12))
		token := strconv.FormatFloat(value, 'g', -1, 64)
		if _, n := plainNumber([]byte(token)); n != len(token) {
			t.Fatalf("%s is not read", token)
		}
		checkNumber(t, token)
	}
}

// checkNumber checks that what is read, is read as strconv reads it, alone or
// with something after it.
func checkNumber(t *testing.T, token string) {
	t.Helper()
	for _, after := range []string{"", " ", "\n", " 5\n"} {
		got, n := plainNumber([]byte(token + after))
		if n == 0 {
			continue
		}
		want, err := strconv.ParseFloat((token + after)[:n], 64)
		if err != nil || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%q: got %v from %d bytes, want %v, %v", token+after, got, n, want, err)
		}
		if rest := (token + after)[n:]; rest != "" && rest[0] != ' ' && rest[0] != '\n' {
			t.Errorf("%q: stopped at %q", token+after, rest)
		}
	}
}
