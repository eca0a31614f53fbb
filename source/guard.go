package source

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/leatstream/leat/internal/expression"
)

// errPrivate says why an address is not connected to.
var errPrivate = errors.New("an address that does not stand in the configuration leads to this machine or into a private network; allow_private allows that")

// privateRanges are addresses that only some networks reach, beside those that net/netip knows: the special purposes of RFC 6890 and
// its registries, and a service of Azure for its machines only.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("fec0::/10"),
}

// embedding are addresses of IPv6 that lead to one of IPv4: NAT64 (RFC 6052) has it at the end, 6to4 (RFC 3056) behind the first two bytes.
var (
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
	sixToFor = netip.MustParsePrefix("2002::/16")
	mapped   = netip.MustParsePrefix("::/96") // IPv4-compatible, RFC 4291 §2.5.5.1
)

// private reports whether an address belongs to this machine, a private network, or something that only a network has.
func private(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsInterfaceLocalMulticast() {
		return true
	}
	for _, r := range privateRanges {
		if r.Contains(ip) {
			return true
		}
	}
	if ip.Is4() {
		return false
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip), mapped.Contains(ip):
		return private(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFor.Contains(ip):
		return private(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return false
}

// Dialer returns what opens the network connections to an address. Where its host does not stand in the configuration, no
// address of a private network is connected to, unless that is allowed: what counts is what is connected to, not the name. Without
// such a rule it is dial. nil is the network of this machine.
func (b *Before) Dialer(address *expression.Template, dial Dialer) Dialer {
	if b.AllowPrivate || b.literal(address) {
		return dial
	}
	return (&guard{dial: dial}).connect
}

// Transport is NewTransport for an address, with the connections of Dialer. Where a proxy is to be used it is trusted with what names resolve to;
// addresses that are written as numbers are looked at all the same.
func (b *Before) Transport(address *expression.Template, timeout time.Duration, dial Dialer) *http.Transport {
	if b.AllowPrivate || b.literal(address) {
		return NewTransport(timeout, dial)
	}
	g := &guard{dial: dial}
	t := NewTransport(timeout, g.connect)
	t.Proxy = g.proxy
	return t
}

// guard opens connections to public addresses, and to proxies.
type guard struct {
	dial    Dialer
	proxies sync.Map // host:port → true
}

// proxy is for http.Transport.
func (g *guard) proxy(r *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(r)
	if err != nil || proxy == nil {
		return proxy, err
	}
	if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && private(ip) || r.URL.Hostname() == "localhost" {
		return nil, errPrivate
	}
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
	}
	g.proxies.Store(net.JoinHostPort(proxy.Hostname(), port), true)
	return proxy, nil
}

// connect is a Dialer.
func (g *guard) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if _, is := g.proxies.Load(address); is {
		return g.open(ctx, network, address)
	}
	if ip, err := netip.ParseAddr(hostOf(address)); err == nil && private(ip) {
		return nil, errPrivate
	}
	if g.dial == nil {
		return (&net.Dialer{Control: refusePrivate, KeepAliveConfig: KeepAlive}).DialContext(ctx, network, address)
	}
	c, err := g.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if refusePrivate(network, c.RemoteAddr().String(), nil) != nil {
		_ = c.Close()
		return nil, errPrivate
	}
	return c, nil
}

func (g *guard) open(ctx context.Context, network, address string) (net.Conn, error) {
	if g.dial != nil {
		return g.dial(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// refusePrivate is for net.Dialer: address is what is connected to, after its name was resolved.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || private(to.Addr()) {
		return errPrivate
	}
	return nil
}

// hostOf returns the host of host or host:port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}
