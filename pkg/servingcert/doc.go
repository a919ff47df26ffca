// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package servingcert makes and rotates the certificate that replicas of a server
// behind the API aggregation layer serve with, and keeps the CA bundle of their
// APIServices.
//
// # State
//
// One Secret has it all, so that replicas need no leader: CA certificates (ca.crt),
// the keys of those that may still sign (ca.key), and one serving certificate with
// its key (tls.crt, tls.key). An authority of ca.crt without a key is only trusted.
// A replica keeps in memory what the Secret had when it last was good. Every step
// reads the API server anew; watches only say when. Every write names the
// resourceVersion that it was decided on, so that of two replicas one wins, and the
// other begins again with what that one wrote.
//
// # A step
//
//  1. Read the APIServices, and then the Secret.
//  2. What is bad in the Secret is left out. If no authority in it can sign, memory
//     fills in; the first time, that is a newly made authority with a certificate. So
//     a Secret that was deleted is restored, and one with garbage repaired. Authorities
//     that are known from memory, or from APIServices while none in the Secret can
//     sign, stay trusted until they expire: something signed by them may be served. If
//     the APIServices cannot be read then, the step ends here.
//  3. An authority leaves when it has expired. When all that can sign have lived four
//     fifths of their life, another is added.
//  4. The serving certificate is replaced after two thirds of its life, when a DNS name
//     is missing, when it is valid for longer than is wanted, and when it is bad. It is
//     signed by the authority that signed the one before, or by a settled one: one that
//     this replica has seen in every APIService that verifies, for the settle time (a
//     twelfth of the serving certificate's life, an hour at most). Only when there is
//     nothing to lose, because there is no good certificate or it expires within the
//     settle time, may any authority sign. The keys of those that have lived four
//     fifths of their life are dropped once a younger one signs.
//  5. Write the Secret if this changed it, then the authorities to each APIService that
//     verifies and has others. Since the Secret was read after the APIService and is
//     written before it, a bundle is never replaced by an older one.
//  6. Serve the Secret's certificate, if it is signed by the authority of the one served
//     now, or by a settled one. Otherwise go on with the one served now while it is good.
//
// Therefore every certificate that is served verifies with every bundle that an
// aggregator may still have, however late replicas are, as long as aggregators learn
// of a bundle within the settle time, and clocks differ by less than an hour (or a
// twentieth of the validity, if that is less). A replica that is cut off goes on with
// its certificate; the authority of it stays trusted until it expires, which is later.
//
// An authority that must be trusted no longer, because its key has leaked, is gone for
// good when all replicas are stopped, the Secret is deleted and caBundle is removed
// from the APIServices before they are started again.
package servingcert
