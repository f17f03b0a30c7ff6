package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// bench is what all measurements share.
type bench struct {
	settings
	dir      string
	upstream string
	material *material
	out      io.Writer
}

// figure is one measurement: processor time of the proxy for a request, and how many came through in a second.
type figure struct {
	cpu  time.Duration
	rate float64
	ok   bool
}

// row is what was measured of one peer.
type row struct {
	name    string
	missing string // why there is nothing else
	figures map[string]figure
	latency latencies
}

// The scenarios, in the order of the table.
const (
	hot     = "hot"     // one token
	many    = "many"    // all tokens in turn
	cold    = "cold"    // all tokens in turn, none kept
	refused = "refused" // a bad signature, another each time
	large   = "64 KB"   // one token, a body of 64 KB
)

var scenarios = []string{hot, many, cold, refused, large}

func (b *bench) measure(ctx context.Context, p peer) (row, error) {
	fmt.Fprintf(b.out, "%s", p.name)
	defer fmt.Fprintln(b.out)
	r := row{name: p.name, figures: map[string]figure{}}
	if p.command == nil {
		err := b.onProcess(ctx, nil, p, b.upstream, []string{hot, large}, &r)
		return r, err
	}
	normal := []string{hot, large}
	if p.header != "" {
		normal = []string{hot, many, refused, large}
		if !p.caches {
			normal = append(normal, cold)
		}
	}
	err := b.withProcess(ctx, p, false, normal, &r)
	if errors.Is(err, exec.ErrNotFound) {
		r.missing = err.Error()
		return r, nil
	}
	if err == nil && p.caches {
		err = b.withProcess(ctx, p, true, []string{cold}, &r)
	}
	return r, err
}

func (b *bench) withProcess(ctx context.Context, p peer, isCold bool, names []string, r *row) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	args, err := p.command(b, addr, isCold)
	if err != nil {
		return err
	}
	process, err := b.start(ctx, args, addr)
	if err != nil {
		return err
	}
	defer process.stop()
	if err := b.onProcess(ctx, process, p, addr, names, r); err != nil {
		return fmt.Errorf("%w\n%s", err, process.log)
	}
	return nil
}

func (b *bench) onProcess(ctx context.Context, process *process, p peer, addr string, names []string, r *row) error {
	for _, name := range names {
		fmt.Fprintf(b.out, " · %s", name)
		s := b.scenario(p, name)
		if _, err := closed(ctx, addr, b.connections, b.duration/4, s); err != nil { // to warm up
			return fmt.Errorf("%s: %w", name, err)
		}
		var before, after time.Duration
		var err error
		if process != nil {
			if before, err = process.cpu(); err != nil {
				return err
			}
		}
		begin := time.Now()
		n, err := closed(ctx, addr, b.connections, b.duration, s)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took := time.Since(begin)
		if process != nil {
			if after, err = process.cpu(); err != nil {
				return err
			}
		}
		r.figures[name] = figure{cpu: (after - before) / time.Duration(max(n, 1)), rate: float64(n) / took.Seconds(), ok: true}
	}
	if names[0] != hot {
		return nil
	}
	fmt.Fprint(b.out, " · latency")
	var err error
	r.latency, err = open(ctx, addr, b.connections, b.rate, b.duration, b.scenario(p, hot))
	return err
}

// scenario makes the requests of one kind for one peer. They are made beforehand where there are not too many.
func (b *bench) scenario(p peer, name string) scenario {
	tokens := b.material.pki
	if p.jwt {
		tokens = b.material.jwt
	}
	request := func(text string) []byte {
		path, header := "/", ""
		if name == large {
			path = "/64k"
		}
		if p.header != "" {
			header = p.header + text + "\r\n"
		}
		return []byte("GET " + path + " HTTP/1.1\r\nHost: upstream.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n" + header + "\r\n")
	}
	s := scenario{name: name, status: http.StatusOK}
	switch name {
	case many, cold:
		all := make([][]byte, len(tokens))
		for i := range tokens {
			all[i] = request(tokens[i])
		}
		s.request = func(n int) []byte { return all[n%len(all)] }
	case refused:
		s.status = http.StatusUnauthorized
		s.request = func(n int) []byte { return request(spoil(tokens[0], n)) }
	default:
		one := request(tokens[0])
		s.request = func(int) []byte { return one }
	}
	return s
}

// report prints the table as Markdown.
func report(w io.Writer, s settings, rows []row) {
	fmt.Fprintf(w, "%s, %d cores, %s, %s: %d connections, %s each, %d tokens; latency at %d requests a second.\n\n",
		cpuName(), cores, runtime.Version(), time.Now().Format(time.DateOnly), s.connections, s.duration, s.tokens, s.rate)
	for _, program := range [][]string{{"haproxy", "-v"}, {"nginx", "-v"}} {
		if path, err := find(program[0]); err == nil {
			out, _ := exec.Command(path, program[1:]...).CombinedOutput()
			line, _, _ := strings.Cut(string(out), "\n")
			fmt.Fprintf(w, "%s\n\n", line)
		}
	}
	var base map[string]figure
	for _, r := range rows {
		if strings.Contains(r.name, "jwt_verify") {
			base = r.figures
		}
	}
	fmt.Fprint(w, "| CPU µs of the proxy a request (ratio to jwt_verify) |")
	for _, name := range scenarios {
		fmt.Fprintf(w, " %s |", name)
	}
	fmt.Fprint(w, " hot, requests/s | p50 | p99 | p99.9 |\n|---|")
	fmt.Fprintln(w, strings.Repeat("---:|", len(scenarios)+4))
	for _, r := range rows {
		fmt.Fprintf(w, "| %s |", r.name)
		if r.missing != "" {
			fmt.Fprintf(w, " missing: %s |\n", r.missing)
			continue
		}
		for _, name := range scenarios {
			f := r.figures[name]
			switch {
			case !f.ok:
				fmt.Fprint(w, " |")
			case f.cpu == 0:
				fmt.Fprint(w, " – |")
			case base[name].cpu > 0:
				fmt.Fprintf(w, " %.1f (%.2f) |", micros(f.cpu), float64(f.cpu)/float64(base[name].cpu))
			default:
				fmt.Fprintf(w, " %.1f |", micros(f.cpu))
			}
		}
		fmt.Fprintf(w, " %.0f | %.2f ms | %.2f ms | %.2f ms |\n", r.figures[hot].rate, micros(r.latency.p50)/1000, micros(r.latency.p99)/1000, micros(r.latency.p999)/1000)
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
