package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/kiosk"
	"lockerfleet/firmware-agent/internal/letter"
	"lockerfleet/firmware-agent/internal/serial"
	"lockerfleet/internal/config"
	"lockerfleet/locker"
)

// panel is the page at the bank; page is nil when there is none.
type panel struct {
	page *kiosk.Kiosk
	log  *slog.Logger
}

// openPanel puts the page in front of the board's own panel and scanner, which go on working.
func openPanel(conf config.AgentPanel, bank locker.BankID, b *board.Board, log *slog.Logger) (*panel, error) {
	if conf.Listen == "" {
		return &panel{}, nil
	}
	o := kiosk.Options{Listen: conf.Listen, Bank: bank, Phone: conf.Phone, Beside: b.Panel, Scanner: b.Scanner, Now: time.Now, Log: log}
	for _, c := range b.Compartments {
		o.Doors = append(o.Doors, c.No)
	}
	page, err := kiosk.Open(o)
	if err != nil {
		return nil, err
	}
	b.Panel = page
	if b.Scanner != nil {
		b.Scanner = page
	}
	log.Info("panel", slog.String("address", "http://"+page.Addr().String()))
	return &panel{page: page, log: log}, nil
}

// beside runs the agent with its page. A page that fails takes nothing from the doors.
func (p *panel) beside(ctx context.Context, r *agent.Runner) error {
	if p.page == nil {
		return r.Run(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := p.page.Serve(ctx, r); err != nil {
			p.log.Error("the page of the panel is gone; the doors go on", slog.Any("error", err))
		}
	}()
	err := r.Run(ctx)
	stop()
	<-over
	return errors.Join(err, p.close())
}

func (p *panel) close() error {
	if p.page == nil {
		return nil
	}
	return p.page.Close()
}

// letters is the bank's own channel, nil when none is set up. trust is copied for each letter, so
// its clock may be set later.
func letters(conf config.AgentLetters, bank locker.BankID, trust *tls.Config, now func() agent.Now) agent.Post {
	p := &letter.Post{Bank: bank}
	if s := conf.SMTP; s.Host != "" {
		p.Mail = &letter.SMTP{
			Host: s.Host, Port: s.Port, Username: s.Username, Password: s.Password.Reveal(), From: s.From, TLS: s.TLS, Config: trust,
			Now: func() time.Time {
				if trust.Time != nil {
					return trust.Time()
				}
				return time.UnixMilli(now().Wall)
			},
		}
	}
	if m := conf.Modem; m.Device != "" {
		p.Phone = &letter.Modem{Open: func() (letter.Line, error) { return serial.Open(m.Device, serial.Config{Baud: m.Baud}) }}
	}
	if p.Mail == nil && p.Phone == nil {
		return nil
	}
	return p
}
