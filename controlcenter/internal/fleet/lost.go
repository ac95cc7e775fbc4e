package fleet

import (
	"context"
	"log/slog"

	"lockerfleet/locker"
)

// maxLost bounds the commands that one transaction ends because they never reached their bank.
const maxLost = 200

// codeExpired is what a bank answers to a command whose time is over, and what is written for one
// that never reached it.
const codeExpired = "expired"

// lost reports whether c is known never to have reached its bank. now is the bank's current
// connection, told that the record has every event up to the head of its birth: a later connection
// begins no command of an earlier one, so no event about its beginning can still come.
func (c Command) lost(now connection, told bool) bool {
	older := c.Boot != now.boot || c.Ep < now.ep
	return told && older && c.DL > 0 && c.AcceptedAt.IsZero() && !c.Final()
}

// mourn ends, once in every connection, the commands without an outcome that are lost. It costs one
// look at the record when there are none. What fails is tried again with the next events.
func (s *Service) mourn(ctx context.Context, m *member) {
	m.mu.Lock()
	told := m.told()
	due := told && !m.mourned
	m.mourned = m.mourned || told
	m.mu.Unlock()
	for due {
		var err error
		if due, err = s.mournSome(ctx, m.id); err != nil {
			s.log.Warn("lost commands not ended", slog.String("bank_id", string(m.id)), slog.Any("err", err))
			m.mu.Lock()
			m.mourned = false
			m.mu.Unlock()
		}
	}
}

// mournSome ends up to maxLost of them; more says that there may be others.
func (s *Service) mournSome(ctx context.Context, bank locker.BankID) (more bool, err error) {
	var found []Command
	err = s.store.View(ctx, func(tx Tx) (err error) {
		found, err = tx.Unheard(bank, maxLost)
		return err
	})
	if err != nil || len(found) == 0 {
		return false, err
	}
	var doors []Compartment
	ended := 0
	err = s.store.Update(ctx, func(tx Tx) error {
		doors, ended = nil, 0
		found, err := tx.Unheard(bank, maxLost)
		if err != nil {
			return err
		}
		for _, c := range found {
			if lost, err := s.isLost(tx, c); err != nil || !lost {
				return err // all have the bank in common, and only the newest may be of its connection
			}
			door, err := s.close(tx, c, Expired, codeExpired)
			if err != nil {
				return err
			}
			doors = append(doors, door)
			ended++
		}
		return nil
	})
	s.refresh(doors...)
	return ended == maxLost, err
}

// isLost is lost by the record: another process may know a newer connection, and a bank whose journal
// was damaged may have forgotten what it began.
func (s *Service) isLost(tx Tx, c Command) (bool, error) {
	m := s.known(c.Bank)
	if m == nil {
		return false, nil
	}
	m.mu.Lock()
	now, told := connection{m.id, m.boot, m.ep}, m.told()
	m.mu.Unlock()
	if !c.lost(now, told) {
		return false, nil
	}
	b, found, err := tx.Bank(c.Bank)
	if err != nil || !found || b.Boot != now.boot || b.Ep != now.ep {
		return false, err
	}
	damaged, err := tx.Raised(c.Bank, alarmJournal, c.CreatedAt)
	return !damaged, err
}

// close ends a command by the control center's own word, and settles its door.
func (s *Service) close(tx Tx, c Command, stage Stage, code string) (Compartment, error) {
	site := s.siteOf(c.Bank)
	c, _ = c.Advanced(stage, code, tx.Now())
	tx.Tell(c.changed(site, tx.Now()))
	if err := tx.SaveCommand(c); err != nil {
		return Compartment{}, err
	}
	return settleDoor(tx, locker.CompartmentID{Bank: c.Bank, No: c.No}, site, string(c.ID))
}
