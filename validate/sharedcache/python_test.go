package sharedcache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"

	"authproxy/validate/sharedcache/memcachedtest"
)

// peer is what a Python service does with its cache: get and set of keystonemiddleware's own TokenCache, on real memcached.
// It takes a list of questions and prints the answers.
const peer = `
import json, logging, sys
from keystonemiddleware.auth_token import _cache
q = json.load(sys.stdin)
log = logging.getLogger()
kw = dict(cache_time=60, memcached_servers=q["servers"], use_advanced_pool=q["pool"], dead_retry=1, socket_timeout=5, maxsize=2, unused_timeout=5, conn_get_timeout=5)
if not q["pool"]:
    for k in ("maxsize", "unused_timeout", "conn_get_timeout"):
        del kw[k]
caches = {}
def cache(strategy):
    if strategy not in caches:
        c = _cache.SecureTokenCache(log, strategy, q["secret"], **kw) if strategy else _cache.TokenCache(log, **kw)
        c.initialize({})
        caches[strategy] = c
    return caches[strategy]
answers = []
for do in q["do"]:
    c = cache(do["strategy"])
    if "body" in do:
        c.set(do["token"], do["body"])
        answers.append(None)
    else:
        answers.append(c.get(do["token"]))
json.dump(answers, sys.stdout)
`

type question struct {
	Strategy string `json:"strategy"`
	Token    string `json:"token"`
	Body     any    `json:"body,omitempty"`
}

// debianPython is Debian's, with its keystonemiddleware.
func debianPython(t *testing.T) (ask func(servers []string, pool bool, do ...question) []json.RawMessage) {
	t.Helper()
	const program = "/usr/bin/python3"
	if out, err := exec.Command(program, "-I", "-c", "import keystonemiddleware.auth_token, memcache").CombinedOutput(); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatalf("AUTHPROXY_REQUIRE_SERVICES=1, but %v: %s", err, out)
		}
		t.Skip("there is no keystonemiddleware here (Debian package python3-keystonemiddleware)")
	}
	return func(servers []string, pool bool, do ...question) []json.RawMessage {
		t.Helper()
		in, err := json.Marshal(map[string]any{"servers": servers, "secret": secret, "pool": pool, "do": do})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-I", "-c", peer)
		var stderr bytes.Buffer
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		var answers []json.RawMessage
		if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(do) {
			t.Fatalf("%q, %v", out, err)
		}
		return answers
	}
}

// pythonBody is what auth_token keeps of an answer of the Identity service: the token text is in it.
func pythonBody(t *testing.T, text string) (v map[string]map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	v["token"]["auth_token"] = text
	return v
}

// pythonStrategies are the spellings of memcache_security_strategy, "" for none.
var pythonStrategies = map[string]Strategy{"": InsecurePlain, "MAC": MAC, "ENCRYPT": Encrypt}

// TestPythonReadsAndWrites: each reads what the other wrote, on two servers, so that both must also look in the same place, and
// with both pools that auth_token has.
func TestPythonReadsAndWrites(t *testing.T) {
	ask := debianPython(t)
	servers := []string{memcachedtest.Start(t), memcachedtest.Start(t)}
	const each = 8
	for _, pool := range []bool{true, false} {
		var do []question
		caches := map[string]*Cache{}
		named := func(strategy, from string, i int) string {
			return digest(fmt.Sprint(pool, strategy, from, i))[:32]
		}
		for name, s := range pythonStrategies {
			caches[name] = newCache(t, Options{Servers: servers, Strategy: s})
			for i := range each {
				theirs, ours := named(name, "python", i), named(name, "go", i)
				do = append(do, question{name, theirs, pythonBody(t, theirs)}, question{name, ours, nil}, question{name, named(name, "nobody", i), nil})
				set(caches[name], ours)
			}
		}
		answers := ask(servers, pool, do...)
		for i, q := range do {
			c := caches[q.Strategy]
			switch i % 3 {
			case 0:
				if at := expect(t, c, q.Token, true); !at.IsZero() {
					t.Errorf("Python has said when: %v", at)
				}
			case 1:
				var read map[string]struct{ User struct{ Name string } }
				if err := json.Unmarshal(answers[i], &read); err != nil || len(read) != 1 || read["token"].User.Name != "alice" {
					t.Errorf("%q: Python read %s", q.Strategy, answers[i])
				}
			case 2:
				if string(answers[i]) != "null" {
					t.Errorf("%q: Python found what nobody kept: %s", q.Strategy, answers[i])
				}
			}
		}
		for name, c := range caches {
			if s := c.Stats(); s.Hits != each || s.Stored != each || s.Rejected+s.Errors != 0 {
				t.Errorf("%q: %+v", name, s)
			}
		}
	}
}

// TestPythonWithOtherProtection: W-6. What a service without protection, or with another one, keeps is not taken. And the names of
// protected entries are the ones that the installed Python makes, the quotes of Python 3 and all.
func TestPythonWithOtherProtection(t *testing.T) {
	ask := debianPython(t)
	server := memcachedtest.Start(t)
	client := memcache.New(server)
	defer client.Close()
	var do []question
	for name := range pythonStrategies {
		do = append(do, question{name, uuid, pythonBody(t, uuid)})
	}
	ask([]string{server}, true, do...)
	kept := map[Strategy]*memcache.Item{}
	for name, s := range pythonStrategies {
		key := entryOf(t, s, secret, uuid).key()
		if quoted := strings.HasPrefix(key, "tokens/b'") && strings.HasSuffix(key, "=='"); quoted != (name != "") {
			t.Error(key)
		}
		item, err := client.Get(key)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		kept[s] = item
	}
	for _, s := range []Strategy{Sealed, MAC, Encrypt} {
		for from, item := range kept {
			if err := client.Set(&memcache.Item{Key: entryOf(t, s, secret, uuid).key(), Value: item.Value}); err != nil {
				t.Fatal(err)
			}
			expect(t, newCache(t, Options{Servers: []string{server}, Strategy: s}), uuid, s == from)
		}
	}
}
