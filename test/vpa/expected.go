// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package vpa

import "math"

// ExpectedCPU is what is recommended, in millicores, to a container that uses so many all
// the time.
func ExpectedCPU(millicores float64) float64 { return expected(millicores, 10) }

// ExpectedMemory is what is recommended, in bytes, to a container that uses so many.
func ExpectedMemory(bytes float64) float64 { return expected(bytes, 1e7) }

// expected is 15 % more than the end of the usage's bucket in a histogram. Each bucket is 5 %
// wider than the one before.
func expected(usage, firstBucket float64) float64 {
	// Not constants: those are exact, and the recommender's floats are not.
	growth, margin := 1.05, 0.15
	bucket := math.Floor(math.Log(usage/firstBucket*(growth-1)+1) / math.Log(growth))
	end := math.Floor(firstBucket * (math.Pow(growth, bucket+1) - 1) / (growth - 1))
	return end + math.Floor(end*margin)
}
