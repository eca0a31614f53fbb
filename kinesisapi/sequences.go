package kinesisapi

import (
	"errors"
	"math/big"
	"time"
)

func millisTime(ms int64) time.Time { return time.UnixMilli(ms) }

// isNotFound reports whether err is the answer that something is not there.
func isNotFound(err error) bool {
	told := (*apiError)(nil)
	return errors.As(err, &told) && told.Type == "ResourceNotFoundException"
}

// oldLayout reports whether text is a sequence number of version 0, at which AWS fails with an InternalFailureException.
func oldLayout(text string) bool {
	n, ok := new(big.Int).SetString(text, 10)
	return ok && n.Sign() >= 0 && n.BitLen() <= 129
}
