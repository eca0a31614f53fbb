package httpstream

// NewFraming is for tests.
var NewFraming = newFraming
