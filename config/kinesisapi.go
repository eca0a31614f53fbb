package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
)

// KinesisAPI serves the streams over the HTTP API of Amazon Kinesis.
type KinesisAPI struct {
	// The address: host:port. Whoever reaches an address other than loopback needs a key, and the connection is encrypted: such an address
	// needs keys and tls.
	Listen string `yaml:"listen" default:"127.0.0.1:4567"`

	// The region of the streams that the rest of the configuration names. Requests for another region have streams of their own, which
	// are called REGION/ACCOUNT/NAME here.
	Region string `yaml:"region" default:"us-east-1"`

	// The account of these streams: 12 digits. An access key of 12 digits, or account beside a key, names another one.
	Account string `yaml:"account" default:"000000000000"`

	// Who may send requests. Without keys everyone may who reaches the address, and signatures are not verified.
	Keys []APIKey `yaml:"keys"`

	// The certificate to serve HTTPS with.
	TLS APITLS `yaml:"tls"`

	// Serves an address other than loopback without keys or without tls: whoever reaches it may read, write and delete every stream, or
	// read along. Right for a container whose port is published to loopback only.
	Insecure bool `yaml:"insecure"`

	// Rate limits: off, or those of AWS (aws): 1,000 records and 1 MiB a second into a shard, 5 reads and 2 MiB a second out of it.
	Throttle string `yaml:"throttle" default:"off" enum:"off,aws"`

	// How long streams and consumers stay in the states CREATING, UPDATING and DELETING, as they do on AWS. "off": such states are never seen.
	Delay time.Duration `yaml:"delay" default:"off" min:"off" max:"1h"`
}

// APIKey is one pair of keys of the Kinesis API.
type APIKey struct {
	// The access key id.
	AccessKey string `yaml:"access_key,required"`

	// The secret access key.
	SecretKey setting.Secret `yaml:"secret_key,required"`

	// The account whose streams the key reaches: 12 digits. Default: the access key id if it has 12 digits, else account of kinesis_api.
	Account string `yaml:"account"`
}

// APITLS is the certificate of the Kinesis API.
type APITLS struct {
	// The file with the certificate and those that lead to a known authority, in PEM.
	Certificate string `yaml:"certificate"`

	// The file with the key of the certificate, in PEM.
	Key string `yaml:"key"`
}

// Check implements setting.Checker.
func (k *KinesisAPI) Check() error {
	var errs []error
	host, port, err := net.SplitHostPort(k.Listen)
	if _, notPort := strconv.ParseUint(port, 10, 16); err != nil || notPort != nil || strings.ContainsAny(host, "/ \t@?#") {
		return &setting.FieldError{Field: "listen", Err: errors.New("expected host:port"), Hint: "write an address such as 127.0.0.1:4567"}
	}
	if !isAccount(k.Account) {
		errs = append(errs, setting.FieldErrorf("account", "expected 12 digits, got %q", k.Account))
	}
	if stream.CheckName(k.Region) != nil {
		errs = append(errs, setting.FieldErrorf("region", "expected a name such as us-east-1, got %q", k.Region))
	}
	errs = append(errs, k.checkKeys()...)
	if (k.TLS.Certificate == "") != (k.TLS.Key == "") {
		errs = append(errs, setting.FieldErrorf("tls", "certificate and key are needed together"))
	}
	if !k.Insecure && !isLoopback(host) && (len(k.Keys) == 0 || k.TLS.Certificate == "") {
		errs = append(errs, &setting.FieldError{
			Field: "listen", Err: errors.New("others than this machine can reach the address, so it needs keys and tls"),
			Hint: "add them, or write insecure: true if whoever reaches it may read, write and delete every stream",
		})
	}
	return errors.Join(errs...)
}

// Files implements setting.Filer.
func (k *KinesisAPI) Files() (named []setting.File) {
	var certificate []byte
	if k.TLS.Certificate != "" {
		named = append(named, setting.File{Field: "tls.certificate", Path: k.TLS.Certificate, Parse: func(content []byte) error {
			err := parseCertificates(content)
			if err == nil {
				certificate = content
			}
			return err
		}})
	}
	if k.TLS.Key != "" {
		named = append(named, setting.File{Field: "tls.key", Path: k.TLS.Key, Parse: func(content []byte) error {
			if certificate == nil {
				return nil // there is nothing that it should belong to
			}
			_, err := tls.X509KeyPair(certificate, content)
			return err
		}})
	}
	return named
}

// parseCertificates returns what is wrong with certificates in PEM.
func parseCertificates(text []byte) error {
	n := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errors.New("no certificate in PEM is in it")
	}
	return nil
}

// checkKeys refuses keys that protect nothing: without a secret anyone can sign, and of two secrets of one id only one would count.
func (k *KinesisAPI) checkKeys() (errs []error) {
	seen := map[string]bool{}
	for i := range k.Keys {
		key, at := &k.Keys[i], "keys["+strconv.Itoa(i)+"]."
		if key.AccessKey == "" || seen[key.AccessKey] {
			errs = append(errs, setting.FieldErrorf(at+"access_key", "expected an id that no other key has, got %q", key.AccessKey))
		}
		seen[key.AccessKey] = true
		if key.SecretKey.IsZero() {
			errs = append(errs, setting.FieldErrorf(at+"secret_key", "expected a secret, got an empty one"))
		}
		if a := key.Account; a != "" && !isAccount(a) {
			errs = append(errs, setting.FieldErrorf(at+"account", "expected 12 digits, got %q", a))
		}
	}
	return errs
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

func isLoopback(host string) bool {
	return net.ParseIP(host).IsLoopback() || strings.EqualFold(host, "localhost")
}
