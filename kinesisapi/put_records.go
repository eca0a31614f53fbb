package kinesisapi

import (
	"strconv"

	"github.com/leatstream/leat"
)

// PutRecords
//
// AWS stores up to 500 records and answers for each, in the order of the request, either where it is or why it was refused; also when
// all were refused, the answer has the status 200. An ExplicitHashKey out of range fails the whole call.
//
// Leat stores all records of a request with one commit and answers when they are durable. Records of one shard keep the order of
// the request, which AWS does not promise.
//
// Limits: 500 records, 10 MiB of keys and payloads, and for each record the limit of its stream.
//
// Differences: a disk that is nearly full fails the whole call with InternalFailureException. Texts for what is over a limit of size are
// not known of AWS; there, as here, the whole call fails.

func (c *call) putRecords() error {
	records := c.in.get("Records").list
	for i := range records {
		if err := c.addEvent(&records[i]); err != nil {
			return err
		}
	}
	return c.putScanned()
}

// putScanned stores what is in scratch.events.
func (c *call) putScanned() error {
	if err := c.target(); err != nil {
		return err
	}
	p := puts{c: c, at: func(i int) string { return "records." + strconv.Itoa(i+1) + ".member." }}
	if err := p.write(); err != nil {
		return err
	}
	if c.cbor {
		c.scratch.out = p.appendCBOR(c.scratch.out)
	} else {
		c.scratch.out = p.appendJSON(c.scratch.out)
	}
	return nil
}

func (p *puts) appendJSON(out []byte) []byte {
	out = grow(out, 64+len(p.placed)*136)
	out = append(out, `{"FailedRecordCount":`...)
	out = strconv.AppendInt(out, int64(p.failed), 10)
	if kind := p.stream.meta.encryption(); kind != noKey {
		out = append(out, `,"EncryptionType":"`+kind+`"`...)
	}
	out = append(out, `,"Records":[`...)
	for i := range p.placed {
		if i > 0 {
			out = append(out, ',')
		}
		if p.failed > 0 && p.refused[i].code != "" {
			v := p.refused[i].value()
			out = appendJSON(out, &v)
			continue
		}
		out = append(out, `{"SequenceNumber":"`...)
		out = appendSequence(out, p.placed[i].Sequence)
		out = append(out, `","ShardId":"`...)
		out = appendShardID(out, p.placed[i].Shard)
		out = append(out, `"}`...)
	}
	return append(out, `]}`...)
}

func (p *puts) appendCBOR(out []byte) []byte {
	out = grow(out, 64+len(p.placed)*112)
	kind, members := p.stream.meta.encryption(), uint64(2)
	if kind != noKey {
		members++
	}
	out = appendHead(out, cborMap, members)
	out = appendCBORText(out, "FailedRecordCount")
	out = appendHead(out, cborUint, uint64(p.failed))
	if kind != noKey {
		out = appendCBORText(out, "EncryptionType")
		out = appendCBORText(out, kind)
	}
	out = appendCBORText(out, "Records")
	out = appendHead(out, cborArray, uint64(len(p.placed)))
	for i := range p.placed {
		if p.failed > 0 && p.refused[i].code != "" {
			v := p.refused[i].value()
			out = appendCBOR(out, &v)
			continue
		}
		out = appendHead(out, cborMap, 2)
		out = appendCBORText(out, "SequenceNumber")
		out = appendCBORSequence(out, p.placed[i].Sequence)
		out = appendCBORText(out, "ShardId")
		out = appendHead(out, cborText, shardIDLength)
		out = appendShardID(out, p.placed[i].Shard)
	}
	return out
}

func (r *refusal) value() value {
	return object(field{"ErrorCode", textOf(r.code)}, field{"ErrorMessage", textOf(r.text)})
}

const shardIDLength = uint64(len("shardId-000000000000"))

// appendShardID appends the text of id.
func appendShardID(out []byte, id leat.ShardID) []byte {
	out = append(out, "shardId-000000000000"...)
	for at := len(out) - 1; id > 0; at-- {
		out[at] = byte('0' + id%10)
		id /= 10
	}
	return out
}

func appendSequence(out []byte, s leat.SequenceNumber) []byte {
	text, _ := s.MarshalText() // never fails
	return append(out, text...)
}

func appendCBORSequence(out []byte, s leat.SequenceNumber) []byte {
	text, _ := s.MarshalText()
	return append(appendHead(out, cborText, uint64(len(text))), text...)
}
