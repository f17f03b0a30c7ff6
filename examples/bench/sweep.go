package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// sweep is cost against something that grows.
type sweep struct {
	title, unit string
	curves      []*curve
}

// curve is a peer's part of it.
type curve struct {
	name   string
	points []point
}

type point struct {
	x       float64
	samples []sample
}

// setting is what one point of a sweep asks of a peer: the load, over so many connections, and x if it is another than asked for.
type setting struct {
	scenario    scenario
	connections int
	warm        int64
	x           float64
}

// sweeps measures cost against connections, size of the token and number of tokens.
func (b *bench) sweeps(ctx context.Context, running []*instance) ([]sweep, error) {
	var connections, numbers []int
	for n := 1; n < mostConnections; n *= 2 {
		connections = append(connections, n)
	}
	connections = append(connections, mostConnections)
	for n := 1; n <= b.tokens; n *= 10 {
		numbers = append(numbers, n)
	}
	byConnections, err := b.sweep(ctx, running, "connections", "", connections, func(p *peer, n int) (setting, bool) {
		return setting{b.scenario(p, hot), n, 0, float64(n)}, p.command != nil && (n <= fewConnections || !p.wsgi)
	})
	if err != nil {
		return nil, err
	}
	bySize, err := b.sweep(ctx, running, "size of the token", "KB", sizes, func(p *peer, size int) (setting, bool) {
		if p.sized == nil {
			return setting{}, false
		}
		text := ""
		for i := range sizes {
			if sizes[i] == size {
				text = p.sized(b)[i]
			}
		}
		return setting{p.load(hot, text), b.connections, 0, float64(len(text)) / 1024}, true
	})
	if err != nil {
		return nil, err
	}
	byNumber, err := b.sweep(ctx, running, "number of tokens", "", numbers, func(p *peer, n int) (setting, bool) {
		if p.header == "" || n > len(p.tokens(b)) {
			return setting{}, false
		}
		return setting{p.load(many, p.tokens(b)[:n]...), b.connections, int64(n), float64(n)}, true
	})
	return []sweep{byConnections, bySize, byNumber}, err
}

// fewConnections are as many as uwsgi lets wait.
const fewConnections = 512

// mostConnections are 10,000, or what a proxy can have with the open files that it may have: two for each, and some more.
var mostConnections = func() int {
	const most = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fewConnections
	}
	return min(most, max(fewConnections, (int(min(limit.Max, 1<<30))-openFiles(0))/2))
}()

// openFiles are those of a proxy with so many connections, each with one to the upstream, and of what else it has open.
func openFiles(connections int) int { return 2*connections + 1000 }

// sweepRounds is how often each point is measured, at most.
const sweepRounds = 3

func (b *bench) sweep(ctx context.Context, running []*instance, title, unit string, xs []int, at func(*peer, int) (setting, bool)) (sweep, error) {
	s := sweep{title: title, unit: unit}
	curves := map[string]*curve{}
	each := b.duration / time.Duration(b.rounds)
	fmt.Fprintf(b.out, "%s:", title)
	defer fmt.Fprintln(b.out)
	for _, x := range xs {
		fmt.Fprintf(b.out, " %d", x)
		var take []*instance
		var how []setting
		for _, in := range running {
			set, ok := at(in.peer, x)
			if !ok {
				continue
			}
			c := curves[in.peer.name]
			if c == nil {
				c = &curve{name: in.peer.name}
				curves[in.peer.name], s.curves = c, append(s.curves, c)
			}
			c.points = append(c.points, point{x: set.x})
			if err := b.warm(ctx, in, set.scenario, each/4, set.warm); err != nil {
				return s, err
			}
			take, how = append(take, in), append(how, set)
		}
		for range min(sweepRounds, b.rounds) {
			for k, in := range take {
				c := curves[in.peer.name]
				if len(c.points) == 0 || c.points[len(c.points)-1].x != how[k].x { // gave up in a round before
					continue
				}
				got, err := b.sample(ctx, in, how[k].scenario, how[k].connections, each)
				if err != nil && in.peer.name != authproxyName && ctx.Err() == nil { // it cannot do so much
					first, _, _ := strings.Cut(err.Error(), "\n")
					fmt.Fprintf(b.out, "\n%s, %s %d: %s\n", in.peer.name, title, x, first)
					c.points = c.points[:len(c.points)-1]
					continue
				}
				if err != nil {
					return s, b.failed(in, fmt.Sprintf("%s %d", title, x), err)
				}
				last := &c.points[len(c.points)-1]
				last.samples = append(last.samples, got)
			}
		}
	}
	return s, nil
}
