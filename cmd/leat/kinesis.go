package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/sigv4"
	"github.com/leatstream/leat/stream"
)

// kinesisFace is the Kinesis API as it is served.
type kinesisFace struct {
	*config.KinesisAPI
	faults   kinesisapi.Faults
	listener net.Listener  // nil: one is made at Listen
	there    []stream.Info // the streams at the beginning
	url      string        // once it is served
}

// names returns the streams of the region and account that the API serves by default.
func (k *kinesisFace) names() (names []string) {
	for i := range k.there {
		if !strings.Contains(k.there[i].Name, "/") {
			names = append(names, k.there[i].Name)
		}
	}
	return names
}

// serveKinesis serves the engine of j over the Kinesis API.
func (f *faces) serveKinesis(ctx context.Context, j *job) error {
	k := j.kinesis
	e := j.p.Engine()
	s, err := kinesisapi.New(kinesisapi.Config{
		Engine: e, Admin: e, Account: k.Account, Region: k.Region, Keys: k.verifier(), Delay: max(0, k.Delay),
		Throttle: k.Throttle == "aws", Faults: k.faults, Logger: j.log,
	})
	if err != nil {
		return environment(err, "")
	}
	secure, err := k.secure()
	if err != nil {
		return environment(fmt.Errorf("serve the Kinesis API: %w", err), "kinesis_api.tls wants a certificate and its key, in PEM")
	}
	l, err := k.open(ctx)
	if err != nil {
		return environment(fmt.Errorf("serve the Kinesis API: %w", err), "choose another address for it")
	}
	k.url = k.address(l.Addr(), secure != nil)
	f.serve(func() error { return s.Run(ctx) }, j.log)
	f.serve(func() error { return kinesisapi.Serve(ctx, l, s, secure) }, j.log)
	return nil
}

func (k *kinesisFace) open(ctx context.Context) (net.Listener, error) {
	if k.listener != nil {
		return k.listener, nil
	}
	return listenTCP(ctx, k.Listen)
}

func listenTCP(ctx context.Context, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// orAnyPort listens at address or, where that is taken, at any free port of the same host.
func orAnyPort(ctx context.Context, address string) (net.Listener, error) {
	l, err := listenTCP(ctx, address)
	if host, _, split := net.SplitHostPort(address); split == nil && errors.Is(err, syscall.EADDRINUSE) {
		return listenTCP(ctx, net.JoinHostPort(host, "0"))
	}
	return l, err
}

// address returns the URL for clients on this machine.
func (k *kinesisFace) address(at net.Addr, secure bool) string {
	host, port, _ := net.SplitHostPort(at.String())
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (k *kinesisFace) verifier() *sigv4.Verifier {
	if len(k.Keys) == 0 {
		return nil
	}
	v := &sigv4.Verifier{Keys: map[string]sigv4.Key{}}
	for i := range k.Keys {
		key := &k.Keys[i]
		v.Keys[key.AccessKey] = sigv4.Key{Secret: key.SecretKey.Reveal(), Account: key.Account}
	}
	return v
}

func (k *kinesisFace) secure() (*tls.Config, error) {
	if k.TLS.Certificate == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(k.TLS.Certificate, k.TLS.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, nil
}

// announceKinesis prints where the API is, as a line for the shell.
func (a *app) announceKinesis(k *kinesisFace) {
	fmt.Fprintf(a.out, "%-10s export AWS_ENDPOINT_URL_KINESIS=%s\n", "Kinesis:", k.url)
	if _, port, _ := net.SplitHostPort(k.Listen); port != "0" && !strings.HasSuffix(k.url, ":"+port) {
		fmt.Fprintf(a.out, "%-10s port %s is in use by another process, so this is another one\n", "", port)
	}
	if strings.HasPrefix(k.url, "https:") {
		fmt.Fprintf(a.out, "%-10s export AWS_CA_BUNDLE=FILE where the authority of the certificate is not known; the host must be one of the certificate's\n", "")
	}
	if len(k.Keys) > 0 {
		fmt.Fprintf(a.out, "%-10s export AWS_DEFAULT_REGION=%s, and one of the keys\n", "", k.Region)
	} else {
		fmt.Fprintf(a.out, "%-10s export AWS_DEFAULT_REGION=%s AWS_ACCESS_KEY_ID=leat AWS_SECRET_ACCESS_KEY=leat\n", "", k.Region)
		fmt.Fprintf(a.out, "%-10s (the second line where AWS is not set up, or for another region: each has streams of its own;\n", "")
		fmt.Fprintf(a.out, "%-10s any access key is accepted, and none is verified)\n", "")
	}
}
