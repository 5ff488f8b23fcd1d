// Package suite settles a question with several training jobs: a [Suite] is a document that names a base job and a matrix of changes
// to it. [Suite.Runs] makes jobs of it. Everything here is pure: who runs jobs, and reads what they left, is the command line.
package suite
