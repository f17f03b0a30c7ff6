package events

import (
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"authproxy/certs/privatedir"
)

// keptFile is where Poller.Dir has the events: in the words of the API, and with the time when the fetch that led to them began.
// Nobody signed it, so it counts for what the directory is worth, which nobody else can write to.
const keptFile = "revocation_events.json"

const (
	maxKept = 256 << 20
	// writtenSeldom is the size in bytes from which the file is not written for each new event, but ten times within MaxStale.
	// What is lost by that is the age: the file says how old it is.
	writtenSeldom = 1 << 20
)

type kept struct {
	set  *Set // that was written or read
	at   time.Time
	size int
}

type keptDocument struct {
	Fetched time.Time   `json:"fetched"`
	Events  []keptEvent `json:"events"`
}

type keptEvent map[string]string

// keep writes the events if they have changed, or the file has grown old. A failure costs no more than the next start without
// them.
func (p *Poller) keep(st *state) {
	if p.Dir == "" {
		return
	}
	aged := st.since.Sub(p.kept.at)
	old := p.kept.set == nil || aged < 0 || aged >= or(p.MaxStale, DefaultMaxStale)/10
	if !old && (st.set == p.kept.set || p.kept.size > writtenSeldom) {
		return
	}
	err := p.write(st)
	p.mu.Lock()
	again := p.seen.diskError != nil
	p.seen.diskError = err
	p.mu.Unlock()
	if err != nil && !again {
		p.log().Warn("revocation events not kept on disk", "dir", p.Dir, "error", err)
	}
}

func (p *Poller) write(st *state) error {
	doc := keptDocument{Fetched: st.since.UTC(), Events: []keptEvent{}}
	st.set.Each(func(e Event) { doc.Events = append(doc.Events, e.members()) })
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	d, err := privatedir.Open(p.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Write(keptFile, text); err != nil {
		return err
	}
	p.kept = kept{st.set, st.since, len(text)}
	return nil
}

// members are those of the API.
func (e *Event) members() keptEvent {
	m := keptEvent{"issued_before": e.IssuedBefore.UTC().Format("2006-01-02T15:04:05.000000Z")}
	for name, a := range names {
		if e.has.has(a) {
			m[name] = e.text[a]
		}
	}
	if e.has.has(expiresAt) {
		m["expires_at"] = time.Unix(e.expires, 0).UTC().Format(time.RFC3339)
	}
	return m
}

// loadKept puts the kept events in force. Whatever is wrong with them is said: the source is asked next anyway.
func (p *Poller) loadKept() {
	events, fetched, err := p.read()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		p.log().Warn("kept revocation events not used", "dir", p.Dir, "error", err)
		p.mu.Lock()
		p.seen.diskError = err
		p.mu.Unlock()
		return
	}
	now := p.now()
	age := now.Round(0).Sub(fetched)
	// A time in the future, as on a machine that starts with its clock at 1970, says nothing about the age.
	st := &state{set: NewSet(events), since: now, offset: max(age, 0), known: !fetched.IsZero() && age >= 0}
	p.current.Store(st)
	p.log().Info("kept revocation events loaded", "events", st.set.Len(), "fetched", fetched)
}

func (p *Poller) read() ([]Event, time.Time, error) {
	d, err := privatedir.Open(p.Dir)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer d.Close()
	text, err := d.Read(keptFile, maxKept)
	if err != nil {
		return nil, time.Time{}, err
	}
	events, err := Parse(text)
	if err != nil {
		return nil, time.Time{}, err
	}
	var when struct{ Fetched time.Time }
	if err := json.Unmarshal(text, &when); err != nil {
		return nil, time.Time{}, err
	}
	return events, when.Fetched, nil
}
