package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"authproxy/keystone/server/fault"
)

// maxDepth bounds the nesting of request bodies; those of the API are at most 7 deep.
const maxDepth = 32

var errNotJSON = fault.Missing("valid JSON", "request body")

// object is a JSON object of a request.
type object map[string]any

// readBody is what the body came to. It is read once, so that the rule that allows a request and the code that carries it out
// see the same.
type readBody struct {
	o   object
	err error
}

// body is the JSON object of a request. No body at all and JSON that is no object are the empty object, as in Keystone, which
// then misses a member.
func (c *call) body() (object, error) {
	if c.read == nil {
		o, err := c.readBody()
		c.read = &readBody{o, err}
	}
	return c.read.o, c.read.err
}

func (c *call) readBody() (object, error) {
	text, err := io.ReadAll(c.r.Body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fault.Invalid{Message: "The request body could not be read."}
	}
	if len(text) == 0 {
		return object{}, nil
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, fault.Missing("application/json", "Content-Type header")
	}
	return decodeObject(text)
}

// decodeObject reads JSON text. Text that two readers could take for different things (bytes that are not UTF-8) or that a
// database cannot keep (the character NUL) is refused.
func decodeObject(text []byte) (object, error) {
	if !utf8.Valid(text) || tooDeep(text) || holdsNUL(text) {
		return nil, errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, errNotJSON
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNotJSON
	}
	o, _ := value.(map[string]any)
	return o, nil
}

// holdsNUL says whether text has an escape for the character NUL. A backslash that is escaped itself begins none.
func holdsNUL(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			if bytes.HasPrefix(text[i:], []byte(`\u0000`)) {
				return true
			}
			i++
		}
	}
	return false
}

// tooDeep says whether text nests deeper than maxDepth.
func tooDeep(text []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// member is the object under a name; ok is false where there is none or it is something else.
func (o object) member(name string) (m object, ok bool) {
	m, ok = o[name].(map[string]any)
	return m, ok
}

// text is a string under a name, nil where there is none or null.
func (o object) text(name string) (*string, error) {
	switch v := o[name].(type) {
	case nil:
		return nil, nil
	case string:
		return &v, nil
	default:
		return nil, fault.BadField(name, v)
	}
}

// clearable is a string under a name: nil where there is no such name, "" for null.
func (o object) clearable(name string) (*string, error) {
	if v, there := o[name]; there && v == nil {
		return new(string), nil
	}
	return o.text(name)
}

// boolean is true or false under a name, nil where there is none.
func (o object) boolean(name string) (*bool, error) {
	v, there := o[name]
	if !there {
		return nil, nil
	}
	b, ok := v.(bool)
	if !ok {
		return nil, fault.BadField(name, v)
	}
	return &b, nil
}

// rest is a copy of the object without the named members and those that the server makes itself.
func (o object) rest(names ...string) map[string]any {
	extra := map[string]any{}
	for name, v := range o {
		if name != "id" && name != "links" && name != "extra" && !slices.Contains(names, name) {
			extra[name] = v
		}
	}
	return extra
}

// reply writes a JSON body.
func (c *call) reply(status int, value any) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil { // only a value of ours that JSON cannot hold
		panic(err)
	}
	c.replyBytes(status, "application/json", bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

func (c *call) replyBytes(status int, contentType string, body []byte) {
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body))) // the same to HEAD
	c.w.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		return
	}
	if _, err := c.w.Write(body); err != nil {
		c.s.log().Debug("answer not sent", slog.String("request_id", c.id), slog.Any("cause", err))
	}
}

// done answers 204.
func (c *call) done() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
