package sharedcache

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// sealed keeps bodies under AES-256-GCM. A value is
//
//	version (1 byte) ‖ key id (4) ‖ nonce (12) ‖ ciphertext of (milliseconds since 1970 (8, big endian) ‖ body) ‖ tag (16)
//
// Each token has a key of its own (HKDF-SHA-256 of the secret and the token), so that random nonces cannot run out, and the
// token text, the version and the key id are associated data. The key id is not secret: it tells entries of another secret
// from forged ones.
type sealed struct {
	root   []byte
	lookup []byte
	prefix []byte
}

const (
	sealedVersion = 1
	keyIDSize     = 4
	stampSize     = 8
)

func newSealed(secret []byte) (*sealed, error) {
	root, err := hkdf.Extract(sha256.New, secret, []byte("authproxy shared cache, format 1"))
	if err != nil {
		return nil, err
	}
	lookup, err := hkdf.Expand(sha256.New, root, "names", sha256.Size)
	if err != nil {
		return nil, err
	}
	id, err := hkdf.Expand(sha256.New, root, "key id", keyIDSize)
	if err != nil {
		return nil, err
	}
	return &sealed{root: root, lookup: lookup, prefix: append([]byte{sealedVersion}, id...)}, nil
}

func (s *sealed) entry(text string) (entry, error) {
	mac := hmac.New(sha256.New, s.lookup)
	mac.Write([]byte(text))
	name := mac.Sum(nil)
	key, err := hkdf.Expand(sha256.New, s.root, "value "+string(name), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealedEntry{
		name: "authproxy/1/" + base64.RawURLEncoding.EncodeToString(name), prefix: s.prefix, aead: aead,
		bound: append(bytes.Clone(s.prefix), text...),
	}, nil
}

type sealedEntry struct {
	name   string
	prefix []byte
	aead   cipher.AEAD
	bound  []byte // associated data
}

func (e *sealedEntry) key() string { return e.name }

func (e *sealedEntry) seal(body []byte, since time.Time) ([]byte, error) {
	message := binary.BigEndian.AppendUint64(make([]byte, 0, stampSize+len(body)), uint64(since.UnixMilli()))
	message = append(message, body...)
	return e.aead.Seal(bytes.Clone(e.prefix), nil, message, e.bound), nil
}

func (e *sealedEntry) open(value []byte) ([]byte, time.Time, error) {
	boxed, ok := bytes.CutPrefix(value, e.prefix)
	if !ok {
		return nil, time.Time{}, errForeign
	}
	message, err := e.aead.Open(nil, nil, boxed, e.bound)
	if err != nil || len(message) < stampSize {
		return nil, time.Time{}, errForeign
	}
	return message[stampSize:], time.UnixMilli(int64(binary.BigEndian.Uint64(message))), nil
}
