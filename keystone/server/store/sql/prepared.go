package sql

import (
	"context"
	"database/sql"
	"sync"
)

// maxPrepared bounds the statements that are kept; there are some hundred, and more only by combinations of filters.
const maxPrepared = 512

// prepared keeps the statements of a database compiled: SQLite takes longer to compile most of them than to run them. A nil one
// keeps none, for PostgreSQL, whose driver does so itself.
type prepared struct {
	db *sql.DB

	mu   sync.Mutex
	kept map[string]*sql.Stmt
}

// statement gives a compiled statement to run, in a transaction if there is one; nil for one that has to be run as text. The
// connection that writes is taken by its transaction, so there a statement is compiled once that is over.
func (p *prepared) statement(ctx context.Context, t *transaction, text string) *sql.Stmt {
	if p == nil {
		return nil
	}
	kept, full := p.look(text)
	switch {
	case kept != nil && t != nil:
		return t.StmtContext(ctx, kept)
	case kept != nil || full:
		return kept
	case t != nil:
		t.after = append(t.after, func() { p.compile(context.WithoutCancel(ctx), text) })
		return nil
	}
	return p.compile(ctx, text)
}

func (p *prepared) look(text string) (kept *sql.Stmt, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept[text], len(p.kept) >= maxPrepared
}

// compile gives nil where that fails: who runs the text finds out why.
func (p *prepared) compile(ctx context.Context, text string) *sql.Stmt {
	if kept, full := p.look(text); kept != nil || full { // by somebody else meanwhile
		return kept
	}
	stmt, err := p.db.PrepareContext(ctx, text)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if kept := p.kept[text]; kept != nil {
		_ = stmt.Close() // it ran nothing
		return kept
	}
	p.kept[text] = stmt
	return stmt
}
