// Package pipenet is a network in memory for tests in testing/synctest bubbles: real
// net/http servers and clients and real protocol libraries talk over it while time is virtual.
//
// Addresses are names with a port, such as "provider:80", and nothing is resolved. A connection
// buffers both directions, so a side may write before the other reads; every wait in it is
// durably blocking, so virtual time advances while all sides wait. Make the Network
// inside the bubble that uses it.
//
// A test can do to a connection what real networks do: Cut it, Silence it, and refuse new ones.
package pipenet

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
)

// defaultBuffer is about what a kernel holds of a connection over loopback.
const defaultBuffer = 64 << 10

// Network is a set of listeners and of the connections to them. The zero value is an empty
// network. All methods may be called from any goroutine.
type Network struct {
	// Buffer is how many bytes one direction of a connection holds before a Write
	// waits for the reader. It counts for connections made afterwards. Default 64 KiB.
	Buffer int

	mu        sync.Mutex
	listeners map[string]*listener
	refusing  map[string]bool
	links     []*link // oldest first
	dialed    int
}

// New returns an empty network.
func New() *Network { return &Network{} }

// Listen returns a listener on addr. It accepts any number of connections before
// Accept is called. Listen panics if addr is in use, which it is until the listener is closed.
func (n *Network) Listen(addr string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		panic(fmt.Sprintf("pipenet: listen on %s: the address is in use", addr))
	}
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	l := newListener(n, addr)
	n.listeners[addr] = l
	return l
}

// DialContext connects to the listener on addr; it has the form that http.Transport wants. The connection
// is a *Conn. It never waits: without a listener, and after Refuse, it fails with ECONNREFUSED.
func (n *Network) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, dialError(addr, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[addr]
	if l == nil || n.refusing[addr] || n.refusing[""] {
		return nil, dialError(addr, syscall.ECONNREFUSED)
	}
	client, server := n.connect(addr)
	if !l.arrive(server) {
		return nil, dialError(addr, syscall.ECONNREFUSED)
	}
	n.links = append(n.links, client.link)
	return client, nil
}

// connect makes the two ends of a connection. Clients get addresses of a range that is
// reserved for documentation, since servers like to parse them.
func (n *Network) connect(addr string) (client, server *Conn) {
	size := n.Buffer
	if size <= 0 {
		size = defaultBuffer
	}
	host, port := 1+n.dialed/60000%250, 1024+n.dialed%60000
	n.dialed++
	from, to := address(fmt.Sprintf("192.0.2.%d:%d", host, port)), address(addr)
	k := &link{network: n, up: newFlow(size), down: newFlow(size), open: 2}
	client = &Conn{link: k, in: k.down, out: k.up, local: from, remote: to}
	server = &Conn{link: k, in: k.up, out: k.down, local: to, remote: from}
	k.client = client
	return client, server
}

// Client returns an HTTP client whose connections are all made on this network. Its
// CloseIdleConnections ends what it keeps open.
func (n *Network) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
}

// Refuse makes new dials to addr fail with ECONNREFUSED until Admit; "" means every
// address. Open connections are not touched.
func (n *Network) Refuse(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refusing == nil {
		n.refusing = map[string]bool{}
	}
	n.refusing[addr] = true
}

// Admit takes back Refuse of the same addr.
func (n *Network) Admit(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.refusing, addr)
}

// Cut cuts all open connections to addr, "" to every address, and returns how many they were.
func (n *Network) Cut(addr string) int {
	open := n.Conns(addr)
	for _, c := range open {
		c.Cut()
	}
	return len(open)
}

// Silence silences all open connections to addr, "" to every address, and returns how many
// they were. Connections made afterwards work.
func (n *Network) Silence(addr string) int {
	open := n.Conns(addr)
	for _, c := range open {
		c.Silence()
	}
	return len(open)
}

// Conns returns the client ends of the open connections to addr, "" to every address, oldest
// first. A connection is open until it is cut or both its ends are closed.
func (n *Network) Conns(addr string) []*Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	var open []*Conn
	for _, k := range n.links {
		if addr == "" || string(k.client.remote) == addr {
			open = append(open, k.client)
		}
	}
	return open
}

func (n *Network) forget(k *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = slices.DeleteFunc(n.links, func(other *link) bool { return other == k })
}

func (n *Network) forgetListener(l *listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[string(l.addr)] == l {
		delete(n.listeners, string(l.addr))
	}
}

// address is a net.Addr that is only a name.
type address string

func (address) Network() string  { return "pipe" }
func (a address) String() string { return string(a) }

func dialError(addr string, err error) error {
	return &net.OpError{Op: "dial", Net: "pipe", Addr: address(addr), Err: err}
}
