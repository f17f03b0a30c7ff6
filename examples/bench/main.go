// Command bench sets authproxy beside other proxies that check a token, and beside some that only pass requests on: on the same
// machine, in the same run, with the same requests. "make bench" runs it.
//
// The figure to trust is the CPU time of the proxy's own processes for one request, as the kernel accounts it; what the
// machine does besides blurs it little. Ratios are to HAProxy's jwt_verify, where that is installed. The proxy under test has one
// core to itself, client and upstream share the other, so the rate is a property of the pair and is not a limit of the proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 4 && os.Args[1] == "-reverse-proxy" {
		fmt.Fprintln(os.Stderr, "bench:", serveReverseProxy(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	bin         string
	duration    time.Duration
	connections int
	tokens      int
	rate        int
	only        string
	results     string
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.bin, "bin", "bin", "folder of the programs")
	flags.DurationVar(&s.duration, "duration", 3*time.Second, "how long each measurement lasts")
	flags.IntVar(&s.connections, "connections", 64, "keep-alive connections of the client")
	flags.IntVar(&s.tokens, "tokens", 2000, "how many different tokens there are")
	flags.IntVar(&s.rate, "rate", 1000, "requests a second when latency is measured")
	flags.StringVar(&s.only, "only", "", "measure only proxies whose name contains this")
	flags.StringVar(&s.results, "results", "", "write the table to this file as well, as Markdown")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "authproxy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}

	if err := pinSelf(ctx); err != nil {
		return err
	}
	upstream, err := startUpstream()
	if err != nil {
		return err
	}
	defer upstream.Close()
	fmt.Fprintf(stdout, "Making %d tokens of each kind (RSA-2048, SHA-256).\n", s.tokens)
	m, err := makeMaterial(dir, s.tokens)
	if err != nil {
		return err
	}
	b := &bench{settings: s, dir: dir, upstream: upstream.Addr, material: m, out: stdout}
	var rows []row
	for _, p := range peers() {
		if !strings.Contains(p.name, s.only) {
			continue
		}
		r, err := b.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		rows = append(rows, r)
	}
	fmt.Fprintln(stdout)
	report(stdout, s, rows)
	if s.results == "" {
		return nil
	}
	f, err := os.Create(s.results)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "# Measured\n\nMade by `make bench`; what the columns mean is in `examples/bench/main.go`.\n\n")
	report(f, s, rows)
	return f.Close()
}
