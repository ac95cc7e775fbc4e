package agent

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"
)

// mailTimeout bounds one letter on its way.
const mailTimeout = 2 * time.Minute

// Post is a bank's own channel for letters. Send returns by which way the letter went (smtp or
// sms) when the channel has taken it over, and an error when it has not; it ends with ctx. It is
// called by one goroutine at a time.
type Post interface {
	Send(ctx context.Context, m Mail) (via string, err error)
}

// errStopped is the answer of a bank that stops.
var errStopped = errors.New("the bank stops")

// Ask puts a request of a person at the panel to the bank and waits for the answer. It is safe for
// concurrent use while Run runs. In is given an id. When ctx ends before the bank has come to it,
// nothing happens.
func (r *Runner) Ask(ctx context.Context, in Ask) (Answer, error) {
	got := make(chan Answer, 1)
	if !r.hand(func() {
		r.counted++
		if ctx.Err() != nil { // the person was told that there is no answer
			return
		}
		in.ID = strconv.FormatUint(r.counted, 10)
		r.asks[in.ID] = got
		r.step(context.WithoutCancel(ctx), in)
		delete(r.asks, in.ID)
	}) {
		return Answer{}, errStopped
	}
	select {
	case a := <-got:
		return a, nil
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case <-r.quit:
		return Answer{}, errStopped
	}
}

// answer hands an answer to who waits for it.
func (r *Runner) answer(a Answer) {
	if ch, ok := r.asks[a.ID]; ok {
		ch <- a
	}
}

// mail sends one letter beside the loop.
func (r *Runner) mail(ctx context.Context, m Mail) {
	if r.opts.Post == nil {
		r.next = append(r.next, LetterDone{ID: m.ID, Reason: "no channel"})
		return
	}
	limit, cancel := context.WithTimeout(ctx, mailTimeout)
	r.work.Go(func() {
		defer cancel()
		via, err := r.opts.Post.Send(limit, m)
		r.hand(func() { r.mailed(ctx, m, via, err) })
	})
}

func (r *Runner) mailed(ctx context.Context, m Mail, via string, err error) {
	done := LetterDone{ID: m.ID, Via: via, OK: err == nil}
	if err != nil {
		done.Reason = clip(err.Error(), 120)
		r.log.Warn("a letter is not sent", slog.String("letter", m.ID), slog.String("kind", string(m.Kind)), slog.Any("error", err))
	}
	r.step(ctx, done)
}

// clip cuts text to at most n bytes, at the end of a character.
func clip(text string, n int) string {
	for i := range text {
		if i > n-4 {
			return text[:i]
		}
	}
	return text
}
