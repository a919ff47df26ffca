// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// waker wakes the manager whenever something may have changed. It implements
// cache.ReflectorStore and keeps nothing: what there is, is read anew.
type waker chan struct{}

func (w waker) wake() {
	select {
	case w <- struct{}{}:
	default: // it is to wake up already
	}
}

func (w waker) Add(any) error    { w.wake(); return nil }
func (w waker) Update(any) error { w.wake(); return nil }
func (w waker) Delete(any) error { w.wake(); return nil }

func (w waker) Replace([]any, string) error { w.wake(); return nil }

func (w waker) Resync() error { return nil }

// lister is a client of one type of objects.
type lister[L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// watch calls w until ctx is cancelled. It needs no rights but those to the names.
func (a *apiServer) watch(ctx context.Context, w waker) {
	var running sync.WaitGroup
	running.Go(func() { follow(ctx, a.secrets, a.name, w) })
	for _, name := range apiServiceNames {
		running.Go(func() { follow(ctx, a.apiServices, name, w) })
	}
	running.Wait()
}

// follow watches one object.
func follow[L runtime.Object](ctx context.Context, client lister[L], name string, w waker) {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return client.Watch(ctx, o)
		},
	}
	cache.NewReflectorWithOptions(lw, nil, w, cache.ReflectorOptions{Name: name, TypeDescription: name}).RunWithContext(ctx)
}
