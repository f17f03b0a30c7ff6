package client

import (
	"errors"
	"sync"
	"time"
)

const (
	// breakAfter is how many questions in a row stay without an answer before no more are asked.
	breakAfter = 5
	// firstBreak is how long none is asked then. With every further one that fails it doubles, up to longestBreak.
	firstBreak   = time.Second
	longestBreak = 30 * time.Second
)

var errBroken = errors.New("it has not been answering, and is not asked again for a moment")

// breaker keeps questions from a service that does not answer: each would hold a place, and its client, for the whole of the
// time limit. After breakAfter failures in a row it lets one through at a time, with a pause before each; the first answer opens
// the way again. Its zero value is ready for use.
type breaker struct {
	mu       sync.Mutex
	failures int           // in a row
	pause    time.Duration // that the last failure brought; 0: closed
	until    time.Time     // its end
	trying   bool          // the one question that is let through is under way
}

// question is one that was let through. One of its methods is to be called, once.
type question struct {
	b     *breaker
	trial bool
}

// pass lets a question through, or fails.
func (b *breaker) pass(now time.Time) (question, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return question{b: b}, nil
	}
	if b.trying || now.Before(b.until) {
		return question{}, errBroken
	}
	b.trying = true
	return question{b: b, trial: true}, nil
}

// answered says that the service answered, whatever it said.
func (q question) answered() {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	q.end()
	q.b.failures, q.b.pause = 0, 0
}

// failed says that it did not.
func (q question) failed(now time.Time) {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	q.end()
	q.b.failures++
	if q.b.failures < breakAfter || q.b.pause > 0 && !q.trial { // those that were under way when the way was closed
		return
	}
	q.b.pause = min(max(firstBreak, 2*q.b.pause), longestBreak)
	q.b.until = now.Add(q.b.pause)
}

// abandoned says that nobody waited for the answer.
func (q question) abandoned() {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	q.end()
}

func (q question) end() {
	if q.trial {
		q.b.trying = false
	}
}

// Broken says that the service has not been answering, so that most questions about tokens are not put to it.
func (c *Client) Broken() bool {
	c.breaker.mu.Lock()
	defer c.breaker.mu.Unlock()
	return c.breaker.pause > 0
}
