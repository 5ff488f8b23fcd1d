// Package e2e holds the end-to-end cases: each makes one fault on a real cluster, with the real images, a real S3 server
// and models that really train, and says exactly how the job must come out of it.
//
// `make e2e` runs them all, `make e2e RUN=Suspend` those whose name matches. Cases that upset the whole cluster run one
// after the other, the rest side by side, each in a namespace of its own.
package e2e
