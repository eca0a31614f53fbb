// Package kinesisapi serves a stream.Engine over the HTTP API of Amazon Kinesis Data Streams as it was in November 2026: 45
// operations, JSON and CBOR. Every operation has a file of its own, headed by what AWS does, what Leat does and how they differ;
// docs/kinesis-api.md is the table of all of them.
//
// A put is answered when its records are durable, and not before. What the engine does not know of a stream (tags, mode,
// encryption, consumers and so on) is kept in the engine's state under the prefix "kinesisapi/", bound to the creation of the
// stream: what is left of a deleted stream is never taken for that of its successor.
//
// Streams of the configured region and account have their plain name in the engine; those of others are called
// REGION/ACCOUNT/NAME there.
package kinesisapi
