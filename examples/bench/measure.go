package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"authproxy/examples/cloud"
)

// bench is what all measurements share.
type bench struct {
	settings
	dir      string
	upstream *upstream
	material *material
	out      io.Writer

	// What auth_token asks, once it runs.
	beside    []*process
	cloud     *cloud.Cloud
	memcached string
	issued    []string
}

// instance is a peer that runs.
type instance struct {
	peer    *peer
	addr    string
	process *process // nil for no proxy
	// cold is the one to ask each token once; the same where none are kept.
	cold *instance
}

// sample is one measurement, in one round.
type sample struct {
	// cpu is processor time of the peer for a request, helpers that of what it asks besides.
	cpu, helpers time.Duration
	rate         float64 // requests a second
	busy         float64 // the share of its core that the peer was given
	resident     int     // bytes of memory, with all connections open
}

// row is what was measured of one peer, by round.
type row struct {
	name    string
	missing string // why there is nothing else
	samples map[string][]sample
	latency []latencies
}

// The scenarios, in the order of the table.
const (
	hot     = "hot"     // one token
	many    = "many"    // all tokens in turn, all seen before
	cold    = "cold"    // all tokens in turn, none kept
	refused = "refused" // a bad signature, another each time
	large   = "64 KB"   // one token, an answer of 64 KB
	posted  = "POST"    // one token, a request with a body of 1 KB
)

var scenarios = []string{hot, many, cold, refused, large, posted}

// postedBody is the length of what is posted, in bytes.
const postedBody = 1 << 10

// manyTokens is how many tokens scenario many has, where there are so many.
const manyTokens = 10_000

func mkdir(path string) error { return os.Mkdir(path, 0o700) }

// startAll starts the peers, those that are installed.
func (b *bench) startAll(ctx context.Context, all []peer) (running []*instance, rows []*row, err error) {
	for i := range all {
		p := &all[i]
		r := &row{name: p.name, samples: map[string][]sample{}}
		rows = append(rows, r)
		in, err := b.startPeer(ctx, p)
		if errors.Is(err, exec.ErrNotFound) {
			r.missing, _, _ = strings.Cut(err.Error(), "\n")
			fmt.Fprintf(b.out, "%s: missing: %s\n", p.name, r.missing)
			continue
		}
		if err != nil {
			return running, rows, fmt.Errorf("%s: %w", p.name, err)
		}
		running = append(running, in)
	}
	return running, rows, nil
}

func (b *bench) startPeer(ctx context.Context, p *peer) (*instance, error) {
	in := &instance{peer: p, addr: b.upstream.Addr}
	in.cold = in
	if p.command == nil {
		return in, nil
	}
	if p.needs != nil {
		if err := p.needs(ctx, b); err != nil {
			return nil, err
		}
	}
	var err error
	if in.addr, in.process, err = b.startOne(ctx, p, false); err != nil || !p.caches {
		return in, err
	}
	in.cold = &instance{peer: p}
	if in.cold.addr, in.cold.process, err = b.startOne(ctx, p, true); err != nil {
		in.process.stop()
	}
	return in, err
}

func (b *bench) startOne(ctx context.Context, p *peer, isCold bool) (string, *process, error) {
	addr, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	args, err := p.command(b, addr, isCold)
	if err != nil {
		return "", nil, err
	}
	process, err := start(ctx, peerCore, args, addr)
	return addr, process, err
}

// stopAll ends everything that startAll has started.
func (b *bench) stopAll(running []*instance) (err error) {
	for _, in := range running {
		for _, p := range []*process{in.process, in.cold.process} {
			if p != nil {
				p.stop()
			}
		}
	}
	if b.cloud != nil {
		err = b.cloud.Stop()
	}
	for _, p := range b.beside {
		p.stop()
	}
	return err
}

// takesPart says whether a scenario is one for a peer.
func takesPart(p *peer, name string) bool {
	return p.header != "" || name != many && name != cold && name != refused
}

// measure runs every scenario in rounds, in each of which all peers have their turn: what else the machine does meets all of them,
// and ratios are taken within a round.
func (b *bench) measure(ctx context.Context, running []*instance, rows map[string]*row) error {
	each := b.duration / time.Duration(b.rounds)
	for _, name := range scenarios {
		fmt.Fprintf(b.out, "%s:", name)
		var take []*instance
		var loads []scenario
		for _, in := range running {
			if !takesPart(in.peer, name) {
				continue
			}
			s := b.scenario(in.peer, name)
			if name == cold {
				in = in.cold
			}
			warm := int64(0)
			if name == many {
				warm = int64(min(manyTokens, len(in.peer.tokens(b))))
			}
			if err := b.warm(ctx, in, s, each/2, warm); err != nil {
				return err
			}
			take, loads = append(take, in), append(loads, s)
		}
		for round := range b.rounds {
			fmt.Fprintf(b.out, " %d", round+1)
			for k := range take {
				k = (k + round) % len(take)
				got, err := b.sample(ctx, take[k], loads[k], b.connections, each)
				if err != nil {
					return b.failed(take[k], name, err)
				}
				r := rows[take[k].peer.name]
				r.samples[name] = append(r.samples[name], got)
			}
		}
		fmt.Fprintln(b.out)
	}
	return b.measureLatency(ctx, running, rows, longer*each)
}

// longer is for how much longer latency is measured than the rest: of the slowest in a hundred there have to be some.
const longer = 3

func (b *bench) measureLatency(ctx context.Context, running []*instance, rows map[string]*row, each time.Duration) error {
	fmt.Fprintf(b.out, "latency:")
	for round := range b.rounds {
		fmt.Fprintf(b.out, " %d", round+1)
		for k := range running {
			in := running[(k+round)%len(running)]
			s := b.scenario(in.peer, hot)
			clients, err := connect(in.addr, b.connections, s)
			if err != nil {
				return b.failed(in, "latency", err)
			}
			got, err := open(ctx, clients, b.rate, each, s)
			disconnect(clients)
			if err != nil {
				return b.failed(in, "latency", err)
			}
			r := rows[in.peer.name]
			r.latency = append(r.latency, got)
		}
	}
	fmt.Fprintln(b.out)
	return nil
}

// failed ends a peer to tell what it wrote.
func (b *bench) failed(in *instance, what string, err error) error {
	err = fmt.Errorf("%s: %s: %w", in.peer.name, what, err)
	if in.process == nil {
		return err
	}
	in.process.stop()
	return fmt.Errorf("%w\n%s", err, in.process.log)
}

// warm puts on load for a time, or for so many requests.
func (b *bench) warm(ctx context.Context, in *instance, s scenario, d time.Duration, requests int64) error {
	if requests > 0 {
		d = 0
	}
	clients, err := connect(in.addr, b.connections, s)
	if err == nil {
		_, err = closed(ctx, clients, d, requests, s)
		disconnect(clients)
	}
	if err != nil {
		return b.failed(in, s.name, err)
	}
	return nil
}

// sample measures once.
func (b *bench) sample(ctx context.Context, in *instance, s scenario, connections int, d time.Duration) (sample, error) {
	clients, err := connect(in.addr, connections, s)
	if err != nil {
		return sample{}, err
	}
	defer func() {
		disconnect(clients)
		if connections > fewConnections {
			b.upstream.disconnect()
		}
	}()
	var pids []int
	if in.process != nil {
		pids = []int{in.process.cmd.Process.Pid}
	}
	helpers := b.helpers(in.peer)
	var used, helped [2]time.Duration
	var requests int64
	if helped[0], err = cpu(helpers...); err != nil {
		return sample{}, err
	}
	if used[0], err = cpu(pids...); err != nil {
		return sample{}, err
	}
	begin := time.Now()
	if requests, err = closed(ctx, clients, d, 0, s); err != nil {
		return sample{}, err
	}
	took := time.Since(begin)
	if used[1], err = cpu(pids...); err != nil {
		return sample{}, err
	}
	if helped[1], err = cpu(helpers...); err != nil {
		return sample{}, err
	}
	if requests == 0 {
		return sample{}, fmt.Errorf("no request in %v", d)
	}
	got := sample{
		cpu: (used[1] - used[0]) / time.Duration(requests), helpers: (helped[1] - helped[0]) / time.Duration(requests), rate: float64(requests) / took.Seconds(),
		busy: float64(used[1]-used[0]) / float64(took),
	}
	if len(pids) > 0 {
		got.resident = resident(pids[0])
	}
	return got, nil
}

// scenario makes the requests of one kind for one peer.
func (b *bench) scenario(p *peer, name string) scenario {
	if p.header == "" {
		return p.load(name, "")
	}
	texts := p.tokens(b)
	if name != many && name != cold {
		texts = texts[:1]
	}
	return p.load(name, texts[:min(len(texts), manyTokens)]...)
}

// load makes a scenario of requests with these tokens in turn.
func (p *peer) load(name string, texts ...string) scenario {
	line, framing, body := "GET /", "", ""
	switch name {
	case large:
		line = "GET /64k"
	case posted:
		body = strings.Repeat("x", postedBody)
		line, framing = "POST /", fmt.Sprintf("Content-Length: %d\r\n", postedBody)
	}
	head, tail := line+" HTTP/1.1\r\nHost: upstream.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n"+framing+p.header, "\r\n\r\n"+body
	if p.header == "" {
		tail = "\r\n" + body
	}
	s := scenario{name: name, status: http.StatusOK, next: new(atomic.Int64)}
	s.request = func(to []byte, n int) []byte {
		return append(append(append(to, head...), texts[n%len(texts)]...), tail...)
	}
	if name == refused {
		s.status = http.StatusUnauthorized
		s.request = func(to []byte, n int) []byte {
			return append(append(append(to, head...), spoil(texts[0], n)...), tail...)
		}
	}
	return s
}
