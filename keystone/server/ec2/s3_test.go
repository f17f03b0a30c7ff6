package ec2_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server/ec2"
)

// The examples of Amazon's manual of S3, version 2 and 4.
const (
	s3Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	s3Text2  = "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg"
	s3Text4  = "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
	s3Sign2  = "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="
	s3Sign4  = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
)

var s3At = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func TestS3(t *testing.T) {
	t.Parallel()
	for text, signature := range map[string]string{s3Text2: s3Sign2, s3Text4: s3Sign4} {
		good := ec2.S3{Access: "A", Signature: signature, Text: []byte(text)}
		if err := good.Verify(s3Secret, s3At); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for what, change := range map[string]func(r *ec2.S3){
			"text":         func(r *ec2.S3) { r.Text = []byte(strings.Replace(text, "2", "3", 1)) },
			"no text":      func(r *ec2.S3) { r.Text = nil },
			"signature":    func(r *ec2.S3) { r.Signature = "x" + r.Signature[1:] },
			"longer":       func(r *ec2.S3) { r.Signature += "=" },
			"no signature": func(r *ec2.S3) { r.Signature = "" },
		} {
			changed := good
			if change(&changed); changed.Verify(s3Secret, s3At) == nil {
				t.Errorf("%q passes after a change: %s", text, what)
			}
		}
		for _, secret := range []string{"", s3Secret + "x", strings.ToLower(s3Secret)} {
			if good.Verify(secret, s3At) == nil {
				t.Errorf("%q passes by the secret %q", text, secret)
			}
		}
	}
}

func TestS3Version4(t *testing.T) {
	t.Parallel()
	good := ec2.S3{Access: "A", Signature: s3Sign4, Text: []byte(s3Text4)}
	for off, passes := range map[time.Duration]bool{
		-ec2.Window: true, -ec2.Window - time.Second: false, 7 * 24 * time.Hour: true, 8 * 24 * time.Hour: false,
	} {
		if err := good.Verify(s3Secret, s3At.Add(off)); (err == nil) != passes {
			t.Errorf("%s later: %v", off, err)
		}
	}
	// Each is signed as it is, so that it is refused for what it says.
	for _, text := range []string{
		"AWS4-HMAC-SHA256",
		"AWS4-HMAC-SHA1\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\nx",
		"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\nx\ny",
		"AWS4-HMAC-SHA256\n20130524T000000Z\n20130525/us-east-1/s3/aws4_request\nx",
		"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/ec2/aws4_request\nx",
		"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4\nx",
		"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/s3/aws4_request\nx",
		"AWS4-HMAC-SHA256\nnow\n20130524/us-east-1/s3/aws4_request\nx",
		"AWS4",
	} {
		h := hmac.New(sha1.New, []byte(s3Secret))
		h.Write([]byte(text))
		signed := ec2.S3{Access: "A", Signature: base64.StdEncoding.EncodeToString(h.Sum(nil)), Text: []byte(text)}
		if err := signed.Verify(s3Secret, s3At); err == nil || strings.Contains(err.Error(), "wrong signature") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDecodeS3(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"Pz8-Pg==": "??>>", "Pz8+Pg==": "??>>", "Pz8+Pg": "??>>", "Pz8-Pz8_": "??>???"} {
		if got, err := ec2.DecodeS3(text); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "=", "A", "Pz8-Ph==", "a b", "a.b", strings.Repeat("A", 30000)} {
		if got, err := ec2.DecodeS3(text); err == nil {
			t.Errorf("%.20s: %q", text, got)
		}
	}
}

func FuzzS3(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString([]byte(s3Text2)), "x")
	f.Add(base64.URLEncoding.EncodeToString([]byte(s3Text4)), "y")
	f.Fuzz(func(t *testing.T, token, signature string) {
		text, err := ec2.DecodeS3(token)
		if err != nil {
			return
		}
		if len(text) == 0 || len(text) > len(token) {
			t.Errorf("%q is %q", token, text)
		}
		if (ec2.S3{Access: "A", Signature: signature, Text: text}).Verify(secret, s3At) == nil {
			t.Errorf("%q %q passes", token, signature)
		}
	})
}
