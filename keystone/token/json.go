package token

import (
	"fmt"

	"authproxy/keystone/strictjson"
)

// maxDepth bounds the nesting of a payload: real ones use six levels.
const maxDepth = 32

// jsonReader takes values off the front of one JSON text, in order. The first thing that is wrong stays in err, and from then on
// every step is a no-op.
//
// encoding/json lets the last of two equal names win and folds their case, so it can read another token than a second
// reader of the same bytes; it also takes about as long as the RSA signature check.
type jsonReader struct {
	r   strictjson.Reader
	err error
}

func newJSONReader(text string) jsonReader {
	return jsonReader{r: strictjson.New(text, strictjson.Limits{Nesting: maxDepth})}
}

// note keeps the first error.
func (r *jsonReader) note(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%w: at byte %d: %w", ErrMalformed, r.r.Offset(), err)
	}
}

// peek skips white space and gives the next byte, 0 at the end or after a failure.
func (r *jsonReader) peek() byte {
	if r.err != nil {
		return 0
	}
	return r.r.Next()
}

// object calls member with each name in turn; member must take the value. A name that comes twice is an error.
func (r *jsonReader) object(member func(name string)) {
	if r.err == nil {
		r.note(r.r.Object(func(name string) error {
			member(name)
			return r.err
		}))
	}
}

// array calls element once for each element; element must take it.
func (r *jsonReader) array(element func()) {
	if r.err == nil {
		r.note(r.r.Array(func() error {
			element()
			return r.err
		}))
	}
}

// str takes a string and gives its value.
func (r *jsonReader) str() string {
	if r.err != nil {
		return ""
	}
	text, err := r.r.Text()
	r.note(err)
	return text
}

// null takes a null if there is one.
func (r *jsonReader) null() bool {
	if r.peek() != 'n' {
		return false
	}
	r.skip()
	return true
}

// boolean takes true or false.
func (r *jsonReader) boolean() bool {
	is := r.peek() == 't'
	r.skip()
	return is
}

// skip takes any value; it is checked like the rest, but not built.
func (r *jsonReader) skip() {
	if r.err == nil {
		r.note(r.r.Skip())
	}
}

// end says that nothing may follow.
func (r *jsonReader) end() {
	if r.err == nil {
		r.note(r.r.End())
	}
}
