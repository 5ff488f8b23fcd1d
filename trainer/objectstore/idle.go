package objectstore

import (
	"context"
	"net"
	"time"
)

// IdleTimeout is how long a server may be silent in the middle of a request before the connection is given up.
const IdleTimeout = time.Minute

// DialIdle returns a dial function whose connections fail when neither side has sent anything for idle, however long a
// transfer takes as a whole. No request over them can hang for ever.
func DialIdle(idle time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: min(idle, 30*time.Second), KeepAlive: 30 * time.Second}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &idleConn{c, idle}, nil
	}
}

// idleConn moves its deadline with every transfer, in either direction: while a body is sent, nothing is received.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *idleConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
