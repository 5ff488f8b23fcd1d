// Package kueue tests the operator against Kueue's own manager: its CRDs, its webhooks, its access rights and its
// scheduling of Jobs, on a real control plane whose nodes KWOK plays. The tests run with HRM_TEST_KUEUE=1.
package kueue
