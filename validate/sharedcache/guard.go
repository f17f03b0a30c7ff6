package sharedcache

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"time"
)

// errProtocol says that an answer is not one that memcached gives to one get or set.
var errProtocol = errors.New("the answer is not one of memcached")

// guard stands between the memcache client and the network. The client allots as much memory as an answer announces, and
// renews its deadline with each item: here an answer is one item of bounded size at most, in one bounded time, and a
// connection on which more is sent than was asked for is not used again.
type guard struct {
	net.Conn
	timeout time.Duration
	limit   int // bytes of a value

	asking bool // a question is being written
	line   []byte
	value  int // bytes to come of the value, with its line end
	found  bool
	ended  bool
}

// SetDeadline does nothing: the deadline of an exchange is set once, with its first byte.
func (g *guard) SetDeadline(time.Time) error { return nil }

func (g *guard) Write(p []byte) (int, error) {
	if !g.asking {
		g.asking, g.line, g.value, g.found, g.ended = true, g.line[:0], 0, false, false
		if err := g.Conn.SetDeadline(time.Now().Add(g.timeout)); err != nil {
			return 0, err
		}
	}
	return g.Conn.Write(p)
}

func (g *guard) Read(p []byte) (int, error) {
	g.asking = false
	n, err := g.Conn.Read(p)
	if bad := g.check(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

// check follows the answer: "VALUE key flags bytes cas\r\n", the value and "\r\n", then "END\r\n"; or one line.
func (g *guard) check(b []byte) error {
	const longest = 512 // a line: the key has 250 at most
	for len(b) > 0 {
		if g.value > 0 {
			n := min(g.value, len(b))
			g.value, b = g.value-n, b[n:]
			continue
		}
		if g.ended {
			return errProtocol
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			end = len(b) - 1
		}
		g.line, b = append(g.line, b[:end+1]...), b[end+1:]
		if len(g.line) > longest {
			return errProtocol
		}
		if g.line[len(g.line)-1] != '\n' {
			return nil
		}
		announced := bytes.HasPrefix(g.line, []byte("VALUE "))
		if !announced {
			g.ended = true
			continue
		}
		fields := bytes.Split(bytes.TrimSuffix(g.line, []byte("\r\n")), []byte(" "))
		if g.found || len(fields) < 4 {
			return errProtocol
		}
		size, err := strconv.ParseUint(string(fields[3]), 10, 32)
		if err != nil || size > uint64(g.limit) {
			return errProtocol
		}
		g.value, g.found, g.line = int(size)+2, true, g.line[:0]
	}
	return nil
}
