package anonymous

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	rules, err := Parse([]string{"GET|HEAD /", "GET|HEAD /healthcheck", "GET /public/*", "GET /v2/"}, true)
	if err != nil {
		t.Fatal(err)
	}
	const cors = "Origin: https://ui\r\nAccess-Control-Request-Method: PUT\r\n"
	for _, tt := range []struct{ line, headers, want string }{
		{"GET /", "", "GET|HEAD /"},
		{"HEAD /", "", "GET|HEAD /"},
		{"POST /", "", ""},
		{"get /", "", ""},
		{"GET /healthcheck", "", "GET|HEAD /healthcheck"},
		{"GET /healthcheck?detailed=1", "", "GET|HEAD /healthcheck"},
		{"GET /%68ealthcheck", "", "GET|HEAD /healthcheck"},
		{"GET http://h/healthcheck", "", "GET|HEAD /healthcheck"},
		{"GET /healthcheck/", "", ""},
		{"GET /healthcheckx", "", ""},
		{"GET /x/healthcheck", "", ""},
		{"GET /HEALTHCHECK", "", ""},
		{"GET /healthcheck/../servers", "", ""},
		{"GET /servers?/healthcheck", "", ""},
		{"GET /servers?x=/public/", "", ""},
		{"GET /servers;/healthcheck", "", ""},
		{"GET /healthcheck;x", "", ""},
		{"GET //healthcheck", "", ""},
		{"GET /public/a/b", "", "GET /public/*"},
		{"GET /public/", "", "GET /public/*"},
		{"GET /public/a%20b", "", "GET /public/*"},
		{"GET /public", "", ""},
		{"GET /publicity", "", ""},
		{"DELETE /public/a", "", ""},
		{"GET /public/../servers", "", ""},
		{"GET /public/%2e%2e/servers", "", ""},
		{"GET /public/..%2fservers", "", ""},
		{"GET /public/..%5cservers", "", ""},
		{`GET /public/..\servers`, "", ""},
		{"GET /public/..;/servers", "", ""},
		{"GET /public/%252e%252e/servers", "", ""},
		{"GET /public//servers", "", ""},
		{"GET /public/./servers", "", ""},
		{"GET /public/a%00b", "", ""},
		{"GET /v2/", "", "GET /v2/"},
		{"GET /v2/servers", "", ""},
		{"OPTIONS /servers", cors, Preflight},
		{"OPTIONS /servers/../x", cors, ""},
		{"OPTIONS *", cors, ""},
		{"OPTIONS /servers", "Origin: https://ui\r\n", ""},
		{"OPTIONS /servers", "Access-Control-Request-Method: PUT\r\n", ""},
		{"OPTIONS /servers", cors + "Origin: https://other\r\n", ""},
		{"PUT /servers", cors, ""},
		{"GET /healthcheck", "X-HTTP-Method-Override: DELETE\r\n", ""},
		{"GET /healthcheck", "x_original_url: /servers\r\n", ""},
		{"GET /healthcheck", "X-Rewrite-URL: /servers\r\n", ""},
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(tt.line + " HTTP/1.1\r\nHost: h\r\n" + tt.headers + "\r\n")))
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		if got := rules.Match(r); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.line, tt.headers, got, tt.want)
		}
		if got := (*Rules)(nil).Match(r); got != "" {
			t.Errorf("no rules: %s fits %q", tt.line, got)
		}
	}
	if names := strings.Join(rules.Names(), ", "); names != "GET|HEAD /, GET|HEAD /healthcheck, GET /public/*, GET /v2/, preflight" {
		t.Error(names)
	}
}

func TestWrongRules(t *testing.T) {
	for text, want := range map[string]string{
		"/healthcheck":       "write methods",
		"GET":                "write methods",
		"GET /a /b":          "write methods",
		"get /a":             "no method",
		"GET| /a":            "no method",
		"* /a":               "no method",
		"CONNECT /a":         "CONNECT",
		"GET a":              "the path must",
		"GET /a/../b":        "the path must",
		"GET /a//b":          "the path must",
		"GET /a%2fb":         "the path must",
		"GET /a;b":           "the path must",
		"GET /a?b":           "the path must",
		"GET /a*":            "the path must",
		"GET /*/a":           "the path must",
		"GET /*":             "every path",
		"GET http://h/a":     "the path must",
		"GET|HEAD /a/b/*/*":  "the path must",
		"GET /caf\u00e9":     "the path must",
		"GET,HEAD /a":        "no method",
		"GET /a/b/%2e%2e/*":  "the path must",
		"GET /a/b/..%2f/x/*": "the path must",
	} {
		if r, err := Parse([]string{text}, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v, want an error with %q", text, r.Names(), err, want)
		}
	}
	if r, err := Parse(nil, false); r != nil || err != nil {
		t.Error(r, err)
	}
}
