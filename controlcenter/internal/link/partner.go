package link

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"lockerfleet/controlcenter/internal/delivery"
	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/wire"
)

// statement decodes a partner's statement. Whatever is wrong with it, the partner is answered as
// far as its reference can be read.
func (l *Link) statement(m wire.Message) (lane uint32, do func(context.Context)) {
	partner, kind, err := wire.ParseStatement(m.Topic)
	if err != nil || m.Retain {
		l.refuse(m, errors.Join(err, retained(m)))
		return 0, nil
	}
	var s wire.Statement
	if err := wire.Decode(m.Payload, wire.MaxSmall, &s); err != nil {
		l.refuse(m, err)
		if locker.ValidPartnerRef(s.Ref) {
			l.reject(partner, kind, s.Ref, err)
		} else {
			l.reject(partner, kind, "unreadable", err)
		}
		return 0, nil
	}
	return hash(string(partner) + "/" + s.Ref), func(ctx context.Context) { l.state(ctx, partner, kind, s) }
}

func retained(m wire.Message) error {
	if !m.Retain {
		return nil
	}
	return fault.Invalidf("retained", "a statement must not be retained")
}

// state hands a statement to its room. The first decision is answered through the outbox; one
// that changed nothing is answered here, and asked again if the answer is lost.
func (l *Link) state(ctx context.Context, partner locker.PartnerID, kind wire.StatementKind, s wire.Statement) {
	var d delivery.Decision
	var err error
	switch kind {
	case wire.KindDelivery:
		d, err = l.states.Accept(ctx, partner, statementOf(s))
	case wire.KindCancel:
		d, err = l.states.Cancel(ctx, partner, s.Ref)
	default:
		err = fault.Invalidf("unknown_kind", "a statement of kind %q is not known; allowed are delivery and cancel", kind)
	}
	if err != nil {
		l.reject(partner, kind, s.Ref, err)
		return
	}
	if d.Status == delivery.Duplicate || d.Status == delivery.Conflict {
		l.tryAnswer(partner, l.ackOf(kind, d))
	}
}

// reject answers a statement that could not be taken in. A fault of ours is not told as the
// partner's: it may send the statement again.
func (l *Link) reject(partner locker.PartnerID, kind wire.StatementKind, ref string, err error) {
	code, detail := fault.CodeOf(err), fault.DetailOf(err)
	if k := fault.KindOf(err); k == fault.Internal || k == fault.Unavailable {
		l.log.Error("statement not taken in", slog.String("partner_id", string(partner)), slog.String("ref", ref), slog.Any("err", err))
		code, detail = "try_again", "The statement could not be stored now. Send it again with the same reference."
	}
	l.tryAnswer(partner, wire.StatementAck{Ref: ref, Kind: kind, Status: wire.AckRejected, Code: code, Detail: detail})
}

// tryAnswer gives an answer that is kept nowhere: a partner that misses it sends its statement again.
func (l *Link) tryAnswer(partner locker.PartnerID, a wire.StatementAck) {
	if err := l.answer(partner, a); err != nil {
		l.log.Warn("answer to a statement not sent", slog.String("partner_id", string(partner)), slog.String("ref", a.Ref), slog.Any("err", err))
	}
}

func (l *Link) answer(partner locker.PartnerID, a wire.StatementAck) error {
	a.V, a.At = wire.Minor, l.now().UnixMilli()
	return l.send(wire.StatementAckTopic(partner, a.Ref), &a, 1)
}

func statementOf(s wire.Statement) delivery.Statement {
	return delivery.Statement{
		Ref:       s.Ref,
		Place:     delivery.Place{Bank: s.Place.Bank, Site: s.Place.Site, LatE6: s.Place.LatE6, LonE6: s.Place.LonE6},
		Goods:     delivery.Goods{Size: s.Goods.Size, Grams: s.Goods.Grams, Class: s.Goods.Class, ReachMM: s.Goods.ReachMM},
		Recipient: delivery.Contact(s.Recipient), Courier: delivery.Contact(s.Courier),
		Arrives: instant(s.Arrives), KeepHours: s.KeepHours,
	}
}

// instant reads unix milliseconds; 0 is no instant.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (l *Link) ackOf(kind wire.StatementKind, d delivery.Decision) wire.StatementAck {
	a := wire.StatementAck{
		Ref: d.Ref, Kind: kind, Status: wire.AckStatus(d.Status), Code: d.Code, Detail: d.Detail, Parcel: d.Parcel,
		Site: d.Site, Bank: d.Bank, Compartment: d.No,
	}
	if d.Grant != "" {
		a.CourierCode, a.CodeExpires = l.grants.Code(d.Grant, 0), d.Expires.UnixMilli()
	}
	return a
}

// OnStatementDecided tells a partner that its statement is durable, and what was decided. It hears
// ParcelReserved, ParcelRejected and StatementDecided. The courier's number is made here and kept
// nowhere.
func (l *Link) OnStatementDecided(_ context.Context, r event.Record) error {
	d, kept := decision(r.Fact)
	if kept {
		if err := l.answer(d.Partner, wire.StatementAck{Ref: d.Ref, Kind: d.Kind, Status: wire.AckReceived}); err != nil {
			return err
		}
	}
	return l.answer(d.Partner, l.ackOf(d.Kind, d.Decision))
}

// decidedFor is a decision and whose statement it is about.
type decidedFor struct {
	delivery.Decision
	Partner locker.PartnerID
	Kind    wire.StatementKind
}

// decision reads an answer out of a fact. kept is false for a statement that left nothing behind.
func decision(f event.Fact) (d decidedFor, kept bool) {
	a := f.What()
	d.Partner, d.Kind = a.Partner, wire.KindDelivery
	d.Decision = delivery.Decision{Ref: a.Ref, Parcel: a.Parcel, Site: a.Site, Bank: a.Bank, No: a.No}
	switch f := f.(type) {
	case event.ParcelReserved:
		d.Status, d.Grant, d.Expires = delivery.Accepted, f.Grant, f.Expires
	case event.ParcelRejected:
		d.Status, d.Code, d.Detail = delivery.Rejected, f.Code, f.Detail
	case event.StatementDecided: // of one that takes another back
		d.Kind = wire.KindCancel
		d.Status, d.Code, d.Detail = delivery.Status(f.Status), f.Code, f.Detail
		return d, f.Statement != ""
	}
	return d, true
}

// OnParcel tells a partner what became of its statement.
func (l *Link) OnParcel(_ context.Context, r event.Record) error {
	a := r.Fact.What()
	if a.Partner == "" || a.Ref == "" {
		return nil
	}
	m := wire.PartnerEvent{
		V: wire.Minor, Seq: r.PartnerSeq, ID: r.ID, Type: string(r.Fact.Kind()), Ref: a.Ref, Parcel: a.Parcel,
		Bank: a.Bank, Compartment: a.No, At: a.At.UnixMilli(), Reason: reasonOf(r.Fact),
	}
	return l.send(wire.PartnerEventTopic(a.Partner, a.Ref), &m, 1)
}

func reasonOf(f event.Fact) string {
	switch f := f.(type) {
	case event.ParcelRejected:
		return f.Code
	case event.ParcelDoubtful:
		return f.Reason
	}
	return ""
}
