package oauth1

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// TestSpecification checks the example of RFC 5849, section 3.4.1.
func TestSpecification(t *testing.T) {
	header := `OAuth realm="Example", oauth_consumer_key="9djdj82h48djs9d2", oauth_token="kkk9d7dh3k39sjv7",
		oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131201", oauth_nonce="7d8f3e4a", oauth_signature="bYT5CMsGcbgUdFHObYMEfcx6bsw%3D"`
	r := Request{Method: "POST", URL: "http://EXAMPLE.COM:80/request", Query: "b5=%3D%253D&a3=a&c%40=&a2=r%20b&c2&a3=2+q", Authorization: header}
	s, err := parse(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26" +
		"oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26" +
		"oauth_token%3Dkkk9d7dh3k39sjv7"
	if s.base != want {
		t.Errorf("base string\n%s\nwant\n%s", s.base, want)
	}
	// The request of section 1.2, with the signature that oauthlib makes for it.
	photo := Request{Method: "POST", URL: "https://photos.example.net/initiate", Authorization: `OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03",
		oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131200", oauth_nonce="wIjqoxSzpvs",
		oauth_callback="http%3A%2F%2Fprinter.example.com%2Fready", oauth_signature="o8i9Im1aF%2BkftAdWutEHkga21%2B0%3D"`}
	if s, err = parse(photo); err != nil || !s.matches("kd94hf93k423kf44", "") {
		t.Errorf("the request of section 1.2: %v", err)
	}
	if s.matches("kd94hf93k423kf44", "x") || s.matches("", "") {
		t.Error("wrong secrets match")
	}
	other := photo
	other.Query = "x"
	if s, err := parse(other); err != nil || s.matches("kd94hf93k423kf44", "") {
		t.Errorf("a changed request matches: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := map[string]string{"oauth_consumer_key": "c", "oauth_nonce": "n", "oauth_timestamp": "1", "oauth_signature_method": "HMAC-SHA1", "oauth_signature": "AA%3D%3D"}
	header := func(change func(map[string]string)) string {
		parameters := map[string]string{}
		for name, value := range good {
			parameters[name] = value
		}
		change(parameters)
		var pieces []string
		for name, value := range parameters {
			pieces = append(pieces, name+`="`+value+`"`)
		}
		return "OAuth " + strings.Join(pieces, ", ")
	}
	set := func(name, value string) string { return header(func(p map[string]string) { p[name] = value }) }
	if _, err := parse(Request{Method: "POST", URL: "http://h/", Authorization: set("oauth_version", "1.0")}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plaintext":         set("oauth_signature_method", "PLAINTEXT"),
		"RSA":               set("oauth_signature_method", "RSA-SHA1"),
		"case of a method":  set("oauth_signature_method", "hmac-sha1"),
		"version":           set("oauth_version", "2.0"),
		"no nonce":          set("oauth_nonce", ""),
		"long nonce":        set("oauth_nonce", strings.Repeat("n", 256)),
		"negative time":     set("oauth_timestamp", "-1"),
		"time with a zero":  set("oauth_timestamp", "01"),
		"time that is none": set("oauth_timestamp", "now"),
		"huge time":         set("oauth_timestamp", "99999999999999999999"),
		"signature":         set("oauth_signature", "AA"),
		"loose bits":        set("oauth_signature", "AB%3D%3D"),
		"bad escape":        set("x", "%zz"),
		"twice":             set("x", "y") + `, x="z"`,
		"twice, escaped":    set("x", "y") + `, %78="z"`,
		"no quotes":         set("x", "y") + `, z=1`,
		"one quote":         set("x", "y") + `, z="`,
		"no value":          set("x", "y") + `, z`,
		"long":              set("x", strings.Repeat("y", maxHeader)),
		"bad query":         "query",
	} {
		r := Request{Method: "POST", URL: "http://h/", Authorization: text}
		if text == "query" {
			r.Authorization, r.Query = set("x", "y"), "a=%zz"
		}
		if _, err := parse(r); err == nil || errors.Is(err, errNotSigned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "Negotiate x", "OAuth2 x", "Bearer x"} {
		if _, err := parse(Request{Authorization: text}); !errors.Is(err, errNotSigned) {
			t.Errorf("%q: %v, want errNotSigned", text, err)
		}
	}
}

// TestPlaintext checks the method of RFC 5849, section 3.4.4.
func TestPlaintext(t *testing.T) {
	const plain = `OAuth realm="Photos", oauth_consumer_key="jd83jd92dhsh93js", oauth_token="t", oauth_signature_method="PLAINTEXT"`
	signed := plain + `, oauth_signature="ja893SD9%26a%2526b"`
	s, err := parse(Request{Authorization: signed, Private: true})
	if err != nil || s.consumerID != "jd83jd92dhsh93js" || s.token != "t" {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, secrets := range [][2]string{{"ja893SD9", "a&b"}, {"ja893SD9", "a%26b"}, {"ja893SD9", ""}, {"", ""}, {"ja893SD9&a", "b"}} {
		if got, want := s.matches(secrets[0], secrets[1]), secrets[1] == "a&b"; got != want {
			t.Errorf("%q: %v", secrets, got)
		}
	}
	timed := signed + `, oauth_nonce="n", oauth_timestamp="1"`
	if s, err := parse(Request{Authorization: timed, Private: true}); err != nil || s.nonce != "n" || s.saidAt != 1 || !s.matches("ja893SD9", "a&b") {
		t.Errorf("%+v, %v", s, err)
	}
	for name, r := range map[string]Request{
		"in the clear":       {Authorization: signed},
		"a time alone":       {Authorization: signed + `, oauth_timestamp="1"`, Private: true},
		"a nonce alone":      {Authorization: signed + `, oauth_nonce="1"`, Private: true},
		"no time":            {Authorization: signed + `, oauth_nonce="n", oauth_timestamp="x"`, Private: true},
		"version":            {Authorization: signed + `, oauth_version="2.0"`, Private: true},
		"case of the method": {Authorization: strings.Replace(signed, "PLAINTEXT", "plaintext", 1), Private: true},
		"RSA":                {Authorization: strings.Replace(signed, "PLAINTEXT", "RSA-SHA1", 1), Private: true},
	} {
		if s, err := parse(r); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s, err := parse(Request{Authorization: plain, Private: true}); err != nil || s.matches("", "") || s.matches("x", "") {
		t.Errorf("without a signature: %+v, %v", s, err)
	}
}

// FuzzParse: whatever is read has the form that signing it again would give.
func FuzzParse(f *testing.F) {
	f.Add(`OAuth realm="r", oauth_consumer_key="c%20d", oauth_nonce="n", oauth_timestamp="1", oauth_signature_method="HMAC-SHA1", oauth_signature="AA%3D%3D"`, "a=b&c")
	f.Add(`oauth oauth_nonce="n",oauth_timestamp="12",oauth_signature_method="HMAC-SHA1",oauth_signature=""`, "%41=+&&=")
	f.Fuzz(func(t *testing.T, header, query string) {
		s, err := parse(Request{Method: "get", URL: "HTTP://h:80", Query: query, Authorization: header})
		if err != nil {
			return
		}
		if !strings.HasPrefix(s.base, "GET&http%3A%2F%2Fh%2F&") || strings.Count(s.base, "&") != 2 || len(s.nonce) == 0 || s.saidAt < 0 {
			t.Errorf("%q %q: %+v", header, query, s)
		}
		list, err := url.PathUnescape(s.base[strings.LastIndexByte(s.base, '&')+1:])
		if err != nil {
			t.Fatal(err)
		}
		for p := range strings.SplitSeq(list, "&") {
			if strings.HasPrefix(p, "oauth_signature=") && !strings.Contains(query, "sig") && !strings.Contains(query, "%") {
				t.Errorf("the signature is in what is signed: %s", s.base)
			}
		}
		if s.matches("a", "b") && base64.StdEncoding.EncodeToString(s.signature) == "" {
			t.Error("an empty signature matches")
		}
	})
}
