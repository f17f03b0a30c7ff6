package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// summary is the middle of what rounds gave, and where the middle half of them lie.
type summary struct{ median, low, high float64 }

func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	v := slices.Sorted(slices.Values(values))
	at := func(quarter int) float64 { // between the two that are next to it
		position := float64(quarter) / 4 * float64(len(v)-1)
		i := int(position)
		if i == len(v)-1 {
			return v[i]
		}
		return v[i] + (position-float64(i))*(v[i+1]-v[i])
	}
	return summary{at(2), at(1), at(3)}
}

func over[T any](samples []T, value func(T) float64) summary {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = value(s)
	}
	return summarize(values)
}

func cpuOf(s sample) float64     { return micros(s.cpu) }
func helpersOf(s sample) float64 { return micros(s.helpers) }
func rateOf(s sample) float64    { return s.rate }
func busyOf(s sample) float64    { return s.busy }

// ratios are those of the rounds that both took part in.
func ratios(samples, base []sample) summary {
	var values []float64
	for i := range min(len(samples), len(base)) {
		if base[i].cpu > 0 {
			values = append(values, float64(samples[i].cpu)/float64(base[i].cpu))
		}
	}
	return summarize(values)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// report prints the table as Markdown.
func (b *bench) report(w io.Writer, rows []*row) {
	fmt.Fprintf(w, "%s, %d cores, %s/%s, %s. %s for each figure, in %d rounds in which all have their turn; %d connections, latency at %d requests a second. "+
		"All tokens are signed by RSA-2048 with SHA-256: PKI tokens of %s, JWTs of %s.\n\n",
		cpuName(), cores, runtime.GOOS, runtime.GOARCH, time.Now().Format(time.DateOnly), b.duration, b.rounds, b.connections, b.rate,
		kilobytes(len(b.material.pki[0])), kilobytes(len(b.material.jwt[0])))
	fmt.Fprintf(w, "Versions: %s.\n\n", strings.Join(versions(), ", "))

	var base map[string][]sample
	for _, r := range rows {
		if r.name == baseName {
			base = r.samples
		}
	}
	fmt.Fprint(w, "| CPU µs of the proxy a request (ratio to jwt_verify, middle half of the rounds) |")
	for _, name := range scenarios {
		if name == many {
			name = fmt.Sprintf("%d tokens", min(manyTokens, b.tokens))
		}
		fmt.Fprintf(w, " %s |", name)
	}
	fmt.Fprint(w, " hot, requests/s | its core busy | p50 ms | p99 ms | p99.9 ms |\n|---|")
	fmt.Fprintln(w, strings.Repeat("---:|", len(scenarios)+5))
	for _, r := range rows {
		fmt.Fprintf(w, "| %s |", r.name)
		if r.missing != "" {
			fmt.Fprintf(w, " missing: %s |%s\n", r.missing, strings.Repeat(" |", len(scenarios)+4))
			continue
		}
		for _, name := range scenarios {
			fmt.Fprintf(w, " %s |", cell(r.samples[name], base[name]))
		}
		fmt.Fprintf(w, " %.0f | %.0f %% |", over(r.samples[hot], rateOf).median, 100*over(r.samples[hot], busyOf).median)
		fmt.Fprintln(w, latencyCells(r.latency))
	}
	fmt.Fprintln(w)
	for _, note := range b.notes(rows) {
		fmt.Fprintf(w, "* %s\n", note)
	}
}

func cell(samples, base []sample) string {
	switch used := over(samples, cpuOf); {
	case len(samples) == 0:
		return ""
	case used.median == 0:
		return "–"
	case len(base) == 0:
		return fmt.Sprintf("%.1f", used.median)
	default:
		r := ratios(samples, base)
		return fmt.Sprintf("%.1f (**%.2f**, %.2f–%.2f)", used.median, r.median, r.low, r.high)
	}
}

func latencyCells(all []latencies) string {
	late := 0
	for _, l := range all {
		if l.late {
			late++
		}
	}
	if late > len(all)/2 {
		return " cannot keep up | | |"
	}
	text := ""
	for _, value := range []func(latencies) time.Duration{
		func(l latencies) time.Duration { return l.p50 }, func(l latencies) time.Duration { return l.p99 }, func(l latencies) time.Duration { return l.p999 },
	} {
		text += fmt.Sprintf(" %.2f |", over(all, func(l latencies) float64 { return micros(value(l)) / 1000 }).median)
	}
	return text
}

// full is the share of a core from which on it counts as busy.
const full = 0.9

// quiet is the p99 in ms, without any proxy, up to which latencies say something.
const quiet = 1.0

// notes say what has to be known to read the table.
func (b *bench) notes(rows []*row) (notes []string) {
	notes = append(notes, "CPU is the processor time of the proxy's own processes as the kernel accounts it. Each has one core to itself; client, upstream and what "+
		"auth_token asks share the other. Cold is each token once: nothing that was verified is kept. Refused is a signature that does not hold, another each time. Those that are called plain, and "+
		"uwsgi without a check, get no token.",
		fmt.Sprintf("authproxy has room for all tokens in its cache (`--cache-size-bytes %d`).", cacheBytes),
		"Latency is from when a request was due to when its answer was there, at a fixed rate (an open loop): the median of the rounds' percentiles.")
	for _, r := range rows {
		if p99 := over(r.latency, func(l latencies) float64 { return micros(l.p99) / 1000 }).median; r.name == directName && p99 > quiet {
			notes = append(notes, fmt.Sprintf("This machine had other work to do: without any proxy a request in a hundred took %.1f ms or more. Latencies of this run tell more of that than of the proxies.", p99))
		}
	}
	var slack []string
	for _, r := range rows {
		if got := r.samples[hot]; len(got) > 0 && over(got, busyOf).median < full && over(got, cpuOf).median > 0 {
			slack = append(slack, r.name)
		}
	}
	if len(slack) > 0 {
		notes = append(notes, fmt.Sprintf("The load generator, or others on this machine, held these back: their core was less than %.0f %% busy, so their requests/s are not the most that they can do. %s.",
			100*full, strings.Join(slack, "; ")))
	}
	for _, r := range rows {
		if r.name != authTokenName || r.missing != "" {
			continue
		}
		var parts []string
		for _, name := range scenarios {
			parts = append(parts, fmt.Sprintf("%s %.0f", name, over(r.samples[name], helpersOf).median))
		}
		notes = append(notes, fmt.Sprintf("Beside auth_token work memcached, and keystone-all, which it asks about tokens that it does not know. They take as many µs a request more: %s. "+
			"It has %d tokens, and a connection for each request, as uwsgi keeps none.", strings.Join(parts, ", "), len(b.issued)))
	}
	return notes
}

const idleMark = "°"

// idle marks what was measured of a proxy that had less to do than it could.
func idle(samples []sample) string {
	if len(samples) > 0 && over(samples, busyOf).median < full {
		return idleMark
	}
	return ""
}

func kilobytes(n int) string { return fmt.Sprintf("%.1f KB", float64(n)/1024) }

// versions are those of all programs that are there.
func versions() []string {
	list := []string{"authproxy and httputil.ReverseProxy with " + runtime.Version()}
	for _, program := range [][]string{
		{"haproxy", "-v"}, {"nginx", "-v"}, {"uwsgi_python3", "--version"}, {"memcached", "-V"},
		{"/usr/bin/python3", "-c", "import importlib.metadata as m, platform; print('keystonemiddleware', m.version('keystonemiddleware'), 'with Python', platform.python_version())"},
	} {
		path, err := find(program[0])
		if err != nil {
			continue
		}
		out, err := exec.Command(path, program[1:]...).CombinedOutput()
		if err != nil {
			continue
		}
		line, last, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if program[0] == "uwsgi_python3" { // after what it says of its plugin
			line = "uwsgi " + last
		}
		line, _, _ = strings.Cut(strings.TrimPrefix(line, "nginx version: "), " - ")
		list = append(list, strings.TrimSpace(line))
	}
	return list
}

func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// writeResults writes the table to a file, and the plot beside it.
func (b *bench) writeResults(name string, rows []*row, sweeps []sweep) error {
	plot := strings.TrimSuffix(name, filepath.Ext(name)) + ".svg"
	if err := os.WriteFile(plot, drawPlot(sweeps), 0o644); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(f, "# authproxy beside its peers\n\nMeasured and written by `make bench RESULTS=%s`; do not edit.\n\n", "examples/bench/RESULTS.md")
	b.report(f, rows)
	fmt.Fprintf(f, "\n## As the work grows\n\nCPU µs of the proxy a request, medians of %d rounds of %v each.\n\n![CPU a request against connections, token size and number of tokens](%s)\n",
		min(sweepRounds, b.rounds), b.duration/time.Duration(b.rounds), filepath.Base(plot))
	for _, s := range sweeps {
		fmt.Fprintln(f)
		s.report(f)
	}
	return f.Close()
}

// report prints a sweep as a table, with the memory of authproxy at its ends.
func (s sweep) report(w io.Writer) {
	fmt.Fprintf(w, "| %s |", s.title)
	most := 0
	for i, c := range s.curves {
		if len(c.points) > len(s.curves[most].points) {
			most = i
		}
	}
	if len(s.curves) == 0 {
		return
	}
	sized := s.unit != ""
	for _, p := range s.curves[most].points {
		if sized {
			fmt.Fprintf(w, " %.0f %s |", p.x, s.unit)
		} else {
			fmt.Fprintf(w, " %.0f |", p.x)
		}
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(s.curves[most].points)))
	for _, c := range s.curves {
		fmt.Fprintf(w, "| %s |", c.name)
		for _, p := range c.points {
			fmt.Fprintf(w, " %.1f%s |", over(p.samples, cpuOf).median, idle(p.samples))
		}
		fmt.Fprintln(w, strings.Repeat(" |", len(s.curves[most].points)-len(c.points)))
	}
	fmt.Fprintf(w, "\n%s: its core was less than %.0f %% busy, as client and upstream could not do more. What it takes to be woken, which a proxy with enough to do seldom is, is in the figure.\n", idleMark, 100*full)
	for _, c := range s.curves {
		if c.name != authproxyName || sized || c.points[len(c.points)-1].x < 500 {
			continue
		}
		memory := func(p point) float64 {
			return over(p.samples, func(s sample) float64 { return float64(s.resident) }).median
		}
		first, last := c.points[0], c.points[len(c.points)-1]
		fmt.Fprintf(w, "\nWith that from %.0f to %.0f, the resident memory of authproxy goes from %.0f to %.0f MB: %.1f KB for each one, garbage that was not yet collected among it.\n",
			first.x, last.x, memory(first)/1e6, memory(last)/1e6, (memory(last)-memory(first))/(last.x-first.x)/1e3)
	}
}
