package source

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/expression"
)

func TestPrivateAddresses(t *testing.T) {
	for _, text := range []string{
		"127.0.0.1", "127.9.9.9", "10.0.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16",
		"224.0.0.1", "255.255.255.255", "0.0.0.0", "0.1.2.3", "198.18.0.1", "192.0.0.192", "::", "::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1",
		"::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "::10.0.0.1", "fec0::1",
	} {
		if !private(netip.MustParseAddr(text)) {
			t.Errorf("%s counts as public", text)
		}
	}
	for _, text := range []string{"1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"} {
		if private(netip.MustParseAddr(text)) {
			t.Errorf("%s counts as private", text)
		}
	}
	if !private(netip.Addr{}) {
		t.Error("no address counts as public")
	}
}

func TestWhereAHostComesFrom(t *testing.T) {
	b := &Before{Hosts: []string{"a.example"}, Variables: map[string]expression.Template{
		"region": expression.MustParseTemplate("eu"), "place": expression.MustParseTemplate("{{cursor}}"),
	}}
	for text, literal := range map[string]bool{
		"https://a.example/{{cursor}}": true, "https://{{host}}/": true, "https://{{region}}.a.example/": true, "https://{{host}}/?q={{token}}": true,
		"https://{{cursor}}.a.example/": false, "{{url}}": false, "https://{{place}}/": false, "https://a.example{{path}}": false, "https://{{token}}@a.example/": false,
	} {
		template := expression.MustParseTemplate(text)
		if b.literal(&template) != literal {
			t.Errorf("%s: got %v", text, !literal)
		}
	}
}

// What is told by others must not lead to where only this machine reaches, whatever its name resolves to.
func TestAnAddressFromOutsideDoesNotLeadToThisMachine(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	outside := expression.MustParseTemplate("{{url}}")
	attempt := func(b *Before, dial Dialer, address string) error {
		transport := b.Transport(&outside, 10*time.Second, dial)
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Get(address)
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	there := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	for _, address := range []string{server.URL, "http://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port} {
		err := attempt(&Before{}, nil, address)
		if !errors.Is(err, errPrivate) || !strings.Contains(Tellable(err).Error(), "allow_private") {
			t.Errorf("%s: got %v", address, err)
		}
		if err := attempt(&Before{}, there, address); !errors.Is(err, errPrivate) {
			t.Errorf("%s with a dialer of our own: got %v", address, err)
		}
	}
	if err := attempt(&Before{}, there, "http://public.example"); !errors.Is(err, errPrivate) {
		t.Errorf("a name that leads to this machine: got %v", err)
	}
	if err := attempt(&Before{AllowPrivate: true}, nil, server.URL); err != nil {
		t.Errorf("allowed: got %v", err)
	}
	inside := expression.MustParseTemplate("http://127.0.0.1:" + port)
	if dial := (&Before{}).Dialer(&inside, nil); dial != nil {
		t.Error("an address of the configuration is looked at")
	}
	if _, err := (&Before{}).Dialer(&outside, nil)(t.Context(), "tcp", server.Listener.Addr().String()); !errors.Is(err, errPrivate) {
		t.Errorf("a connection without HTTP: got %v", err)
	}
}

func TestAProxyIsTrustedWithNamesAndNotWithNumbers(t *testing.T) {
	for _, name := range []string{"NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, "")
	}
	g := &guard{}
	request := httptest.NewRequest(http.MethodGet, "http://169.254.169.254/", nil)
	if proxy, err := g.proxy(request); proxy != nil || err != nil {
		t.Errorf("without a proxy: got %v, %v", proxy, err)
	}
	g.proxies.Store("127.0.0.1:1", true)
	if _, err := g.connect(t.Context(), "tcp", "127.0.0.1:1"); err == nil || errors.Is(err, errPrivate) {
		t.Errorf("the proxy itself: got %v", err)
	}
}
