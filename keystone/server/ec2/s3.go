package ec2

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxSigned is the longest text in bytes that a request to S3 is signed as: names of objects may have 1 KiB, and the headers
	// that version 2 signs have to fit in too.
	maxSigned = 16 << 10
	// longestURL is how long a signed URL may be good, by the rules of S3.
	longestURL = 7 * 24 * time.Hour
)

// s3Services are those that keys may be used for beside EC2, by version 4.
var s3Services = []string{"s3", "iam", "sts"}

// S3 is a request to S3 that somebody signed, by version 2 (HMAC-SHA1) or 4. The service that was sent it worked out the text that
// is signed, and it is for that service to look at when.
type S3 struct {
	Access    string
	Signature string
	// Text is what is signed.
	Text []byte
}

// DecodeS3 reads the text that is signed: base64, with either alphabet, padded or not.
func DecodeS3(token string) ([]byte, error) {
	if len(token) > base64.StdEncoding.EncodedLen(maxSigned) {
		return nil, fmt.Errorf("a signed text of %d bytes in base64, there may be %d", len(token), base64.StdEncoding.EncodedLen(maxSigned))
	}
	token = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(token, "="))
	text, err := base64.RawStdEncoding.Strict().DecodeString(token)
	switch {
	case err != nil:
		return nil, errors.New("the signed text is not base64")
	case len(text) == 0:
		return nil, errors.New("no signed text")
	}
	return text, nil
}

// AccessKey names the key.
func (r S3) AccessKey() string { return r.Access }

// Verify says what keeps the signature from being one by this secret; nil for nothing.
func (r S3) Verify(secret string, now time.Time) error {
	switch {
	case r.Signature == "":
		return errors.New("no signature")
	case len(r.Text) == 0:
		return errors.New("no signed text")
	case secret == "": // anybody could sign with it
		return errors.New("the key has no secret")
	}
	text := string(r.Text)
	want := base64.StdEncoding.EncodeToString(digest(sha1.New, []byte(secret), text))
	if strings.HasPrefix(text, "AWS4") {
		key, err := s3Key(secret, text, now)
		if err != nil {
			return err
		}
		want = hex.EncodeToString(digest(sha256.New, key, text))
	}
	if !same(want, r.Signature) {
		return errors.New("wrong signature")
	}
	return nil
}

// s3Key is the key of a day, a region and a service, which a text that is signed by version 4 names.
func s3Key(secret, text string, now time.Time) ([]byte, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != algorithm4 {
		return nil, errors.New("the signed text is none of version 4")
	}
	at, err := time.Parse(basicTime, lines[1])
	if err != nil {
		return nil, fmt.Errorf("signed at %.40q, which is no time", lines[1])
	}
	scope := strings.Split(lines[2], "/")
	switch {
	case len(scope) != 4 || scope[3] != "aws4_request":
		return nil, errors.New("the scope of the signature is not DAY/REGION/SERVICE/aws4_request")
	case scope[0] != at.Format("20060102"):
		return nil, errors.New("the day of the key is not that of the time")
	case !slices.Contains(s3Services, scope[2]):
		return nil, fmt.Errorf("signed for the service %.40q, not for one of %s", scope[2], strings.Join(s3Services, ", "))
	case at.After(now.Add(Window)) || at.Before(now.Add(-longestURL-Window)):
		return nil, fmt.Errorf("signed at %s, which is too far from now", lines[1])
	}
	return dayKey(secret, scope), nil
}

// dayKey is the key that version 4 signs with, for a scope of day, region, service and the word aws4_request.
func dayKey(secret string, scope []string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range scope {
		key = digest(sha256.New, key, part)
	}
	return key
}
