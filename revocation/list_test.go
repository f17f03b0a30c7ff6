package revocation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"authproxy/revocation"
)

func TestParseList(t *testing.T) {
	t.Parallel()
	end := time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC)
	md5, sha256 := strings.Repeat("0f", 16), strings.Repeat("a9", 32)
	long := strings.Repeat("x", 255)
	tests := []struct {
		name string
		in   string
		want revocation.List
		err  error
	}{
		{name: "empty list", in: `{"revoked":[]}`},
		{name: "white space", in: " \r\n\t{ \"revoked\" : [ ] }\r\n"},
		{name: "id, audit id and both", in: `{"revoked":[{"id":"` + md5 + `","expires":"2037-01-01T00:00:00Z"},` +
			`{"audit_id":"AUDrevokedrevokedrevok"},{"id":"` + sha256 + `","audit_id":"x","expires":"2037-01-01T00:00:00Z"}]}`,
			want: revocation.List{Entries: []revocation.Entry{
				{ID: md5, Expires: end}, {AuditID: "AUDrevokedrevokedrevok"}, {ID: sha256, AuditID: "x", Expires: end}}}},
		{name: "unknown members", in: `{"a":{"a":[1,-2.5e+3,0,true,false,null,"\u00e9\ud83d\ude00"]},"revoked":[{"id":"x","links":[{}]}],"z":[]}`,
			want: revocation.List{Entries: []revocation.Entry{{ID: "x"}}}},
		{name: "extensions", in: `{"issued":"2036-12-31T23:00:00Z","sequence":9007199254740993,"next_update":"2037-01-01T00:00:00Z","revoked":[]}`,
			want: revocation.List{Issued: end.Add(-time.Hour), Sequence: 9007199254740993, NextUpdate: end}},
		{name: "null members", in: `{"issued":null,"sequence":null,"revoked":[{"id":"x","audit_id":null,"expires":null}]}`,
			want: revocation.List{Entries: []revocation.Entry{{ID: "x"}}}},
		{name: "escapes", in: `{"r\u0065voked":[{"\u0069d":"\"\\\/\b\n\u00E9\uD83D\uDE00é"}]}`,
			want: revocation.List{Entries: []revocation.Entry{{ID: "\"\\/\b\n\u00e9\U0001F600é"}}}},
		{name: "spellings of time", in: `{"revoked":[{"id":"a","expires":"2037-01-01T00:00:00.000000Z"},{"id":"b","expires":"2037-01-01T00:00:00"},` +
			`{"id":"c","expires":"2037-01-01T02:00:00+02:00"},{"id":"d","expires":"2037-01-01T00:00:00.0"},{"id":"e","expires":"soon"}]}`,
			want: revocation.List{Entries: []revocation.Entry{{ID: "a", Expires: end}, {ID: "b", Expires: end}, {ID: "c", Expires: end}, {ID: "d", Expires: end}, {ID: "e"}}}},
		{name: "longest id", in: `{"revoked":[{"id":"` + long + `"}]}`, want: revocation.List{Entries: []revocation.Entry{{ID: long}}}},
		{name: "names in another case are other names", in: `{"REVOKED":1,"Token":2,"revoked":[{"ID":7,"id":"x"}]}`,
			want: revocation.List{Entries: []revocation.Entry{{ID: "x"}}}},

		{name: "v3 token", in: `{"token":{"user":{"id":"u"}}}`, err: revocation.ErrNotAList},
		{name: "v2 token", in: `{"access":{"user":{"id":"u"}}}`, err: revocation.ErrNotAList},
		{name: "token and list", in: `{"revoked":[{"id":"x"}],"token":{}}`, err: revocation.ErrNotAList},
		{name: "list and token", in: `{"\u0074oken":null,"revoked":[]}`, err: revocation.ErrNotAList},

		{name: "nothing", in: ``, err: revocation.ErrMalformed},
		{name: "blank", in: " \n", err: revocation.ErrMalformed},
		{name: "no object", in: `["revoked"]`, err: revocation.ErrMalformed},
		{name: "null", in: `null`, err: revocation.ErrMalformed},
		{name: "no list", in: `{}`, err: revocation.ErrMalformed},
		{name: "no revoked", in: `{"sequence":1}`, err: revocation.ErrMalformed},
		{name: "revoked is null", in: `{"revoked":null}`, err: revocation.ErrMalformed},
		{name: "revoked is an object", in: `{"revoked":{}}`, err: revocation.ErrMalformed},
		{name: "revoked is a string", in: `{"revoked":"[]"}`, err: revocation.ErrMalformed},
		{name: "revoked twice", in: `{"revoked":[{"id":"x"}],"revoked":[]}`, err: revocation.ErrMalformed},
		{name: "revoked twice, escaped", in: `{"revoked":[{"id":"x"}],"revo\u006bed":[]}`, err: revocation.ErrMalformed},
		{name: "id twice", in: `{"revoked":[{"id":"x","id":"y"}]}`, err: revocation.ErrMalformed},
		{name: "unknown name twice", in: `{"revoked":[{"id":"x","a":1,"a":1}]}`, err: revocation.ErrMalformed},
		{name: "unknown name twice, deep", in: `{"revoked":[],"a":[{"b":1,"b":1}]}`, err: revocation.ErrMalformed},
		{name: "entry is a string", in: `{"revoked":["x"]}`, err: revocation.ErrMalformed},
		{name: "entry is null", in: `{"revoked":[null]}`, err: revocation.ErrMalformed},
		{name: "entry without ids", in: `{"revoked":[{"expires":"2037-01-01T00:00:00Z"}]}`, err: revocation.ErrMalformed},
		{name: "entry with empty ids", in: `{"revoked":[{"id":"","audit_id":null}]}`, err: revocation.ErrMalformed},
		{name: "id is a number", in: `{"revoked":[{"id":7}]}`, err: revocation.ErrMalformed},
		{name: "audit id is an array", in: `{"revoked":[{"id":"x","audit_id":["y"]}]}`, err: revocation.ErrMalformed},
		{name: "expires is a number", in: `{"revoked":[{"id":"x","expires":2114380800}]}`, err: revocation.ErrMalformed},
		{name: "id too long", in: `{"revoked":[{"id":"` + long + `x"}]}`, err: revocation.ErrMalformed},
		{name: "audit id too long", in: `{"revoked":[{"audit_id":"` + long + `x"}]}`, err: revocation.ErrMalformed},
		{name: "issued is no time", in: `{"issued":"today","revoked":[]}`, err: revocation.ErrMalformed},
		{name: "sequence is a fraction", in: `{"sequence":1.0,"revoked":[]}`, err: revocation.ErrMalformed},
		{name: "sequence is negative", in: `{"sequence":-1,"revoked":[]}`, err: revocation.ErrMalformed},
		{name: "sequence overflows", in: `{"sequence":9223372036854775808,"revoked":[]}`, err: revocation.ErrMalformed},
		{name: "sequence is a string", in: `{"sequence":"1","revoked":[]}`, err: revocation.ErrMalformed},
		{name: "two lists", in: `{"revoked":[]}{"revoked":[]}`, err: revocation.ErrMalformed},
		{name: "zero byte behind", in: "{\"revoked\":[]}\x00", err: revocation.ErrMalformed},
		{name: "byte order mark", in: "\ufeff{\"revoked\":[]}", err: revocation.ErrMalformed},
		{name: "comma at the end", in: `{"revoked":[{"id":"x"},]}`, err: revocation.ErrMalformed},
		{name: "comma at the start", in: `{"revoked":[,{"id":"x"}]}`, err: revocation.ErrMalformed},
		{name: "no comma", in: `{"revoked":[{"id":"x"}{"id":"y"}]}`, err: revocation.ErrMalformed},
		{name: "no colon", in: `{"revoked"[]}`, err: revocation.ErrMalformed},
		{name: "bare name", in: `{revoked:[]}`, err: revocation.ErrMalformed},
		{name: "cut short", in: `{"revoked":[{"id":"x"}]`, err: revocation.ErrMalformed},
		{name: "cut short in an escape", in: `{"revoked":[{"id":"x\`, err: revocation.ErrMalformed},
		{name: "NaN", in: `{"revoked":[],"a":NaN}`, err: revocation.ErrMalformed},
		{name: "leading zero", in: `{"revoked":[],"a":01}`, err: revocation.ErrMalformed},
		{name: "bare minus", in: `{"revoked":[],"a":-}`, err: revocation.ErrMalformed},
		{name: "half a fraction", in: `{"revoked":[],"a":1.}`, err: revocation.ErrMalformed},
		{name: "half an exponent", in: `{"revoked":[],"a":1e}`, err: revocation.ErrMalformed},
		{name: "half a word", in: `{"revoked":[],"a":tru}`, err: revocation.ErrMalformed},
		{name: "control character", in: "{\"revoked\":[{\"id\":\"a\nb\"}]}", err: revocation.ErrMalformed},
		{name: "unknown escape", in: `{"revoked":[{"id":"\x41"}]}`, err: revocation.ErrMalformed},
		{name: "short escape", in: `{"revoked":[{"id":"\u00e"}]}`, err: revocation.ErrMalformed},
		{name: "half of a surrogate pair", in: `{"revoked":[{"id":"\ud83d"}]}`, err: revocation.ErrMalformed},
		{name: "two first halves", in: `{"revoked":[{"id":"\ud83d\ud83d"}]}`, err: revocation.ErrMalformed},
		{name: "second half first", in: `{"revoked":[{"id":"\ude00\ud83d"}]}`, err: revocation.ErrMalformed},
		{name: "not UTF-8", in: "{\"revoked\":[{\"id\":\"\xff\"}]}", err: revocation.ErrMalformed},
		{name: "not UTF-8 beside an escape", in: "{\"revoked\":[{\"id\":\"\\n\xff\"}]}", err: revocation.ErrMalformed},
		{name: "deep nesting", in: `{"revoked":[],"a":` + strings.Repeat("[", 1<<16) + strings.Repeat("]", 1<<16) + `}`, err: revocation.ErrMalformed},
		{name: "very many members", in: `{"revoked":[],` + members(100) + `}`, err: revocation.ErrMalformed},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := revocation.ParseList([]byte(tc.in))
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if tc.err != nil {
				if got != nil {
					t.Error("a list beside an error")
				}
				if errors.Is(err, revocation.ErrNotAList) && errors.Is(err, revocation.ErrMalformed) {
					t.Error("one error of both kinds")
				}
				return
			}
			if !reflect.DeepEqual(*got, tc.want) {
				t.Errorf("got %+v, want %+v", *got, tc.want)
			}
		})
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":0,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestParseListDoesNotAlias(t *testing.T) {
	t.Parallel()
	content := []byte(`{"revoked":[{"id":"first"}]}`)
	list, err := revocation.ParseList(content)
	if err != nil {
		t.Fatal(err)
	}
	copy(content, bytes.Repeat([]byte("x"), len(content)))
	if list.Entries[0].ID != "first" {
		t.Errorf("changing the input made the id %q", list.Entries[0].ID)
	}
}

// FuzzParseList wants whatever is accepted to be JSON that encoding/json reads in the same way, and whatever the index was
// given to be found again.
func FuzzParseList(f *testing.F) {
	for _, seed := range []string{
		`{"revoked":[{"id":"0123456789abcdef0123456789ABCDEF","audit_id":"AUDrevokedrevokedrevok","expires":"2037-01-01T00:00:00Z"}]}`,
		`{"issued":"2036-12-31T23:00:00Z","sequence":7,"next_update":null,"revoked":[{"id":"\ud83d\ude00\n"},{"audit_id":"x","a":[1e5,{}]}]}`,
		`{"token":{}}`, `{"revoked":[],"revoked":[]}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		list, err := revocation.ParseList(content)
		if err != nil {
			if !errors.Is(err, revocation.ErrMalformed) && !errors.Is(err, revocation.ErrNotAList) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		var members map[string]json.RawMessage // not a struct, which would take names in any case
		if err := json.Unmarshal(content, &members); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if members["token"] != nil || members["access"] != nil {
			t.Fatal("accepted a token")
		}
		var entries []map[string]any
		if err := json.Unmarshal(members["revoked"], &entries); err != nil || entries == nil {
			t.Fatalf("accepted a list that is no array: %v", err)
		}
		if len(entries) != len(list.Entries) {
			t.Fatalf("%d entries, encoding/json finds %d", len(list.Entries), len(entries))
		}
		snapshot := revocation.NewSnapshot(list.Entries, time.Time{})
		for i, e := range list.Entries {
			id, _ := entries[i]["id"].(string)
			audit, _ := entries[i]["audit_id"].(string)
			if e.ID != id || e.AuditID != audit || id == "" && audit == "" {
				t.Fatalf("entry %d is %+v, encoding/json finds %v", i, e, entries[i])
			}
			if id != "" && !snapshot.ContainsID(id) || audit != "" && !snapshot.ContainsAuditID(audit) {
				t.Fatalf("entry %d is not found again: %+v", i, e)
			}
		}
	})
}

// FuzzParseDelta wants a document to be a delta or a list and never both, and a delta to be one that encoding/json reads so.
func FuzzParseDelta(f *testing.F) {
	for _, seed := range []string{
		`{"delta":{"from":1,"to":2},"sequence":2,"issued":"2036-12-31T23:00:00Z","next_update":"2037-01-01T00:00:00Z","added":[{"id":"x"}]}`,
		`{"delta":{"from":2,"to":2},"sequence":2,"issued":"2036-12-31T23:00:00","next_update":"2037-01-01T00:00:00Z","added":[],"x":{}}`,
		`{"revoked":[],"delta":{}}`, `{"token":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := revocation.ParseDelta(content)
		if err != nil {
			if !errors.Is(err, revocation.ErrMalformed) && !errors.Is(err, revocation.ErrNotADelta) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if _, err := revocation.ParseList(content); err == nil {
			t.Fatal("a delta and a list")
		}
		var doc map[string]json.RawMessage
		var span map[string]json.RawMessage
		var from, to, sequence uint64
		var added []json.RawMessage
		if err := errors.Join(json.Unmarshal(content, &doc), json.Unmarshal(doc["delta"], &span), json.Unmarshal(span["from"], &from),
			json.Unmarshal(span["to"], &to), json.Unmarshal(doc["sequence"], &sequence), json.Unmarshal(doc["added"], &added)); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if doc["revoked"] != nil || doc["token"] != nil || doc["access"] != nil {
			t.Fatal("accepted more than a delta")
		}
		if d.From != from || d.To != to || sequence != to || from == 0 || to < from || len(d.Added) != len(added) || from == to && len(added) > 0 ||
			d.Issued.IsZero() || d.NextUpdate.IsZero() {
			t.Fatalf("got %+v", d)
		}
	})
}
