package zlib6

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample is one input and where it comes from.
type sample struct {
	name string
	data []byte
}

// oracle returns what Python's zlib.compress(data, 6) makes of each sample.
func oracle(t *testing.T, samples []sample) [][]byte {
	t.Helper()
	absent := t.Skipf
	if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
		absent = t.Fatalf
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		absent("no python3 to compare with: %v", err)
	}
	var in bytes.Buffer
	for _, s := range samples {
		in.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s.data))))
		in.Write(s.data)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "oracle.py"))
	var diagnosis bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &diagnosis
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oracle.py: %v\n%s", err, &diagnosis)
	}
	var frames [][]byte
	for len(out) > 0 {
		n := int(binary.BigEndian.Uint32(out))
		frames = append(frames, out[4:4+n])
		out = out[4+n:]
	}
	if version := string(frames[0]); strings.Contains(version, "ng") {
		absent("python3 has zlib %s, which makes other choices than stock zlib", version)
	}
	if len(frames) != 1+len(samples) {
		t.Fatalf("oracle.py gave %d outputs for %d inputs", len(frames)-1, len(samples))
	}
	return frames[1:]
}

// compare fails for each sample whose stream is not the oracle's.
func compare(t *testing.T, samples []sample) {
	t.Helper()
	for i, want := range oracle(t, samples) {
		s := samples[i]
		got := Compress(s.data)
		if bytes.Equal(got, want) {
			continue
		}
		at := 0
		for at < len(got) && at < len(want) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s, %d bytes: %d bytes differ from zlib's %d at %d", s.name, len(s.data), len(got), len(want), at)
	}
}

const pemAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// pem is a PEM text of about n bytes, cut at n.
func pem(r *rand.Rand, n int) []byte {
	body := base64.StdEncoding.EncodeToString(bytesOf(r, n))
	var b bytes.Buffer
	b.WriteString("-----BEGIN CMS-----\n")
	for len(body) > 0 {
		m := min(64, len(body))
		b.WriteString(body[:m] + "\n")
		body = body[m:]
	}
	b.WriteString("-----END CMS-----\n")
	return b.Bytes()[:n]
}

func bytesOf(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func lettersOf(r *rand.Rand, alphabet string, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return b
}

// jsonOf is the like of a token's body, cut at n.
func jsonOf(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"token":{"methods":["password"],"catalog":[`)
	for b.Len() < n {
		fmt.Fprintf(&b, `{"endpoints":[{"url":"http://10.0.%d.%d:%d/v2.0/%x","region":"RegionOne","interface":%q,"id":"%016x%016x"}],"type":%q},`,
			r.IntN(4), r.IntN(256), 5000+r.IntN(4000), r.Uint32(), []string{"public", "internal", "admin"}[r.IntN(3)],
			r.Uint64(), r.Uint64(), []string{"compute", "volume", "identity", "image"}[r.IntN(4)])
	}
	return b.Bytes()[:n]
}

// wordsOf is text of a few hundred words, some much more frequent than others.
func wordsOf(r *rand.Rand, n int) []byte {
	words := make([][]byte, 400)
	for i := range words {
		words[i] = append(lettersOf(r, "etaoinshrdlucmfw", 1+r.IntN(9)), ' ')
	}
	b := make([]byte, 0, n+10)
	for len(b) < n {
		b = append(b, words[int(float64(len(words))*r.Float64()*r.Float64()*r.Float64())]...)
	}
	return b[:n]
}

// periodic is n bytes that repeat after period, with some bytes changed.
func periodic(r *rand.Rand, period, n, changes int) []byte {
	b := bytesOf(r, min(period, n))
	for len(b) < n {
		b = append(b, b[len(b)-period])
	}
	for range changes {
		b[r.IntN(n)] ^= 1
	}
	return b
}

// copies is two blocks of fresh bytes, then copies of four bytes from farther and
// farther, and so much more frequent distances that their code wants more than
// 15 bits.
func copies(r *rand.Rand) []byte {
	var picks []int // distance symbols
	for s, n := distanceSymbols-17, 1.0; s < distanceSymbols; s, n = s+1, 1.7*n {
		for range int(n + 0.5) {
			picks = append(picks, s)
		}
	}
	r.Shuffle(len(picks), func(i, j int) { picks[i], picks[j] = picks[j], picks[i] })
	var b []byte
	latest := map[[4]byte]int{} // what is copied must have no nearer copy
	write := func(more ...byte) {
		for _, c := range more {
			if b = append(b, c); len(b) >= 4 {
				latest[[4]byte(b[len(b)-4:])] = len(b) - 4
			}
		}
	}
	write(bytesOf(r, 2*blockSymbols)...)
	for _, s := range picks {
		x := distanceExtra(s)
		for range 100 {
			from := len(b) - min((2+s&1)<<x+r.IntN(1<<x)+1, maxDistance)
			if latest[[4]byte(b[from:])] == from {
				write(b[from : from+4]...)
				break
			}
		}
	}
	return b
}

// fibonacci is letters of Fibonacci frequencies in random order, as many as fit
// in n.
func fibonacci(r *rand.Rand, n int) []byte {
	var b []byte
	for a, c, letter := 1, 1, 0; len(b)+a <= n && letter < 256; a, c, letter = c, a+c, letter+1 {
		b = append(b, bytes.Repeat([]byte{byte(letter * 37)}, a)...)
	}
	r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
	return b
}

// longCodes are Fibonacci frequencies, the large ones limited: for a block of
// literals whose code wants more than 15 bits.
func longCodes() (frequencies []int) {
	total := 0
	for a, c := 1, 2; total+a < blockSymbols; {
		frequencies = append(frequencies, a)
		total += a
		if a < 377 {
			a, c = c, a+c
		}
	}
	return frequencies
}

// longClassCodes are frequencies of literals whose code sizes are about as unequal
// in number as Fibonacci's, and rarely equal side by side: the code of the header
// that lists them wants more than 7 bits.
func longClassCodes() []int {
	var sorted []int
	for i, times := range []int{5, 20, 1, 89, 56, 34, 14, 8, 1, 2} { // codes of 5, 6, ... bits
		for range times {
			sorted = append(sorted, (blockSymbols+1)>>(5+i))
		}
	}
	frequencies := make([]int, len(sorted))
	for i := range frequencies {
		frequencies[i] = sorted[i*101%len(sorted)]
	}
	return frequencies
}

// sparse is bytes of those frequencies, from 0 on, in which no three occur in
// the same order twice: there are no matches to even them out.
func sparse(r *rand.Rand, frequencies []int) []byte {
	left := slices.Clone(frequencies)
	total := 0
	for _, n := range left {
		total += n
	}
	seen := map[[3]byte]bool{}
	var b []byte
	for misses := 0; total > 0 && misses < 1000; {
		k := r.IntN(total)
		s := 0
		for ; k >= left[s]; s++ {
			k -= left[s]
		}
		if len(b) >= 2 {
			three := [3]byte{b[len(b)-2], b[len(b)-1], byte(s)}
			if seen[three] {
				misses++
				continue
			}
			seen[three] = true
		}
		b, misses = append(b, byte(s)), 0
		left[s]--
		total--
	}
	return b
}

// windowEdge is random, but what begins at from is to be found exactly
// maxDistance back.
func windowEdge(r *rand.Rand, from, n int) []byte {
	b := bytesOf(r, from)
	for len(b) < n {
		b = append(b, b[len(b)-maxDistance])
	}
	return b
}

func TestSameAsZlib(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1950))
	var samples []sample
	add := func(data []byte, format string, args ...any) {
		samples = append(samples, sample{fmt.Sprintf(format, args...), data})
	}
	for n := 0; n <= 6000; n += 7 {
		add(pem(r, n), "pem %d", n)
		add(jsonOf(r, n), "json %d", n)
	}
	for n := range 40 {
		add(make([]byte, n), "zeros %d", n)
		add(lettersOf(r, "ab", n), "ab %d", n)
		add(bytesOf(r, n), "random %d", n)
	}
	for _, n := range []int{1000, 16382, 16383, 16384, 32505, 32506, 32507, 32767, 32768, 32769, 65273, 65274, 65275, 65535, 65536, 65537, 100_000, 512 << 10} {
		add(make([]byte, n), "zeros %d", n)
		add(bytesOf(r, n), "random %d", n)
		add(wordsOf(r, n), "words %d", n)
		add(jsonOf(r, n), "json %d", n)
		add(pem(r, n), "pem %d", n)
		add(lettersOf(r, "ab", n), "ab %d", n)
		add(lettersOf(r, pemAlphabet, n), "letters %d", n)
	}
	for _, period := range []int{1, 2, 3, 4, 257, 258, 259, 4095, 4096, 4097, 16384, 32505, 32506, 32507, 32508, 32767, 32768, 32769} {
		for _, changes := range []int{0, 50, 5000} {
			add(periodic(r, period, 100_000, changes), "period %d with %d changes", period, changes)
		}
	}
	for range 5 {
		add(copies(r), "copies")
		add(fibonacci(r, 1000+r.IntN(100_000)), "fibonacci")
		add(sparse(r, longCodes()), "long codes")
		add(sparse(r, longClassCodes()), "long class codes")
	}
	for from := 65_272; from <= 65_277; from++ {
		for _, n := range []int{65_500, 65_534, 65_535, 65_536, 65_537, 70_000} {
			add(windowEdge(r, from, n), "window edge %d of %d", from, n)
		}
	}
	compare(t, samples)
}
