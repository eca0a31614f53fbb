package kinesisapi

import (
	"github.com/leatstream/leat"
)

type throttle struct{}

func (t *throttle) puts(*puts) error                                { return nil }
func (t *throttle) iterator(*call, *streamView, leat.ShardID) error { return nil }
func (t *throttle) read(*call, *streamView, leat.ShardID) error     { return nil }
func (t *throttle) answered(*call, *streamView, *leat.Batch)        {}
