package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/internal/fault"
)

// Bounds of a stream.
const (
	writeWithin = 10 * time.Second // a reader that takes longer is cut, and resumes
	beatEvery   = 15 * time.Second // a comment, so that both sides notice a dead connection
	credEvery   = 30 * time.Second // how often the credential of an open stream is asked for again
)

// sse writes server-sent events. Writes come from its reader's goroutine and the heartbeat.
type sse struct {
	ctx  context.Context
	ctrl *http.ResponseController

	mu  sync.Mutex // guards what follows
	out *bufio.Writer
}

// openStream takes one of Options.Streams places and begins the answer. leave gives the place back.
// The stream's context ends with the request, the server, or the credential.
func (s *Server) openStream(w http.ResponseWriter, r *http.Request) (out *sse, leave func(), err error) {
	select {
	case s.streams <- struct{}{}:
	default:
		return nil, nil, fault.Exhaustedf("too_many_streams", "All %d streams are taken; try again.", cap(s.streams)).After(5 * time.Second)
	}
	of(r.Context()).bound.Stop()
	ctx, cancel := context.WithCancelCause(r.Context())
	out = &sse{ctx: ctx, ctrl: http.NewResponseController(w), out: bufio.NewWriterSize(w, 16<<10)}
	done := make(chan struct{})
	leave = func() {
		cancel(nil)
		<-done
		<-s.streams
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no")
	_ = out.ctrl.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	go func() {
		defer close(done)
		cancel(s.keep(ctx, r, out))
	}()
	if err := out.comment("lockerfleet"); err != nil {
		leave()
		return nil, nil, err
	}
	return out, leave, nil
}

var errStopping = errors.New("the server is stopping")

// keep beats until the stream must end and says why.
func (s *Server) keep(ctx context.Context, r *http.Request, out *sse) error {
	beat, credential := time.NewTicker(beatEvery), time.NewTicker(credEvery)
	defer beat.Stop()
	defer credential.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.hub.stopped:
			return errStopping
		case <-beat.C:
			if err := out.comment("beat"); err != nil {
				return err
			}
		case <-credential.C:
			k := known{address: of(r.Context()).address}
			if err := s.credential(r, &k); err != nil || !maySeeOn(k.actor, of(r.Context()).actor) {
				return errors.New("the credential is over")
			}
		}
	}
}

// maySeeOn reports whether a stream that began for an actor may go on now: it shows what that one saw.
func maySeeOn(now, began people.Actor) bool {
	return now.Kind == began.Kind && now.ID == began.ID && now.Role == began.Role && slices.Equal(now.Sites, began.Sites)
}

// ended logs what is worth knowing about the end of a stream.
func (s *Server) ended(r *http.Request, err error) {
	s.log.Debug("stream ended", slog.String("request_id", requestID(r.Context())), slog.Any("error", err))
}

// event writes one event; it leaves with the next flush. An empty id leaves the reader's place.
func (o *sse) event(id, kind string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.deadline(); err != nil {
		return err
	}
	if id != "" {
		_, _ = fmt.Fprintf(o.out, "id: %s\n", id)
	}
	_, err = fmt.Fprintf(o.out, "event: %s\ndata: %s\n\n", kind, text)
	return err
}

func (o *sse) comment(text string) error {
	o.mu.Lock()
	_, _ = fmt.Fprintf(o.out, ": %s\n\n", text)
	o.mu.Unlock()
	return o.flush()
}

// deadline cuts a reader that does not read. Writers that cannot (tests) have none.
func (o *sse) deadline() error {
	err := o.ctrl.SetWriteDeadline(time.Now().Add(writeWithin))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func (o *sse) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	if err := o.deadline(); err != nil {
		return err
	}
	if err := o.out.Flush(); err != nil {
		return err
	}
	return o.ctrl.Flush()
}
