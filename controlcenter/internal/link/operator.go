package link

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/locker"
	"lockerfleet/wire"
)

// OnPublic tells operators a fact of the event log.
func (l *Link) OnPublic(_ context.Context, r event.Record) error {
	a := r.Fact.What()
	l.touch(a.Bank)
	if a.Bank == "" || a.Site == "" {
		return nil
	}
	data, err := event.Encode(r.Fact)
	if err == nil {
		data, err = event.Shown(data)
	}
	if err != nil {
		return err
	}
	m := wire.FleetEvent{
		SpecVersion: "1.0", ID: r.ID, Source: "/banks/" + string(a.Bank), Type: string(r.Fact.Kind()),
		Time: a.At.UTC().Format(time.RFC3339Nano), Sequence: r.Seq, Subject: subject(a), Data: json.RawMessage(data),
	}
	payload, err := wire.Encode(&m)
	if err != nil {
		return err
	}
	return l.bus.Publish(wire.FleetEventTopic(a.Site, a.Bank, m.Type), payload, 1, false)
}

func subject(a event.About) string {
	if a.No > 0 {
		return "compartments/" + strconv.Itoa(a.No)
	}
	return ""
}

// OnAlarmRaised keeps an alarm on its topic until it is cleared.
func (l *Link) OnAlarmRaised(_ context.Context, r event.Record) error {
	f := r.Fact.(event.AlarmRaised)
	m := wire.AlarmNotice{V: wire.Minor, Code: f.Code, Compartment: f.No, Since: f.At.UnixMilli(), Detail: f.Detail}
	payload, err := wire.Encode(&m)
	if err != nil {
		return err
	}
	return l.bus.Publish(alarmTopic(f.About, f.Code), payload, 1, true)
}

// OnAlarmCleared empties the topic.
func (l *Link) OnAlarmCleared(_ context.Context, r event.Record) error {
	f := r.Fact.(event.AlarmCleared)
	return l.bus.Publish(alarmTopic(f.About, f.Code), nil, 1, true)
}

// alarmTopic names code and door: the same code can live at several doors of a bank.
func alarmTopic(a event.About, code string) string {
	if a.No > 0 {
		code += "-" + strconv.Itoa(a.No)
	}
	return wire.AlarmTopic(a.Site, a.Bank, code)
}

// Summaries publishes the status of banks that changed, in the order of their ids, at most maxSummaries
// of them: when a whole fleet comes back it takes turns with the work that cannot wait, lane by lane.
// The root calls it once a second, from one goroutine.
func (l *Link) Summaries(ctx context.Context) error {
	changed := l.changed(maxSummaries)
	slices.Sort(changed)
	for page := range slices.Chunk(changed, summaryPage) {
		if err := l.summaries(ctx, page); err != nil {
			for _, bank := range changed { // those that were told are told again
				l.touch(bank)
			}
			return err
		}
	}
	return nil
}

// changed takes the banks that changed, lane after lane from where the call before stopped.
func (l *Link) changed(limit int) (some []locker.BankID) {
	for range lanes {
		some = append(some, l.notes[l.turn].changes(limit-len(some))...)
		if len(some) >= limit {
			break
		}
		l.turn = (l.turn + 1) % lanes
	}
	return some
}

func (l *Link) summaries(ctx context.Context, banks []locker.BankID) error {
	sums, err := l.fleet.Summaries(ctx, banks)
	if err != nil {
		return err
	}
	for i := range sums {
		if err := l.summary(&sums[i]); err != nil {
			l.log.Warn("status not sent", slog.String("bank_id", string(sums[i].Bank)), slog.Any("err", err))
		}
	}
	return nil
}

func (l *Link) summary(s *fleet.Summary) error {
	m := wire.BankStatus{
		V: wire.Minor, Online: s.Online, Since: s.Since.UnixMilli(), Free: s.Free, Total: s.Total, Open: s.Open,
	}
	payload, err := wire.Encode(&m)
	if err != nil {
		return err
	}
	return l.bus.Publish(wire.StatusTopic(s.Site, s.Bank), payload, 0, true)
}
