package iterator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// Sealer makes and opens tokens. It may be used by any number of goroutines.
type Sealer struct {
	block  cipher.Block
	subkey [aes.BlockSize]byte // K1 of CMAC
}

// New returns the Sealer of a key. The key must be random and kept beside the data, so that tokens outlive a restart; whoever has it
// can make tokens.
func New(key [32]byte) *Sealer {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	s := &Sealer{block: block}
	block.Encrypt(s.subkey[:], s.subkey[:])
	carry := s.subkey[0] >> 7
	for i := range s.subkey {
		s.subkey[i] <<= 1
		if i+1 < len(s.subkey) {
			s.subkey[i] |= s.subkey[i+1] >> 7
		}
	}
	s.subkey[len(s.subkey)-1] ^= carry * 0x87
	return s
}

// The last byte of the header says what a token is for. A token of one kind does not open as another.
const (
	kindShard = 1
	kindList  = 2
)

const (
	headerSize = 8
	nonceSize  = 24
	overhead   = headerSize + nonceSize + 16
)

// seal returns a token of size bytes before base64; fields are filled up with zeros.
func (s *Sealer) seal(kind byte, fields []byte, size int) string {
	token := make([]byte, headerSize+nonceSize, size)
	token[headerSize-1] = kind
	nonce := token[headerSize:]
	_, _ = rand.Read(nonce) // never fails
	plain := make([]byte, size-overhead)
	copy(plain, fields)
	token = s.aead(nonce).Seal(token, nonce[12:], plain, token[:headerSize])
	return base64.StdEncoding.EncodeToString(token)
}

func (s *Sealer) open(kind byte, token string) ([]byte, error) {
	if n := len(token); n >= 2 && token[0] == '"' && token[n-1] == '"' {
		token = token[1 : n-1]
	}
	if strings.ContainsAny(token, "\r\n") { // base64 would pass over them
		return nil, ErrInvalid
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < overhead {
		return nil, ErrInvalid
	}
	header, nonce := raw[:headerSize], raw[headerSize:headerSize+nonceSize]
	if [headerSize]byte(header) != [headerSize]byte{headerSize - 1: kind} {
		return nil, ErrInvalid
	}
	sealed := raw[headerSize+nonceSize:]
	fields, err := s.aead(nonce).Open(sealed[:0], nonce[12:], sealed, header)
	if err != nil {
		return nil, ErrInvalid
	}
	return fields, nil
}

// aead derives the key of one token from the first half of its nonce, as XAES-256-GCM does: random nonces of 12 bytes alone would come
// near to repeating after some days of a busy server, and the key is kept for years.
func (s *Sealer) aead(nonce []byte) cipher.AEAD {
	var key [32]byte
	for i := range 2 {
		part := key[i*aes.BlockSize : (i+1)*aes.BlockSize]
		part[1], part[2] = byte(i+1), 'X'
		copy(part[4:], nonce[:12])
		for j := range part {
			part[j] ^= s.subkey[j]
		}
		s.block.Encrypt(part, part)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has blocks of 16 bytes
	}
	return gcm
}

func encodedLen(size int) int { return base64.StdEncoding.EncodedLen(size) }
