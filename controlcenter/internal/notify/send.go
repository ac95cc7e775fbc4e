package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"lockerfleet/locker"
)

const (
	mailWorkers = 4           // letters under way at the same time
	batch       = 32          // notices of one Sweep and channel
	poll        = time.Second // how long what another process queued may wait
)

// Sweep sends what is due, one after the other, at most a batch of each channel, and answers
// when to call again. It is for callers that must not have goroutines; a server calls Run.
func (s *Service) Sweep(ctx context.Context) (next time.Time, err error) {
	for _, c := range Channels() {
		due, err := s.claim(ctx, c, batch)
		if err != nil {
			return time.Time{}, err
		}
		for _, n := range due {
			if err := s.send(ctx, n); err != nil {
				return time.Time{}, err
			}
		}
	}
	if err := s.prune(ctx); err != nil {
		return time.Time{}, err
	}
	next = s.opts.Now().Add(time.Minute)
	for _, c := range Channels() {
		at, found, err := s.next(ctx, c)
		if err != nil {
			return time.Time{}, err
		}
		if found && at.Before(next) {
			next = at
		}
	}
	return next, nil
}

// Run sends what is due until ctx ends, up to Options.Workers messages of each channel at the
// same time. It returns after the last one under way has ended.
func (s *Service) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, c := range Channels() {
		all.Go(func() { s.pump(ctx, c) })
	}
	all.Wait()
	return nil
}

// pump sends one channel.
func (s *Service) pump(ctx context.Context, c Channel) {
	slots := make(chan struct{}, s.workers(c)) // full: as many under way as may be
	var under sync.WaitGroup
	defer under.Wait()
	for ctx.Err() == nil {
		n, err := s.round(ctx, c, slots, &under)
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Error("notices not read", slog.String("channel", string(c)), slog.Any("error", err))
		}
		if n == 0 {
			s.rest(ctx, c)
		}
	}
}

// workers is how many messages of a channel may be under way: mail servers like few guests.
func (s *Service) workers(c Channel) int {
	if c == Mail {
		return min(s.opts.Workers, mailWorkers)
	}
	return s.opts.Workers
}

// round claims as many notices as there are free slots, at least one, and starts them.
func (s *Service) round(ctx context.Context, c Channel, slots chan struct{}, under *sync.WaitGroup) (int, error) {
	if err := s.prune(ctx); err != nil {
		return 0, err
	}
	free := acquire(ctx, slots)
	claimed, err := s.claim(ctx, c, free)
	for range free - len(claimed) {
		<-slots
	}
	for _, n := range claimed {
		under.Go(func() {
			defer func() { <-slots }()
			if err := s.send(ctx, n); err != nil {
				s.opts.Log.Error("notice not settled", slog.String("notice_id", n.ID), slog.Any("error", err))
			}
			s.rouse() // the next of its lane
		})
	}
	return len(claimed), err
}

// acquire waits for a slot and takes whatever else is free. It answers 0 when ctx ends.
func acquire(ctx context.Context, slots chan struct{}) int {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case slots <- struct{}{}:
		default:
			return n
		}
	}
}

// rest waits until something may be due.
func (s *Service) rest(ctx context.Context, c Channel) {
	wait := poll
	if at, found, err := s.next(ctx, c); err == nil && found {
		wait = min(wait, max(at.Sub(s.opts.Now()), 10*time.Millisecond))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake[c]:
	case <-ctx.Done():
	}
}

// Release tries at once what a process that died had claimed, instead of waiting for the end of its
// lease. It is for the only sender there is, when it starts: a message may be sent twice then, under
// the same id.
func (s *Service) Release(ctx context.Context) error {
	if err := s.store.Update(ctx, func(tx Tx) error { return tx.ReleaseNotices() }); err != nil {
		return fmt.Errorf("release notices: %w", err)
	}
	return nil
}

// claim takes due notices. It looks before it writes: mostly there are none.
func (s *Service) claim(ctx context.Context, c Channel, limit int) (claimed []Notice, err error) {
	at, found, err := s.next(ctx, c)
	if err != nil || limit == 0 || !found || at.After(s.opts.Now()) {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		claimed, err = tx.ClaimNotices(c, tx.Now().Add(Lease), limit)
		return err
	})
	return claimed, err
}

func (s *Service) next(ctx context.Context, c Channel) (at time.Time, found bool, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		at, found, err = tx.NextNotice(c)
		return err
	})
	return at, found, err
}

// send tries a claimed notice once. The error is that of noting how it ended.
func (s *Service) send(ctx context.Context, n Notice) error {
	tried := s.try(ctx, n)
	if tried != nil && ctx.Err() != nil {
		return nil // the process stops: the lease ends and the notice is tried again
	}
	jitter := s.opts.Jitter()
	var end Notice
	err := s.store.Update(context.WithoutCancel(ctx), func(tx Tx) error {
		end = Settle(n, tried, tx.Now(), jitter)
		return settled(tx, end)
	})
	if err != nil {
		return fmt.Errorf("settle notice %s: %w", n.ID, err)
	}
	if end.State() == GivenUp {
		s.opts.Log.Warn("notice given up", slog.String("notice_id", n.ID), slog.String("channel", string(n.Channel)),
			slog.String("parcel_id", string(n.Parcel)), slog.Int("attempts", n.Attempts), slog.String("reason", end.Error))
	}
	return nil
}

func (s *Service) try(ctx context.Context, n Notice) error {
	c, err := n.content()
	if err != nil {
		return &Failure{Permanent: true, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, Lease/2)
	defer cancel()
	if n.Channel == Webhook {
		return s.post(ctx, n, c)
	}
	return s.mail(ctx, n, c)
}

func (s *Service) post(ctx context.Context, n Notice, c content) error {
	url, secret, ok, err := s.deps.Webhooks.Webhook(ctx, locker.PartnerID(n.Recipient))
	if err != nil {
		return fmt.Errorf("webhook of %s: %w", n.Recipient, err)
	}
	if !ok {
		return &Failure{Permanent: true, Err: fmt.Errorf("partner %s wants no webhooks any more", n.Recipient)}
	}
	body := []byte(c.Body)
	return s.deps.Poster.Post(ctx, Post{URL: url, Headers: Sign(secret, n.Cause, s.opts.Now(), body), Body: body})
}

// errNoMail is the reason letters are given up with when no mail is configured.
var errNoMail = errors.New("no mail server is configured")

func (s *Service) mail(ctx context.Context, n Notice, c content) error {
	if s.deps.Mailer == nil {
		return &Failure{Permanent: true, Err: errNoMail}
	}
	if n.Template == CourierReserved && !s.opts.Now().Before(c.Until) {
		return &Failure{Permanent: true, Err: errors.New("the code has ended before the letter could be sent")}
	}
	l, code, err := s.letter(ctx, n, c)
	if err != nil {
		return err
	}
	return without(code, s.deps.Mailer.Send(ctx, l))
}

// without strikes a code out of what a mail server said, since that is kept.
func without(code string, err error) error {
	if err == nil || code == "" || !strings.Contains(err.Error(), code) {
		return err
	}
	struck := Failure{Err: errors.New(strings.ReplaceAll(err.Error(), code, "***"))}
	var f *Failure
	if errors.As(err, &f) {
		struck.Permanent, struck.After = f.Permanent, f.After
	}
	return &struck
}

// letter writes the letter, with the code made for this moment only.
func (s *Service) letter(ctx context.Context, n Notice, c content) (l Letter, code string, err error) {
	place, err := s.deps.Places.Place(ctx, c.About.Bank)
	if err != nil {
		return Letter{}, "", fmt.Errorf("place of %s: %w", c.About.Bank, err)
	}
	f := fields{
		Name: c.Name, Where: place.where(), Address: oneLine(place.Address), Ref: oneLine(c.About.Ref), No: c.About.No,
		Until: dateIn(c.Until, s.opts.Zone), At: dateIn(c.About.At, s.opts.Zone),
	}
	var ticket []byte
	if c.Grant != "" {
		if f.Code, err = s.deps.Codes.Code(ctx, c.Grant); err == nil {
			ticket, err = s.deps.Codes.TicketPNG(ctx, c.Grant)
		}
		if err != nil {
			return Letter{}, "", ended(err)
		}
	}
	f.Ticket = ticket != nil
	subject, text, err := s.letters.write(n.Template, f)
	id := fmt.Sprintf("%s.%d", n.ID, n.Round)
	return Letter{ID: id, To: n.Recipient, Subject: subject, Text: text, Template: n.Template, Parcel: n.Parcel, At: s.opts.Now(), Ticket: ticket}, f.Code, err
}

func (n Notice) content() (c content, err error) {
	if err := json.Unmarshal(n.Data, &c); err != nil {
		return content{}, fmt.Errorf("read notice %s: %w", n.ID, err)
	}
	return c, nil
}

// prune deletes old notices, about once a minute.
func (s *Service) prune(ctx context.Context) error {
	s.mu.Lock()
	now := s.opts.Now()
	due := now.Sub(s.pruned) >= time.Minute
	if due {
		s.pruned = now
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.store.Update(ctx, func(tx Tx) error { return tx.PruneNotices(tx.Now().Add(-Keep), 500) })
}
