package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"lockerfleet/internal/config"
)

const (
	nextFile   = "credential.next" // the password that is announced to follow
	renewEvery = time.Hour         // how often the age of the password is looked at, and a renewal tried again
)

// renewer keeps the bank's password young. Secret may be called while Run runs.
type renewer struct {
	dir, caFile string
	cred        *credential // of Run alone
	now         func() time.Time
	log         *slog.Logger
	secret      atomic.Pointer[string]
}

func newRenewer(conf config.AgentConfig, cred *credential, log *slog.Logger) *renewer {
	r := &renewer{dir: conf.State.Dir, caFile: conf.TLS.CA, cred: cred, now: time.Now, log: log}
	r.secret.Store(&cred.Password)
	return r
}

// Secret is the password for the next connection.
func (r *renewer) Secret() []byte { return []byte(*r.secret.Load()) }

// begin runs r until the answer is called, which waits for its end.
func (r *renewer) begin(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { r.Run(ctx) })
	return func() { stop(); wait.Wait() }
}

// Run renews the password when its time comes, until ctx ends.
func (r *renewer) Run(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		if err := r.renew(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("password not renewed; it is tried again", slog.Any("error", err), slog.Time("expires", r.cred.Expires))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// renew announces a new password and keeps it. The old one opens connections until the new one is used
// for the first time, and the new one is not used before it is in the credential on disk: whenever the
// power fails, what is on disk opens. The same password is announced again after that.
func (r *renewer) renew(ctx context.Context) error {
	if r.cred.Renew.IsZero() || r.cred.Server == "" || r.now().Before(r.cred.Renew) {
		return nil
	}
	next, err := r.next()
	if err != nil {
		return err
	}
	u, err := url.Parse(r.cred.Server)
	if err != nil {
		return fmt.Errorf("server_url of the credential: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	sum := sha256.Sum256([]byte(next))
	fresh := *r.cred
	target := u.JoinPath("/api/v1/banks", string(fresh.Bank), "credential/rotate").String()
	if err := post(ctx, target, map[string]any{"password": fresh.Password, "next_sha256": hex.EncodeToString(sum[:])}, r.caFile, &fresh); err != nil {
		return fmt.Errorf("announce the next password: %w", err)
	}
	fresh.Password = next
	if err := save(r.dir, filepath.Join(r.dir, credentialFile), &fresh); err != nil {
		return err
	}
	r.cred = &fresh
	r.secret.Store(&fresh.Password)
	return os.Remove(filepath.Join(r.dir, nextFile))
}

// next is the password to announce, on disk before it is. One that became the password before the
// power failed is left behind.
func (r *renewer) next() (string, error) {
	next, err := pending(r.dir, nextFile)
	if err != nil || next != r.cred.Password {
		return next, err
	}
	if err := os.Remove(filepath.Join(r.dir, nextFile)); err != nil {
		return "", err
	}
	return pending(r.dir, nextFile)
}
