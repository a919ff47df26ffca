// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
)

// event is what matters of one in the API server's audit log.
type event struct {
	Verb       string
	RequestURI string
	User       struct{ Username string }
	ObjectRef  struct{ APIGroup, Resource, Subresource, Name string }

	ResponseStatus struct{ Code int }
	Annotations    map[string]string
}

func (e event) refused() bool { return e.ResponseStatus.Code == http.StatusForbidden }

// grants are the rights that the request takes.
func (e event) grants() []grant {
	g := grant{e.Verb, e.ObjectRef.APIGroup, e.ObjectRef.Resource, e.ObjectRef.Name}
	if e.ObjectRef.Subresource != "" {
		g.resource += "/" + e.ObjectRef.Subresource
	}
	if e.Verb == "patch" && e.ResponseStatus.Code == http.StatusCreated {
		// It has created the object, for which the API server asks again.
		return []grant{g, {"create", g.group, g.resource, g.name}}
	}
	return []grant{g}
}

// auditEnd is where the log ends now.
func auditEnd(t *testing.T) int64 {
	t.Helper()
	return must[os.FileInfo](t)(os.Stat(auditLog)).Size()
}

// eventsOf are those of a user, from a place in the log on.
func eventsOf(t *testing.T, user string, from int64) (all []event) {
	t.Helper()
	file := must[*os.File](t)(os.Open(auditLog))
	defer file.Close()
	must[int64](t)(file.Seek(from, io.SeekStart))
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		// The last line may not be whole yet.
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.User.Username == user {
			all = append(all, e)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
