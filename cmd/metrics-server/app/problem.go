// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"crypto/tls"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/audit/policy"
	certutil "k8s.io/client-go/util/cert"
)

// badValue is a flag with a value that is not allowed, and what is.
func badValue(flag string, value any, format string, args ...any) error {
	return fmt.Errorf("--%s=%v: %w", flag, value, fmt.Errorf(format, args...))
}

// exclusive is two flags of which only one may be given.
func exclusive(flag, other, reason string) error {
	return fmt.Errorf("--%s and --%s exclude each other: %s", flag, other, reason)
}

// parseName reads the namespace and the name of an object, separated by a slash.
func parseName(value string) (types.NamespacedName, error) {
	namespace, name, _ := strings.Cut(value, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, fmt.Errorf("%q is not the namespace and the name of an object", value)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

// problems keeps what is not nil.
func problems(errs ...error) []error {
	var found []error
	for _, err := range errs {
		if err != nil {
			found = append(found, err)
		}
	}
	return found
}

// checkCA checks a file of certificates, if one is given.
func checkCA(flag, file string) error {
	if file == "" {
		return nil
	}
	if _, err := certutil.CertsFromFile(file); err != nil {
		return badValue(flag, file, "must be a file with PEM certificates: %w", err)
	}
	return nil
}

// checkKeyPair checks the files of a certificate and its key: both or none.
func checkKeyPair(certFlag, certFile, keyFlag, keyFile string) error {
	switch {
	case certFile == "" && keyFile == "":
		return nil
	case keyFile == "":
		return badValue(certFlag, certFile, "needs --%s, too", keyFlag)
	case certFile == "":
		return badValue(keyFlag, keyFile, "needs --%s, too", certFlag)
	}
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		return fmt.Errorf("--%s=%s and --%s=%s: must be a PEM certificate and its private key: %w", certFlag, certFile, keyFlag, keyFile, err)
	}
	return nil
}

// checkKubeconfig checks a kubeconfig file; without one this must be a pod.
func checkKubeconfig(flag, file string) error {
	_, err := loadKubeconfig(flag, file)
	return err
}

func checkAuditPolicy(flag, file string) error {
	if file == "" {
		return nil
	}
	if _, err := policy.LoadPolicyFromFile(file); err != nil {
		return badValue(flag, file, "must be an audit policy: %w", err)
	}
	return nil
}
