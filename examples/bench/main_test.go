package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestRun measures the peer that needs no other program, for a short time.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	results := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := run(t.Context(), []string{"-duration", "50ms", "-tokens", "2", "-connections", "4", "-rate", "200", "-rounds", "2", "-only", "direct", "-results", results}, &out); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{out.String(), string(written)} {
		if !strings.Contains(text, "| direct, no proxy |") {
			t.Errorf("no row in\n%s", text)
		}
	}
}

// TestSpoil: each spoiled token differs from the good one and from the one before.
func TestSpoil(t *testing.T) {
	good := strings.Repeat("A", 100)
	seen := map[string]bool{good: true}
	for n := range 1000 {
		if bad := spoil(good, n); seen[bad] || len(bad) != len(good) {
			t.Fatalf("token %d is not new", n)
		} else {
			seen[bad] = true
		}
	}
}

func TestSummarize(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   summary
	}{
		{nil, summary{}},
		{[]float64{7}, summary{7, 7, 7}},
		{[]float64{5, 1, 4, 2, 3}, summary{3, 2, 4}},
		{[]float64{4, 1}, summary{2.5, 1.75, 3.25}},
	} {
		if got := summarize(tt.values); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.values, got, tt.want)
		}
	}
}

// TestRatios: each round is compared with itself, so that one in which all were slow says nothing else.
func TestRatios(t *testing.T) {
	samples := func(micros ...int) (list []sample) {
		for _, n := range micros {
			list = append(list, sample{cpu: time.Duration(n) * time.Microsecond})
		}
		return list
	}
	if got := ratios(samples(10, 100, 20), samples(20, 200, 40)); got != (summary{0.5, 0.5, 0.5}) {
		t.Error(got)
	}
}

// TestOpenLoop: a stall is charged to the requests that were due meanwhile, and a server that is too slow for the rate is found out.
func TestOpenLoop(t *testing.T) {
	for name, tt := range map[string]struct {
		stall func(n int) time.Duration
		late  bool
	}{
		"one stall": {func(n int) time.Duration {
			if n == 20 {
				return 100 * time.Millisecond
			}
			return 0
		}, false},
		"too slow": {func(int) time.Duration { return 20 * time.Millisecond }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(tt.stall(int(n.Add(1)))):
				case <-r.Context().Done():
				}
				w.Header().Set("Content-Length", "0")
			}))
			defer server.Close()
			load := (&peer{}).load(hot, "")
			clients, err := connect(server.Listener.Addr().String(), 1, load)
			if err != nil {
				t.Fatal(err)
			}
			defer disconnect(clients)
			got, err := open(t.Context(), clients, 100, time.Second, load)
			if err != nil {
				t.Fatal(err)
			}
			if got.late != tt.late || got.p99 < 80*time.Millisecond {
				t.Errorf("late %t, p99 %v", got.late, got.p99)
			}
		})
	}
}

// TestClientRefuses: an answer that is wrong ends the measurement.
func TestClientRefuses(t *testing.T) {
	for name, answer := range map[string]string{
		"status":     "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
		"no length":  "HTTP/1.1 200 OK\r\n\r\n",
		"no HTTP":    "hello\r\n\r\n",
		"bad header": "HTTP/1.1 200 OK\r\nhello\r\n\r\n",
		"too short":  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := l.Accept(); err == nil {
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = conn.Write([]byte(answer))
				_ = conn.Close()
			}
		}()
		if clients, err := connect(l.Addr().String(), 1, (&peer{}).load(hot, "")); err == nil {
			disconnect(clients)
			t.Errorf("%s: taken", name)
		}
		_ = l.Close()
		<-done
	}
}

// TestPlot: the plot is well-formed, with every point in its panel.
func TestPlot(t *testing.T) {
	points := func(xs ...float64) (list []point) {
		for _, x := range xs {
			list = append(list, point{x, []sample{{cpu: time.Duration(x) * time.Microsecond}}})
		}
		return list
	}
	svg := drawPlot([]sweep{
		{title: "connections", curves: []*curve{{"one & two", points(1, 512)}, {"three", points(2)}}},
		{title: "size", unit: "KB", curves: []*curve{{"three", points(1.4, 32.5)}}},
		{title: "nothing"},
	})
	var circles int
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		next, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := next.(xml.StartElement)
		if !ok || start.Name.Local != "circle" {
			continue
		}
		circles++
		for _, a := range start.Attr {
			v, err := strconv.ParseFloat(a.Value, 64)
			if a.Name.Local == "cx" && (err != nil || v < left || v > 3*panelWidth) || a.Name.Local == "cy" && (err != nil || v < top || v > panelHeight) {
				t.Errorf("%s = %s", a.Name.Local, a.Value)
			}
		}
	}
	if circles != 5 {
		t.Errorf("%d points", circles)
	}
}
