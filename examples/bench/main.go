// Command bench sets authproxy beside other proxies that check a token, and beside some that only pass requests on: on the same
// machine, in the same run, with the same requests. "make bench" runs it.
//
// The figure to trust is the CPU time of the proxy's own processes for one request, as the kernel accounts it; what the
// machine does besides blurs it little. Ratios are to HAProxy's jwt_verify, where that is installed. The proxy under test has one
// core to itself, client and upstream share the other. All peers run at once and have their turns in rounds, so that what else the
// machine does meets all alike; ratios are taken within a round, and their median is what counts.
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
	"regexp"
	"slices"
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
	rounds      int
	only        string
	results     string
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.bin, "bin", "bin", "folder of the programs")
	flags.DurationVar(&s.duration, "duration", 3*time.Second, "how long each measurement lasts, all rounds together")
	flags.IntVar(&s.rounds, "rounds", 5, "in how many rounds")
	flags.IntVar(&s.connections, "connections", 64, "keep-alive connections of the client")
	flags.IntVar(&s.tokens, "tokens", manyTokens, "how many different tokens there are")
	flags.IntVar(&s.rate, "rate", 1000, "requests a second when latency is measured")
	flags.StringVar(&s.only, "only", "", "measure only proxies whose name this regular expression matches")
	flags.StringVar(&s.results, "results", "", "measure as the work grows, too, and write all to this file as Markdown, with a plot beside it")
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

	if s.rounds < 1 || s.tokens < 1 || s.connections < 1 || s.rate < 1 {
		return errors.New("-rounds, -tokens, -connections and -rate must be 1 or more")
	}
	only, err := regexp.Compile(s.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if s.results != "" { // an hour later would be too late
		if _, err := os.Stat(filepath.Dir(s.results)); err != nil {
			return fmt.Errorf("the folder for the results: %w", err)
		}
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
	if err := pinSelf(ctx); err != nil {
		return err
	}
	b := &bench{settings: s, dir: dir, upstream: upstream, material: m, out: stdout}
	all := slices.DeleteFunc(peers(), func(p peer) bool { return !only.MatchString(p.name) })
	running, rows, err := b.startAll(ctx, all)
	defer func() { err = errors.Join(err, b.stopAll(running)) }()
	if err != nil {
		return err
	}
	byName := map[string]*row{}
	for _, r := range rows {
		byName[r.name] = r
	}
	if err := b.measure(ctx, running, byName); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	b.report(stdout, rows)
	if s.results == "" {
		return nil
	}
	sweeps, err := b.sweeps(ctx, running)
	if err != nil {
		return err
	}
	return b.writeResults(s.results, rows, sweeps)
}
