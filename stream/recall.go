package stream

// Recaller is implemented by an Engine whose streams do not keep the sources and identities of events, but which has put them elsewhere for a
// while. Recall returns where the newest events of a stream lie with both, in the order in which they were put.
type Recaller interface {
	Recall(stream string) (e Engine, name string)
}
