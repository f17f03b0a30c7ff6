package strictjson

import (
	"encoding/json"
	"strings"
	"testing"
)

// skip reads a text as any value.
func skip(text string) error {
	r := New(text, Limits{})
	if err := r.Skip(); err != nil {
		return err
	}
	return r.End()
}

func TestStrict(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{}`, ` [ 1 , -0.5e+7 , "\u0041\ud83d\ude00\n" , null , true , false , {"a":{"A":[]}} ] `, `"é"`, `0`} {
		if err := skip(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		``: "expected a number", `{}x`: "after the end", `{"a":1,"a":2}`: "duplicate", `{"a":1,"\u0061":2}`: "duplicate", `[1,]`: "nothing behind", `{"a"}`: "a colon",
		`01`: "after the end", `1.`: "a digit", `.5`: "a number", `"\ud83d"`: "surrogate", `"\x"`: "bad escape", "\"\xff\"": "UTF-8", "\"\n\"": "control", `"a`: "without an end",
		`nul`: "a value", `NaN`: "a number", `'a'`: "a number", strings.Repeat("[", 17) + strings.Repeat("]", 17): "nested deeper",
		`{` + strings.TrimSuffix(strings.Repeat(`"x":1,`, 2), ",") + `}`: "duplicate",
	} {
		if err := skip(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// FuzzSkip: what is accepted is JSON, and strings are what encoding/json makes of them.
func FuzzSkip(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e-3,"\ud83d\ude00",null]}`, `"\u00e9\/"`, `[{"":""},-0]`, `"\uD83D\uDE00"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if skip(text) != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is not JSON", text)
		}
		r := New(text, Limits{})
		if r.Next() != '"' {
			return
		}
		got, err := r.Text()
		var want string
		if other := json.Unmarshal([]byte(text), &want); err != nil || other != nil || got != want {
			t.Fatalf("%q: %q %v, encoding/json %q %v", text, got, err, want, other)
		}
	})
}

// The bytes that stand for themselves are the same whether they are looked at one by one or eight at a time.
func FuzzPlain(f *testing.F) {
	for _, text := range []string{"", "plain, and longer than a word is", `"`, `1234567"`, `12345678\`, "\x1f\x20", "\xff\x20\x20\x20\x20\x20\x20\x20", "\x7f", "\x80\x7f\x21\x22\x23!!!"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := strings.IndexFunc(text, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' })
		if want < 0 {
			want = len(text)
		}
		if got := Plain(text); got != want {
			t.Errorf("%q: %d bytes, want %d", text, got, want)
		}
	})
}
