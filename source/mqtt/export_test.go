package mqtt

import (
	"context"
	"io"
	"net"

	"github.com/leatstream/leat/source"
)

// Address is for tests.
var Address = (*Config).address

// Read reads the packets of a broker that nothing is said to.
func Read(config *Config, from io.Reader) source.Conn {
	s := &Source{Config: *config, dialect: fiveDialect{}}
	if config.Version == "3.1.1" {
		s.dialect = threeDialect{}
	}
	here, there := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, there) }()
	c := newConn(s, here, here)
	go func() {
		c.End(c.out.Run(context.Background(), from))
		_ = here.Close()
	}()
	return c
}

// Expanded is for tests.
var Expanded = (*Config).expanded
