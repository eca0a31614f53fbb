// Package torture holds tests alone: a whole pipeline, from a provider over the engine to a table and to files, runs in a
// process of its own that is killed at random instants, or loses its disk to a power cut. After it everything that was
// acknowledged must be there, once. The provider is one that goes back to any cursor, or one that forgets what is acknowledged.
//
// Each test carries its controls: the same harness, in the same run, over a pipeline with a seeded defect, which it must catch.
package torture
