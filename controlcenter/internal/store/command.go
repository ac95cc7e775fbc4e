package store

import (
	"time"

	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/locker"
)

const (
	commandColumns = `f.id, f.bank, f.no, f.op, f.stage, f.code, f.actor, f.grant_id, f.purpose, f.pre_content, f.boot, f.ep, f.dl, f.due_ms,
    f.created_ms, f.sent_ms, f.accepted_ms, f.actuated_ms, f.verified_ms, f.ended_ms`

	// No conflict target: the id may be taken, or the door busy.
	sqlInsertCommand = `
INSERT INTO commands (id, bank, no, op, stage, code, actor, grant_id, purpose, pre_content, boot, ep, dl, due_ms,
    created_ms, sent_ms, accepted_ms, actuated_ms, verified_ms, ended_ms, final)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT DO NOTHING`
	sqlCommandByID = `SELECT ` + commandColumns + ` FROM commands AS f WHERE f.id = $1`
	sqlSaveCommand = `
UPDATE commands SET stage = $2, code = $3, due_ms = $4, sent_ms = $5, accepted_ms = $6, actuated_ms = $7, verified_ms = $8,
    ended_ms = $9, final = $10
WHERE id = $1`
	sqlInFlight = `
SELECT ` + commandColumns + ` FROM commands AS f WHERE f.bank = $1 AND f.no = $2 AND ` + inFlight
	sqlOpener = `
SELECT ` + commandColumns + ` FROM commands AS f
WHERE f.bank = $1 AND f.no = $2 AND f.final = 0 AND f.accepted_ms > 0 ORDER BY f.accepted_ms DESC, f.id DESC LIMIT 1`
	sqlDueCommands = `
SELECT ` + commandColumns + ` FROM commands AS f
WHERE f.final = 0 AND f.due_ms > 0 AND f.due_ms <= $1 ORDER BY f.due_ms, f.id LIMIT CAST($2 AS BIGINT)`
	sqlUnheard = `
SELECT ` + commandColumns + ` FROM commands AS f
WHERE f.bank = $1 AND f.final = 0 AND f.stage = 'unknown' AND f.accepted_ms = 0 AND f.dl > 0 ORDER BY f.id LIMIT CAST($2 AS BIGINT)`
	sqlNextDue    = `SELECT due_ms FROM commands AS f WHERE f.final = 0 AND f.due_ms > 0 ORDER BY f.due_ms LIMIT 1`
	sqlUnanswered = `
SELECT ` + commandColumns + ` FROM commands AS f
WHERE f.final = 0 AND f.due_ms > $1 AND f.dl > 0 AND (f.stage = 'created' OR f.stage = 'sent') ORDER BY f.due_ms, f.id LIMIT CAST($2 AS BIGINT)`
	sqlCommands = `
SELECT ` + commandColumns + ` FROM commands AS f
WHERE f.bank = $1 AND ($2 = '' OR f.id < $2) ORDER BY f.id DESC LIMIT CAST($3 AS BIGINT)`
	sqlOpenings = `
SELECT f.id, f.bank, f.actor, f.created_ms FROM commands AS f
WHERE f.created_ms > $1 AND f.op = 'unlock' AND f.dl > 0 ORDER BY f.created_ms DESC, f.id DESC LIMIT CAST($2 AS BIGINT)`

	alarmColumns = `id, bank, no, code, detail, raised_ms, times, acked_ms, acked_by, cleared_ms`

	sqlRaiseAlarm = `
INSERT INTO alarms (id, bank, no, code, detail, raised_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (bank, no, code) WHERE cleared_ms = 0 DO NOTHING`
	sqlCountAlarm = `UPDATE alarms SET times = times + 1 WHERE bank = $1 AND no = $2 AND code = $3 AND cleared_ms = 0`
	sqlClearAlarm = `UPDATE alarms SET cleared_ms = $4 WHERE bank = $1 AND no = $2 AND code = $3 AND cleared_ms = 0`
	sqlRaised     = `SELECT 1 FROM alarms WHERE bank = $1 AND no = 0 AND code = $2 AND (cleared_ms = 0 OR cleared_ms >= $3) LIMIT 1`
	sqlAlarmByID  = `SELECT ` + alarmColumns + ` FROM alarms WHERE id = $1`
	sqlAckAlarm   = `UPDATE alarms SET acked_ms = $2, acked_by = $3 WHERE id = $1 AND acked_ms = 0`
	sqlAlarms     = `
SELECT ` + alarmColumns + ` FROM alarms
WHERE ($1 = '' OR bank = $1) AND (CAST($2 AS BIGINT) = 0 OR cleared_ms = 0) AND ($3 = '' OR id < $3)
ORDER BY id DESC LIMIT CAST($4 AS BIGINT)`
)

func (tx fleetTx) InsertCommand(c fleet.Command) (bool, error) { return tx.insertCommand(c) }

// insertCommand makes a command of any room; false when its door has one in flight or the id is
// taken.
func (tx *Tx) insertCommand(c fleet.Command) (bool, error) {
	n, err := tx.Exec(sqlInsertCommand, string(c.ID), string(c.Bank), c.No, string(c.Op), string(c.Stage), c.Code, c.Actor,
		string(c.Grant), string(c.Purpose), string(c.Content), c.Boot, int64(c.Ep), c.DL, toMS(c.Due),
		toMS(c.CreatedAt), toMS(c.SentAt), toMS(c.AcceptedAt), toMS(c.ActuatedAt), toMS(c.VerifiedAt), toMS(c.EndedAt), flag(c.Final()))
	return n == 1, wrap(err, "insert command %s", c.ID)
}

func (tx fleetTx) Command(id locker.CommandID) (fleet.Command, bool, error) {
	c, found, err := One(tx.Tx, scanCommand, sqlCommandByID, string(id))
	return c, found, wrap(err, "load command %s", id)
}

func (tx fleetTx) SaveCommand(c fleet.Command) error {
	_, err := tx.Exec(sqlSaveCommand, string(c.ID), string(c.Stage), c.Code, toMS(c.Due), toMS(c.SentAt),
		toMS(c.AcceptedAt), toMS(c.ActuatedAt), toMS(c.VerifiedAt), toMS(c.EndedAt), flag(c.Final()))
	return wrap(err, "save command %s", c.ID)
}

func (tx fleetTx) InFlight(id locker.CompartmentID) (fleet.Command, bool, error) {
	return tx.commandInFlight(id)
}

func (tx *Tx) commandInFlight(id locker.CompartmentID) (fleet.Command, bool, error) {
	c, found, err := One(tx, scanCommand, sqlInFlight, string(id.Bank), id.No)
	return c, found, wrap(err, "load command in flight of %s", id)
}

func (tx fleetTx) Opener(id locker.CompartmentID) (fleet.Command, bool, error) {
	c, found, err := One(tx.Tx, scanCommand, sqlOpener, string(id.Bank), id.No)
	return c, found, wrap(err, "load opening command of %s", id)
}

func (tx fleetTx) DueCommands(now time.Time, limit int) ([]fleet.Command, error) {
	rows, err := All(tx.Tx, scanCommand, sqlDueCommands, now.UnixMilli(), limit)
	return rows, wrap(err, "list due commands")
}

func (tx fleetTx) Unheard(bank locker.BankID, limit int) ([]fleet.Command, error) {
	rows, err := All(tx.Tx, scanCommand, sqlUnheard, string(bank), limit)
	return rows, wrap(err, "list unheard commands of %s", bank)
}

func (tx fleetTx) NextDue() (time.Time, error) {
	due, _, err := One(tx.Tx, Value[int64], sqlNextDue)
	return instant(due), wrap(err, "load next due command")
}

func (tx fleetTx) Unanswered(now time.Time, limit int) ([]fleet.Command, error) {
	rows, err := All(tx.Tx, scanCommand, sqlUnanswered, now.UnixMilli(), limit)
	return rows, wrap(err, "list unanswered commands")
}

func (tx fleetTx) Commands(bank locker.BankID, cursor string, limit int) ([]fleet.Command, string, error) {
	var before string
	if err := readCursor(cursor, &before); err != nil {
		return nil, "", err
	}
	rows, err := All(tx.Tx, scanCommand, sqlCommands, string(bank), before, limit+1)
	if err != nil {
		return nil, "", wrap(err, "list commands of %s", bank)
	}
	return Page(rows, limit, func(c fleet.Command) []any { return []any{c.ID} })
}

func (tx fleetTx) Openings(since time.Time, limit int) ([]fleet.Opening, error) {
	rows, err := All(tx.Tx, scanOpening, sqlOpenings, since.UnixMilli(), limit)
	return rows, wrap(err, "list openings")
}

func scanOpening(row Scanner) (fleet.Opening, error) {
	var o fleet.Opening
	var at int64
	err := row.Scan(&o.ID, &o.Bank, &o.Actor, &at)
	o.At = instant(at)
	return o, err
}

func scanCommand(row Scanner) (fleet.Command, error) {
	var c fleet.Command
	var ep, due, created, sent, accepted, actuated, verified, ended int64
	err := row.Scan(&c.ID, &c.Bank, &c.No, &c.Op, &c.Stage, &c.Code, &c.Actor, &c.Grant, &c.Purpose, &c.Content, &c.Boot, &ep, &c.DL, &due,
		&created, &sent, &accepted, &actuated, &verified, &ended)
	c.Ep, c.Due, c.CreatedAt, c.SentAt = uint32(ep), instant(due), instant(created), instant(sent)
	c.AcceptedAt, c.ActuatedAt, c.VerifiedAt, c.EndedAt = instant(accepted), instant(actuated), instant(verified), instant(ended)
	return c, err
}

func (tx fleetTx) Raised(bank locker.BankID, code string, since time.Time) (bool, error) {
	_, found, err := One(tx.Tx, Value[int64], sqlRaised, string(bank), code, since.UnixMilli())
	return found, wrap(err, "look for alarm %s of %s", code, bank)
}

func (tx fleetTx) RaiseAlarm(a fleet.Alarm) (bool, error) {
	n, err := tx.Exec(sqlRaiseAlarm, a.ID, string(a.Bank), a.No, a.Code, a.Detail, toMS(a.RaisedAt))
	if err == nil && n == 0 {
		_, err = tx.Exec(sqlCountAlarm, string(a.Bank), a.No, a.Code)
	}
	return n == 1, wrap(err, "raise alarm %s of %s/%d", a.Code, a.Bank, a.No)
}

func (tx fleetTx) ClearAlarm(bank locker.BankID, no int, code string) (bool, error) {
	n, err := tx.Exec(sqlClearAlarm, string(bank), no, code, tx.NowMS())
	return n > 0, wrap(err, "clear alarm %s of %s/%d", code, bank, no)
}

func (tx fleetTx) Alarm(id string) (fleet.Alarm, bool, error) {
	a, found, err := One(tx.Tx, scanAlarm, sqlAlarmByID, id)
	return a, found, wrap(err, "load alarm %s", id)
}

func (tx fleetTx) SaveAck(id, by string) (bool, error) {
	n, err := tx.Exec(sqlAckAlarm, id, tx.NowMS(), by)
	return n == 1, wrap(err, "acknowledge alarm %s", id)
}

func (tx fleetTx) Alarms(f fleet.AlarmFilter, cursor string, limit int) ([]fleet.Alarm, string, error) {
	var before string
	if err := readCursor(cursor, &before); err != nil {
		return nil, "", err
	}
	rows, err := All(tx.Tx, scanAlarm, sqlAlarms, string(f.Bank), flag(f.Live), before, limit+1)
	if err != nil {
		return nil, "", wrap(err, "list alarms")
	}
	return Page(rows, limit, func(a fleet.Alarm) []any { return []any{a.ID} })
}

func scanAlarm(row Scanner) (fleet.Alarm, error) {
	var a fleet.Alarm
	var raised, acked, cleared int64
	err := row.Scan(&a.ID, &a.Bank, &a.No, &a.Code, &a.Detail, &raised, &a.Times, &acked, &a.AckedBy, &cleared)
	a.RaisedAt, a.AckedAt, a.ClearedAt = instant(raised), instant(acked), instant(cleared)
	return a, err
}
