// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import "strconv"

// powersOf10 are those that a float64 holds exactly.
var powersOf10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// maxPlainDigits is how many decimal digits always fit an uint64.
const maxPlainDigits = 19

// plainNumber reads the number that b starts with, if it is written as the Go
// clients write it: digits, with or without fraction and exponent, up to a space,
// a newline or the end of b. It gives the length, or 0 if the number is written
// otherwise.
//
// The value is that of strconv.ParseFloat: where both the digits and the power
// of ten are exact in a float64, one multiplication or division rounds
// correctly (Clinger, How to Read Floating Point Numbers Accurately, 1990);
// elsewhere strconv is asked.
func plainNumber(b []byte) (float64, int) {
	var mantissa uint64
	i := 0
	for i < len(b) && isDigit(b[i]) {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		i++
	}
	digits := i
	exponent := 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && isDigit(b[i]) {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			i++
		}
		exponent = point - i
		digits += i - point
	}
	if digits == 0 || digits > maxPlainDigits {
		return 0, 0
	}
	if i < len(b) && b[i] == 'e' {
		e, n := plainExponent(b[i+1:])
		if n == 0 {
			return 0, 0
		}
		exponent += e
		i += 1 + n
	}
	if i < len(b) && b[i] != ' ' && b[i] != '\n' {
		return 0, 0
	}
	if mantissa <= 1<<53 && -len(powersOf10) < exponent && exponent < len(powersOf10) {
		if exponent < 0 {
			return float64(mantissa) / powersOf10[-exponent], i
		}
		return float64(mantissa) * powersOf10[exponent], i
	}
	value, err := strconv.ParseFloat(string(b[:i]), 64)
	if err != nil {
		return 0, 0
	}
	return value, i
}

// plainExponent reads a sign and two digits. It gives the length, or 0 if b
// starts otherwise.
func plainExponent(b []byte) (exponent, length int) {
	if len(b) < 3 || !isDigit(b[1]) || !isDigit(b[2]) {
		return 0, 0
	}
	exponent = int(b[1]-'0')*10 + int(b[2]-'0')
	switch b[0] {
	case '+':
		return exponent, 3
	case '-':
		return -exponent, 3
	}
	return 0, 0
}

// plainTimestamp reads the digits that b starts with. It gives how many they
// are, or 0 if they may be too many for an int64.
func plainTimestamp(b []byte) (milliseconds int64, length int) {
	i := 0
	for i < len(b) && isDigit(b[i]) {
		milliseconds = milliseconds*10 + int64(b[i]-'0')
		i++
	}
	if i >= maxPlainDigits {
		return 0, 0
	}
	return milliseconds, i
}
