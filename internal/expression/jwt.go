package expression

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// jwt returns a JSON Web Token, RFC 7519, in the compact form of RFC 7515: algorithm, key, claims, and what else its header has.
func jwt(args []any) (any, error) {
	algorithm, _ := args[0].(string)
	key, err := bytesOf(args[1])
	if err != nil {
		return nil, err
	}
	sign, err := signer(algorithm, key)
	if err != nil {
		return nil, err
	}
	claims, ok := args[2].(map[string]any)
	if !ok {
		return nil, errors.New(`expected claims such as {"sub": "me", "exp": unix() + 60}`)
	}
	header := map[string]any{"typ": "JWT"}
	if len(args) > 3 {
		more, ok := args[3].(map[string]any)
		if !ok {
			return nil, errors.New(`expected a header such as {"kid": "my-key"}`)
		}
		maps.Copy(header, more)
	}
	header["alg"] = algorithm
	text, err := segment(header)
	if err != nil {
		return nil, err
	}
	body, err := segment(claims)
	if err != nil {
		return nil, err
	}
	text += "." + body
	signature, err := sign([]byte(text))
	if err != nil {
		return nil, err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func segment(members map[string]any) (string, error) {
	text, err := json.Marshal(members)
	if err != nil {
		return "", errors.New("claims and header must be JSON")
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// signer returns what signs with an algorithm of RFC 7518 or RFC 8037.
func signer(algorithm string, key []byte) (func([]byte) ([]byte, error), error) {
	switch algorithm {
	case "HS256":
		if len(key) == 0 {
			return nil, errors.New("the key is empty")
		}
		return func(text []byte) ([]byte, error) {
			h := hmac.New(sha256.New, key)
			h.Write(text)
			return h.Sum(nil), nil
		}, nil
	case "ES256":
		private, err := ecdsaKey(key)
		if err != nil {
			return nil, err
		}
		return func(text []byte) ([]byte, error) { return signES256(private, text) }, nil
	case "EdDSA":
		private, err := ed25519Key(key)
		if err != nil {
			return nil, err
		}
		return func(text []byte) ([]byte, error) { return ed25519.Sign(private, text), nil }, nil
	}
	return nil, errors.New("expected HS256, ES256 or EdDSA")
}

// signES256 signs as RFC 7518 §3.4 says: both numbers with 32 bytes each.
func signES256(key *ecdsa.PrivateKey, text []byte) ([]byte, error) {
	sum := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return nil, errors.New("the key cannot sign")
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}

func ecdsaKey(text []byte) (*ecdsa.PrivateKey, error) {
	der, err := pemKey(text)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		other, otherErr := x509.ParsePKCS8PrivateKey(der)
		var ok bool
		if key, ok = other.(*ecdsa.PrivateKey); otherErr != nil || !ok {
			return nil, errors.New("the key is none of ECDSA")
		}
	}
	if key.Curve != elliptic.P256() {
		return nil, errors.New("the key is none of the curve P-256")
	}
	return key, nil
}

// ed25519Key takes PEM, or base64 of the seed or of the seed and the public key, as some providers hand it out.
func ed25519Key(text []byte) (ed25519.PrivateKey, error) {
	if raw, err := decoded(strings.TrimSpace(string(text))); err == nil {
		switch len(raw) {
		case ed25519.SeedSize:
			return ed25519.NewKeyFromSeed(raw), nil
		case ed25519.PrivateKeySize:
			return ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]), nil
		}
	}
	der, err := pemKey(text)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("the key is none of Ed25519")
	}
	return key, nil
}

// pemKey returns what a private key in PEM holds. Line ends may be written as \n, as in JSON files of keys.
func pemKey(text []byte) ([]byte, error) {
	for rest := []byte(strings.ReplaceAll(string(text), `\n`, "\n")); ; {
		block, after := pem.Decode(rest)
		if block == nil {
			return nil, fmt.Errorf("the key is no PEM of a private key, or is encrypted")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") && block.Type != "ENCRYPTED PRIVATE KEY" {
			return block.Bytes, nil // before it may be the parameters of a curve
		}
		rest = after
	}
}
