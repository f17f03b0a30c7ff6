// Package token turns token text into what it says, and back: the PKI and PKIZ forms, the JSON bodies inside them, and the
// ids under which a revocation list knows a token. It knows spelling only; whose signature counts is the business of certs.
package token

import (
	"bytes"
	"compress/zlib"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"authproxy/certs/cms"
	"authproxy/keystone/token/zlib6"
)

var (
	// ErrMalformed says that text is not in the one spelling of any token form.
	ErrMalformed = errors.New("malformed token")
	// ErrTooLarge says that text, or what it inflates to, is over the limit.
	ErrTooLarge = errors.New("token too large")
	// ErrNotAToken says that a sound document is not a token, or is one that says too little.
	ErrNotAToken = errors.New("not a token")
)

// Form is the outward form of a token.
type Form uint8

const (
	// Unknown is text that cannot be a token of any form.
	Unknown Form = iota
	// PKI is base64 of a CMS message with "/" written as "-".
	PKI
	// PKIZ is "PKIZ_" and the base64url of the zlib-compressed PEM text of a CMS message.
	PKIZ
	// UUID is 32 lower-case hex digits; only the Identity service knows what it stands for.
	UUID
	// Fernet is an encrypted token that only the Identity service can read.
	Fernet
	// JWS is a signed JSON token (Keystone's jws provider).
	JWS
)

func (f Form) String() string {
	return [...]string{"unknown", "pki", "pkiz", "uuid", "fernet", "jws"}[f]
}

const pkizPrefix = "PKIZ_"

// Limits bounds what is read before anything is known of the sender. Zero fields mean the defaults.
type Limits struct {
	// Text is the longest token text, in bytes; 64 KiB by default.
	Text int
	// Inflated is the most that a PKIZ token may inflate to, in bytes; 512 KiB by default.
	Inflated int
}

const (
	defaultText     = 64 << 10
	defaultInflated = 512 << 10
)

func (l Limits) text() int {
	if l.Text > 0 {
		return l.Text
	}
	return defaultText
}

func (l Limits) inflated() int {
	if l.Inflated > 0 {
		return l.Inflated
	}
	return defaultInflated
}

// FormOf tells a token's form from its first bytes and its alphabet. PKI means no more than that the text begins like a
// signed message (SEQUENCE, signedData), whatever its length; Unknown is text that no Identity service could have issued, and
// asking one about it would be a gift to whoever sends it.
func FormOf(text string) Form {
	switch {
	case strings.HasPrefix(text, pkizPrefix):
		return PKIZ
	case looksPKI(text):
		return PKI
	case looksUUID(text):
		return UUID
	case looksFernet(text):
		return Fernet
	case looksJWS(text):
		return JWS
	}
	return Unknown
}

// pkiEncoding is standard base64 with "-" for "/", as keystoneclient's cms_to_token writes it.
var pkiEncoding = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-").Strict()

var pkizEncoding = base64.URLEncoding.Strict()

// looksPKI says whether text decodes to a SEQUENCE of any length form whose first element is the OID signedData.
func looksPKI(text string) bool {
	const head = 24 // characters: 18 bytes, which hold tag, up to 5 length octets and the OID
	if len(text) < head || text[0] != 'M' {
		return false
	}
	var first [18]byte
	if _, err := pkiEncoding.Decode(first[:], []byte(text[:head])); err != nil || first[0] != 0x30 {
		return false
	}
	at := 2
	if first[1] >= 0x80 {
		at += int(first[1] - 0x80)
	}
	oid := []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}
	return at+len(oid) <= len(first) && bytes.Equal(first[at:at+len(oid)], oid)
}

func looksUUID(text string) bool {
	return len(text) == 32 && all(text, func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' })
}

// looksFernet checks version, alphabet and length of a Fernet token: version 0x80, time, IV, whole AES blocks, HMAC.
func looksFernet(text string) bool {
	body := strings.TrimRight(text, "=")
	if len(text)-len(body) > 2 || !strings.HasPrefix(body, "gA") || !all(body, isBase64URL) {
		return false
	}
	const fixed, block = 1 + 8 + 16 + 32, 16
	n := base64.RawURLEncoding.DecodedLen(len(body))
	return n > fixed && (n-fixed)%block == 0
}

func looksJWS(text string) bool {
	parts := strings.Split(text, ".")
	return len(parts) == 3 && strings.HasPrefix(text, "eyJ") && parts[1] != "" && parts[2] != "" &&
		all(parts[0], isBase64URL) && all(parts[1], isBase64URL) && all(parts[2], isBase64URL)
}

func isBase64URL(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func all(text string, ok func(byte) bool) bool {
	for i := range len(text) {
		if !ok(text[i]) {
			return false
		}
	}
	return true
}

// Decode takes the CMS message out of PKI or PKIZ text, as DER. PKI text has one spelling only. PKIZ text has one spelling
// but for the choices that a compressor has: the same message can stand in many PKIZ texts. Errors wrap ErrMalformed or
// ErrTooLarge.
func Decode(text string, limits Limits) ([]byte, error) { return AppendDER(nil, text, limits) }

// AppendDER appends what Decode returns to a buffer, and returns that. With an error it is the buffer as it came.
func AppendDER(to []byte, text string, limits Limits) ([]byte, error) {
	if len(text) > limits.text() {
		return to, fmt.Errorf("%w: %d bytes of text, %d are allowed", ErrTooLarge, len(text), limits.text())
	}
	switch FormOf(text) {
	case PKI:
		return appendBase64(to, pkiEncoding, text)
	case PKIZ:
		compressed, err := appendBase64(nil, pkizEncoding, text[len(pkizPrefix):])
		if err != nil {
			return to, err
		}
		der, err := inflate(compressed, limits.inflated())
		if err != nil {
			return to, err
		}
		return append(to, der...), nil
	}
	return to, fmt.Errorf("%w: neither PKI nor PKIZ text", ErrMalformed)
}

// appendBase64 decodes text of one spelling: strict padding bits, and none of the line ends that Go's decoder passes over.
func appendBase64(to []byte, encoding *base64.Encoding, text string) ([]byte, error) {
	out := slices.Grow(to, encoding.DecodedLen(len(text)))
	out = out[:len(to)+encoding.DecodedLen(len(text))]
	n, err := encoding.Decode(out[len(to):], []byte(text))
	if err != nil {
		return to, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if encoding.EncodedLen(n) != len(text) {
		return to, fmt.Errorf("%w: line ends within base64", ErrMalformed)
	}
	return out[:len(to)+n], nil
}

// inflater is what a PKIZ token is inflated with, kept between tokens: a fresh zlib reader takes 40 KiB.
type inflater struct {
	in  bytes.Reader
	z   io.ReadCloser
	out bytes.Buffer
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// A PKIZ token inflates to three to six times its size: ids and signature do not repeat, however long the catalog. What inflates
// to far more is not one, and its sender must not get work for nothing.
const (
	maxRatio  = 32
	ratioFree = 16 << 10 // for short texts, whose work is short too
)

// inflate turns the zlib stream of a PEM text into the DER within. The first line tells how long the message says it is, so
// that a stream which cannot be a message is given up after a few hundred bytes, and none is followed beyond its own word.
func inflate(compressed []byte, limit int) ([]byte, error) {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	f.in.Reset(compressed)
	f.out.Reset()
	var err error
	if f.z == nil {
		f.z, err = zlib.NewReader(&f.in)
	} else {
		err = f.z.(zlib.Resetter).Reset(&f.in, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	const head = 128 // enough for the armour's first line and the message's own length
	if _, err := io.CopyN(&f.out, f.z, head); err != nil {
		return nil, fmt.Errorf("%w: inflating: %w", ErrMalformed, err)
	}
	want, err := statedLength(f.out.Bytes())
	if err != nil {
		return nil, err
	}
	if want > min(limit, maxRatio*len(compressed)+ratioFree) {
		return nil, fmt.Errorf("%w: inflates to %d bytes from %d, which is more than is allowed", ErrTooLarge, want, len(compressed))
	}
	// One byte more than stated is asked for, so that the end of the stream and its checksum are seen.
	if _, err := io.CopyN(&f.out, f.z, int64(want-head+1)); err != io.EOF {
		if err == nil {
			return nil, fmt.Errorf("%w: inflates to more than the message's own length", ErrMalformed)
		}
		return nil, fmt.Errorf("%w: inflating: %w", ErrMalformed, err)
	}
	if f.in.Len() != 0 {
		return nil, fmt.Errorf("%w: %d bytes after the compressed text", ErrMalformed, f.in.Len())
	}
	pem := f.out.Bytes()
	der, err := cms.DecodePEM(pem)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(pem) != cms.PEMLen(len(der)) { // DecodePEM lets the final newline be absent
		return nil, fmt.Errorf("%w: armour without its final newline", ErrMalformed)
	}
	return der, nil
}

// statedLength reads, from the first bytes of a PEM text, how long the text must be for the message to be complete.
func statedLength(head []byte) (int, error) {
	const begin = "-----BEGIN CMS-----\n"
	var first [6]byte
	if !bytes.HasPrefix(head, []byte(begin)) || len(head) < len(begin)+8 {
		return 0, fmt.Errorf("%w: PKIZ does not hold a CMS message", ErrMalformed)
	}
	if _, err := base64.StdEncoding.Decode(first[:], head[len(begin):len(begin)+8]); err != nil || first[0] != 0x30 || first[1] <= 0x80 || first[1] > 0x84 {
		return 0, fmt.Errorf("%w: PKIZ does not hold a CMS message", ErrMalformed)
	}
	n := 0
	octets := int(first[1] - 0x80)
	for _, b := range first[2 : 2+octets] {
		n = n<<8 | int(b)
	}
	return cms.PEMLen(2 + octets + n), nil
}

// EncodePKI writes a CMS message as PKI token text.
func EncodePKI(der []byte) string { return pkiEncoding.EncodeToString(der) }

// EncodePKIZ writes a CMS message as PKIZ token text.
func EncodePKIZ(der []byte) (string, error) {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(cms.EncodePEM(der)); err != nil {
		return "", fmt.Errorf("compressing: %w", err)
	}
	if err := z.Close(); err != nil {
		return "", fmt.Errorf("compressing: %w", err)
	}
	return pkizPrefix + pkizEncoding.EncodeToString(b.Bytes()), nil
}

// StockPKIZ writes a CMS message as the PKIZ text that Keystone writes with the stock zlib library, byte for byte. A list that
// names tokens by the hash of their text alone can so be asked about a token that stands here in another text. EncodePKIZ
// makes smaller work of it; which compressor a Keystone has, nobody can ask it.
func StockPKIZ(der []byte) string {
	return pkizPrefix + pkizEncoding.EncodeToString(zlib6.Compress(cms.EncodePEM(der)))
}

// HashAlgorithms are the names that hash_algorithms may hold.
var HashAlgorithms = []string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}

// ID is the id under which Keystone stores and revokes a PKI or PKIZ token: the hash of its text, in lower-case hex. It is an
// index, not a proof: md5 is what Keystone uses by default.
func ID(text, algorithm string) (string, error) {
	data := []byte(text)
	switch algorithm {
	case "md5":
		sum := md5.Sum(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha1":
		sum := sha1.Sum(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha224":
		sum := sha256.Sum224(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha256":
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha384":
		sum := sha512.Sum384(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha512":
		sum := sha512.Sum512(data)
		return hex.EncodeToString(sum[:]), nil
	}
	return "", fmt.Errorf("hash algorithm %q is not one of %s", algorithm, strings.Join(HashAlgorithms, ", "))
}
