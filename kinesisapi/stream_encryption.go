package kinesisapi

import (
	"regexp"
)

// StartStreamEncryption, StopStreamEncryption
//
// AWS encrypts records that are put from now on with a key of KMS, or stops that; the stream is UPDATING and then ACTIVE, and puts and
// reads answer EncryptionType KMS.
//
// Leat keeps the same states and answers and encrypts nothing: there is no KMS, so its six errors never occur. Encrypt the disk.
//
// Limits: 25 changes of each kind in 24 hours, with Config.Throttle. Differences: a read answers the encryption that the stream has now, not the
// one that the record was put with.

const maxKeyChanges = 25

func (c *call) startEncryption() (value, error) { return c.setEncryption(kms) }

func (c *call) stopEncryption() (value, error) { return c.setEncryption(noKey) }

// keyIDs are the forms of a key: an id, an ARN of a key or an alias, or the name of an alias.
var keyIDs = regexp.MustCompile(`^(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-f]{32}|arn:aws[^:]*:kms:[^:]*:\d{12}:(?:key|alias)/\S+|alias/\S+)$`)

func (c *call) setEncryption(kind string) (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	if c.in.str("EncryptionType") != kms {
		return value{}, invalid("EncryptionType must be %s.", kms)
	}
	if !keyIDs.MatchString(c.in.str("KeyId")) {
		return value{}, invalid("KeyId %s is neither the id nor the ARN nor the alias of a key.", c.in.str("KeyId"))
	}
	return value{}, c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		calls := &m.Keys
		if kind == noKey {
			calls = &m.Unkeys
		}
		*calls = lastDay(*calls, c.now)
		if c.s.cfg.Throttle && len(*calls) >= maxKeyChanges {
			return limitExceeded("%s can be called %d times in 24 hours for stream %s under account %s.", c.op.name, maxKeyChanges, c.name, c.account)
		}
		*calls = append(*calls, c.now.UnixMilli())
		m.Encryption, m.KeyID = kind, c.in.str("KeyId")
		if kind == noKey {
			m.KeyID = ""
		}
		m.Status, m.Until = c.s.enter(statusUpdating, c.now)
		return nil
	})
}
