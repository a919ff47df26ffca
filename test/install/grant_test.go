// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
)

// grant is the right to do one thing.
type grant struct{ verb, group, resource, name string }

func (g grant) String() string {
	return fmt.Sprintf("%s %s.%s %q", g.verb, g.resource, g.group, g.name)
}

// grantsOf takes rules apart.
func grantsOf(rules []rbacv1.PolicyRule) (all []grant) {
	for _, r := range rules {
		names := r.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, name := range names {
					for _, verb := range r.Verbs {
						all = append(all, grant{verb, group, resource, name})
					}
				}
			}
		}
	}
	return all
}

// rulesWithout are rules for all grants but one.
func rulesWithout(grants []grant, missing grant) (rules []rbacv1.PolicyRule) {
	for _, g := range grants {
		if g == missing {
			continue
		}
		r := rbacv1.PolicyRule{APIGroups: []string{g.group}, Resources: []string{g.resource}, Verbs: []string{g.verb}}
		if g.name != "" {
			r.ResourceNames = []string{g.name}
		}
		rules = append(rules, r)
	}
	return rules
}
