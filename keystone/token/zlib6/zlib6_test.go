package zlib6

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func inflate(t testing.TB, stream []byte) []byte {
	t.Helper()
	r, err := zlib.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r) // checks the Adler-32 too
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestVectors needs no Python: testdata/vectors.py wrote the streams once.
func TestVectors(t *testing.T) {
	for _, tc := range []struct {
		name string
		size int // of the input
	}{
		{"empty", 0},
		{"one", 1},
		{"short", 25},
		{"pem", 4091},
		{"json", 18_463},
		{"random", 20_000},
		{"zeros", 512 << 10},
		{"words", 116_259},
		{"period", 60 * 4097},
		{"long-codes", 16_065},
		{"long-class-codes", 15_988},
		{"too-far", 4 + 4093 + 6 + 4094 + 3},
		{"nice", 300 + 1 + 128 + 1 + 200},
		{"edge-inside", 65_600},
		{"edge-at-end", 65_535},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", tc.name+".z"))
			if err != nil {
				t.Fatal(err)
			}
			data := inflate(t, want)
			if len(data) != tc.size {
				t.Errorf("vector holds %d bytes, want %d", len(data), tc.size)
			}
			if got := Compress(data); !bytes.Equal(got, want) {
				t.Errorf("stream of %d bytes is not zlib's of %d", len(got), len(want))
			}
		})
	}
}

// shared gives the path of a file that lies beside the project, not in it.
func shared(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "..", "shared", "fixtures", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatalf("AUTHPROXY_REQUIRE_SHARED=1, but %v", err)
		}
		t.Skipf("fixtures are not beside the project: %v", err)
	}
	return path
}

// again fails unless the PKIZ token text is what its own content compresses to.
func again(t *testing.T, text string) {
	t.Helper()
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), "PKIZ_")
	if !ok {
		t.Fatal("not a PKIZ token")
	}
	stream, err := base64.URLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got := Compress(inflate(t, stream)); !bytes.Equal(got, stream) {
		t.Errorf("stream of %d bytes is not the token's of %d", len(got), len(stream))
	}
}

// TestOpenStackTokens is over what Keystone's own code issued.
func TestOpenStackTokens(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shared(t, "openstack"), "*", "cms", "*.pkiz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no PKIZ tokens among the fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(file)))+"/"+filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			again(t, string(text))
		})
	}
}

func TestAttackTokens(t *testing.T) {
	raw, err := os.ReadFile(shared(t, "attacks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var attacks []struct{ Name, Token string }
	if err := json.Unmarshal(raw, &attacks); err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, a := range attacks {
		tokens[a.Name] = a.Token
	}
	for _, name := range []string{"good PKIZ", "revoked PKIZ by md5 id"} {
		t.Run(name, func(t *testing.T) { again(t, tokens[name]) })
	}
}

// FuzzRoundTrip: whatever Compress makes, compress/zlib reads it as the input.
// The input is repeated, so that small seeds reach past a block and the window.
func FuzzRoundTrip(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	f.Add([]byte(nil), uint8(0))
	f.Add([]byte("a"), uint8(255))
	f.Add(pem(r, 2000), uint8(1))
	f.Add(bytesOf(r, 700), uint8(100))
	f.Add(lettersOf(r, "ab", 3000), uint8(30))
	f.Add(sparse(r, longCodes()), uint8(3))
	f.Add(sparse(r, longClassCodes()), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, times uint8) {
		data = bytes.Repeat(data[:min(len(data), 1<<14)], int(times))
		data = data[:min(len(data), 100_000)]
		before := bytes.Clone(data)
		stream := Compress(data)
		if !bytes.Equal(data, before) {
			t.Fatal("Compress changed its input")
		}
		if !bytes.Equal(inflate(t, stream), data) {
			t.Fatal("compress/zlib reads something else")
		}
	})
}

func ExampleCompress() {
	text := "-----BEGIN CMS-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END CMS-----\n"
	fmt.Println("PKIZ_" + base64.URLEncoding.EncodeToString(Compress([]byte(text))))
	// Output: PKIZ_eJzT1QUCJ1d3Tz8FZ99gEEeXyxEP4AIrcfVzQSgHAAZ9DwE=
}

func BenchmarkCompress(b *testing.B) {
	r := rand.New(rand.NewPCG(4, 20))
	for _, size := range []int{4 << 10, 20 << 10} {
		data := pem(r, size)
		b.Run(fmt.Sprintf("pem-%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				Compress(data)
			}
		})
	}
}
