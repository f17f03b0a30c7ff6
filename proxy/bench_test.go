package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"authproxy/keystone"
	"authproxy/proxy/relay"
	"authproxy/validate"
)

// answering is a connection to an upstream that takes no time at all.
type answering struct {
	net.Conn
	pending bool
}

func (c *answering) Write(p []byte) (int, error) { c.pending = true; return len(p), nil }

func (c *answering) Read(p []byte) (int, error) {
	if !c.pending {
		return 0, io.EOF
	}
	c.pending = false
	return copy(p, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"), nil
}

func (c *answering) SetReadDeadline(time.Time) error { return nil }
func (c *answering) SetDeadline(time.Time) error     { return nil }
func (c *answering) Close() error                    { return nil }

// writer is a ResponseWriter that keeps nothing.
type writer struct{ header http.Header }

func (w writer) Header() http.Header         { return w.header }
func (w writer) Write(p []byte) (int, error) { return len(p), nil }
func (w writer) WriteHeader(int)             {}

// service is an Identity service that knows every token.
type service struct{ asked atomic.Int64 }

func (s *service) Validate(_ context.Context, text string, _ bool) ([]byte, error) {
	s.asked.Add(1)
	return fmt.Appendf(nil, `{"token":{"methods":["password"],"user":{"id":"%s","name":"alice","domain":{"id":"default","name":"Default"}},`+
		`"project":{"id":"393ee9bc054e4acca3da070bb357c77e","name":"demo","domain":{"id":"default","name":"Default"}},"roles":[{"id":"1","name":"member"}],`+
		`"audit_ids":["%[1]s"],"issued_at":"2020-01-01T00:00:00.000000Z","expires_at":"2099-01-01T00:00:00.000000Z"}}`, text), nil
}

// hotRig is a handler that knows some tokens, over an upstream that takes no time.
type hotRig struct {
	*Handler
	identity service
}

func newHotRig(b *testing.B, tokens int) *hotRig {
	b.Helper()
	target, err := ParseUpstream("http://127.0.0.1:1", false)
	if err != nil {
		b.Fatal(err)
	}
	r := &hotRig{}
	validator, err := validate.New(validate.Options{Online: &r.identity, CacheTTL: time.Hour, CacheBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	r.Handler = &Handler{Validator: validator, Upstream: target, Relay: &relay.Client{
		Dial: func(context.Context) (net.Conn, error) { return &answering{}, nil }}}
	for n := range tokens {
		r.ServeHTTP(writer{http.Header{}}, hotRequest(n))
	}
	return r
}

func hotRequest(n int) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), "GET", "/v2/images", nil)
	for _, name := range []string{"Accept", "Accept-Encoding", "User-Agent"} {
		r.Header.Set(name, "x")
	}
	r.Header.Set("X-Auth-Token", fmt.Sprintf("%032x", n))
	return r
}

// ask sends requests with the tokens in turn, 1000 of them at the most, from the n-th on.
func (r *hotRig) ask(pb *testing.PB, n, tokens int) {
	request := hotRequest(n % tokens)
	value := request.Header["X-Auth-Token"]
	texts := make([]string, min(tokens, 1000))
	for i := range texts {
		texts[i] = fmt.Sprintf("%032x", (n+i*97)%tokens)
	}
	for i := 0; pb.Next(); i++ {
		value[0] = texts[i%len(texts)]
		r.ServeHTTP(writer{http.Header{}}, request)
	}
}

// The handler's own work for a request with a cached token, without sockets. Two processors are to do twice as much as one
// (-cpu 1,2), or as much as they do with a handler each (apart), where the machine itself does less: processors share memory. A
// hundred thousand tokens are to cost what one does.
func BenchmarkHot(b *testing.B) {
	floor := make([]byte, 64<<20) // under the heap, as authproxy has one: the collector runs as often as it does there
	defer runtime.KeepAlive(floor)
	b.Run("apart", func(b *testing.B) {
		rigs := make(chan *hotRig, runtime.GOMAXPROCS(0))
		for range cap(rigs) {
			rigs <- newHotRig(b, 1)
		}
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) { (<-rigs).ask(pb, 0, 1) })
	})
	for _, tokens := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			before := memory()
			r := newHotRig(b, tokens)
			perToken := float64(memory()-before) / float64(tokens)
			var worker atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) { r.ask(pb, int(worker.Add(1))*7919, tokens) })
			b.StopTimer()
			if int(r.identity.asked.Load()) != tokens {
				b.Fatalf("%d questions about %d tokens: they are not cached", r.identity.asked.Load(), tokens)
			}
			if tokens > 1 {
				b.ReportMetric(perToken, "B/token")
			}
		})
	}
}

// memory is what lives on the heap and in stacks.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// processor is the processor time of this process.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A request with a token of 5 KB by loopback, over either client and with as many connections as there are: client and upstream,
// which are the same for both, are part of the figure.
func BenchmarkLoopback(b *testing.B) {
	for _, client := range []string{"relay", "standard"} {
		for _, connections := range []int{1, 100, 9_000} {
			b.Run(fmt.Sprintf("%s/connections=%d", client, connections), func(b *testing.B) {
				loopbackRequests(b, client == "standard", connections)
			})
		}
	}
}

func loopbackRequests(b *testing.B, standard bool, connections int) {
	allowFiles(b, uint64(2*connections+100)) // both ends of each
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") }))
	defer up.Close()
	target, err := ParseUpstream(up.URL, false)
	if err != nil {
		b.Fatal(err)
	}
	token := strings.Repeat("M", 5000)
	verified := &validate.Verified{Token: &keystone.Token{Version: 3, User: keystone.User{ID: "u"}}}
	h := &Handler{Validator: tokens{token: {verified: verified}}, Upstream: target}
	defer func(was bool) { standardClient = was }(standardClient)
	standardClient = standard
	useClient(b, h, TransportOptions{})
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(h, ServerOptions{})
	start(b, server)

	request := fmt.Appendf(nil, "GET /v2/images HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\nX-Auth-Token: %s\r\n\r\n", token)
	conns := make([]net.Conn, connections)
	in := bufio.NewReader(nil)
	ask := func(c net.Conn) {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		in.Reset(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 200 {
			b.Fatal(res, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			b.Fatal(err)
		}
	}
	before := memory()
	for i := range conns {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		ask(c)
	}
	perConnection := float64(memory()-before) / float64(connections)
	used := processor(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		ask(conns[i%connections])
	}
	b.StopTimer()
	b.ReportMetric(float64((processor(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
	if connections > 1 {
		b.ReportMetric(perConnection, "B/connection")
	}
}

// allowFiles lets this process have so many open files, where it may.
func allowFiles(b *testing.B, n uint64) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	limit.Cur, limit.Max = n, max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Skipf("not enough file descriptors, %d are needed: %v", n, err)
	}
}
