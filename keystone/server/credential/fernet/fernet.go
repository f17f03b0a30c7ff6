// Package fernet encrypts texts as Fernet does (github.com/fernet/spec: AES-128-CBC and HMAC-SHA-256), with keys in a directory as
// later releases of Keystone have it for credentials.
package fernet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	version = 0x80
	// head is the version, the time and the initialization vector.
	head = 1 + 8 + aes.BlockSize
)

// Key signs with its first half and encrypts with the other.
type Key [32]byte

// NewKey is a key that nobody knows.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails
	return k
}

// ParseKey reads a key as String writes it.
func ParseKey(text string) (Key, error) {
	raw, err := base64.URLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(Key{}) || base64.URLEncoding.EncodeToString(raw) != text {
		return Key{}, errors.New("is no key: 32 bytes in base64url")
	}
	return Key(raw), nil
}

// String is the key in base64url: a secret.
func (k Key) String() string { return base64.URLEncoding.EncodeToString(k[:]) }

// Hash tells keys apart, as Keystone does. SHA-1 of 256 random bits gives nothing away.
func (k Key) Hash() string {
	sum := sha1.Sum([]byte(k.String()))
	return hex.EncodeToString(sum[:])
}

// seal encrypts a text.
func (k Key) seal(text []byte, at time.Time, iv [aes.BlockSize]byte) string {
	pad := aes.BlockSize - len(text)%aes.BlockSize
	token := make([]byte, head+len(text)+pad, head+len(text)+pad+sha256.Size)
	token[0] = version
	binary.BigEndian.PutUint64(token[1:], uint64(at.Unix()))
	copy(token[9:], iv[:])
	body := token[head:]
	copy(body, text)
	for i := len(text); i < len(body); i++ {
		body[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(k.block(), iv[:]).CryptBlocks(body, body)
	return base64.URLEncoding.EncodeToString(k.sign(token))
}

// open decrypts what was sealed with the key; ok is false where it was not.
func (k Key) open(raw []byte) (text []byte, ok bool) {
	end := len(raw) - sha256.Size
	if end < head+aes.BlockSize || (end-head)%aes.BlockSize != 0 || raw[0] != version {
		return nil, false
	}
	signed := k.sign(append([]byte{}, raw[:end]...))
	if !hmac.Equal(signed[end:], raw[end:]) {
		return nil, false
	}
	text = append([]byte{}, raw[head:end]...)
	cipher.NewCBCDecrypter(k.block(), raw[9:head]).CryptBlocks(text, text)
	pad := int(text[len(text)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, false
	}
	for _, b := range text[len(text)-pad:] {
		if int(b) != pad {
			return nil, false
		}
	}
	return text[:len(text)-pad], true
}

func (k Key) block() cipher.Block {
	b, err := aes.NewCipher(k[16:])
	if err != nil { // 16 bytes are a key
		panic(err)
	}
	return b
}

// sign appends the signature.
func (k Key) sign(token []byte) []byte {
	h := hmac.New(sha256.New, k[:16])
	h.Write(token)
	return h.Sum(token)
}

// Ring is keys: the first encrypts, and each of them may have encrypted what is read.
type Ring []Key

// Seal encrypts a text with the first key, whose hash it returns too.
func (r Ring) Seal(text string, at time.Time) (token, hash string) {
	var iv [aes.BlockSize]byte
	rand.Read(iv[:])
	return r[0].seal([]byte(text), at, iv), r[0].Hash()
}

// Open decrypts a text that one of the keys has encrypted, however long ago.
func (r Ring) Open(token string) (string, error) {
	raw, err := base64.URLEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") {
		return "", errors.New("is not encrypted text")
	}
	for _, k := range r {
		if text, ok := k.open(raw); ok {
			return string(text), nil
		}
	}
	return "", fmt.Errorf("was not encrypted with any of the %d keys", len(r))
}
