package letter

import (
	"strconv"
	"strings"
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/locker"
	"lockerfleet/wire"
)

// Text is a letter ready to be sent. Short has at most 160 characters of the GSM alphabet.
type Text struct{ Subject, Short string }

// form is a letter in one language: {bank}, {door}, {until}, and {open} for what opens the door.
type form struct{ subject, short string }

// tongue is one language of letters.
type tongue struct {
	forms       map[wire.LetterKind]form
	door, opens string // {open} without and with a number
	clock       string // layout of an instant
	soon        string // {until} when there is no instant
}

// english and german are functions because a package keeps no state.
func english() tongue {
	return tongue{
		door: "Door {door}.", opens: "Door {door}, number {number}.", clock: "2 Jan 15:04", soon: "further notice",
		forms: map[wire.LetterKind]form{
			wire.LetterOffer:    {"A compartment is kept for you", "Locker {bank}: a compartment is kept for you until {until}. {open}"},
			wire.LetterMissed:   {"Your compartment went to the next", "Locker {bank}: you did not come in time, the compartment went to the next. Join the list again if you still need one."},
			wire.LetterLapsed:   {"No compartment came free", "Locker {bank}: no compartment came free for you. Your place in the list has ended. You can join it again."},
			wire.LetterNumber:   {"Goods are waiting for you", "Locker {bank}: goods are waiting for you until {until}. {open}"},
			wire.LetterReminder: {"Your goods are still waiting", "Locker {bank}: your goods are still waiting, until {until}. {open}"},
			wire.LetterDue:      {"Your goods are overdue", "Locker {bank}: your goods are overdue. Please collect them now, or call the operator. {open}"},
			wire.LetterExtended: {"Your goods may stay longer", "Locker {bank}: your goods may stay until {until}. {open}"},
			wire.LetterTaken:    {"Your goods were collected", "Locker {bank}: your goods were taken out of door {door}. If that was not you, call the operator."},
		},
	}
}

func german() tongue {
	return tongue{
		door: "Fach {door}.", opens: "Fach {door}, Nummer {number}.", clock: "2.1. 15:04 Uhr", soon: "auf weiteres",
		forms: map[wire.LetterKind]form{
			wire.LetterOffer:    {"Ein Fach ist für Sie frei", "Schließfach {bank}: Ein Fach ist für Sie frei bis {until}. {open}"},
			wire.LetterMissed:   {"Ihr Fach ging an die nächste Person", "Schließfach {bank}: Die Zeit ist um, das Fach ging an die nächste Person. Sie können sich neu eintragen."},
			wire.LetterLapsed:   {"Es wurde kein Fach frei", "Schließfach {bank}: Für Sie wurde kein Fach frei. Ihr Platz in der Liste ist abgelaufen. Sie können sich neu eintragen."},
			wire.LetterNumber:   {"Ware wartet auf Sie", "Schließfach {bank}: Ware wartet auf Sie bis {until}. {open}"},
			wire.LetterReminder: {"Ihre Ware wartet noch", "Schließfach {bank}: Ihre Ware wartet noch, bis {until}. {open}"},
			wire.LetterDue:      {"Ihre Ware ist überfällig", "Schließfach {bank}: Ihre Ware ist überfällig. Bitte jetzt abholen oder den Betreiber anrufen. {open}"},
			wire.LetterExtended: {"Ihre Ware darf länger bleiben", "Schließfach {bank}: Ihre Ware darf bleiben bis {until}. {open}"},
			wire.LetterTaken:    {"Ihre Ware wurde abgeholt", "Schließfach {bank}: Fach {door} wurde geleert. Waren Sie das nicht, rufen Sie bitte den Betreiber an."},
		},
	}
}

// Compose writes a letter in the language of who gets it: German, else English. Times are those of
// the place's clock.
func Compose(bank locker.BankID, m agent.Mail) Text {
	lang := english()
	if base, _, _ := strings.Cut(strings.ToLower(m.To.Lang), "-"); base == "de" {
		lang = german()
	}
	open := lang.door
	if m.Number != "" {
		open = lang.opens
	}
	until := lang.soon
	if m.UntilMS > 0 {
		until = time.UnixMilli(m.UntilMS).In(time.FixedZone("", m.ZoneMin*60)).Format(lang.clock)
	}
	f := lang.forms[m.Kind]
	short := strings.ReplaceAll(f.short, "{open}", open)
	fill := strings.NewReplacer("{bank}", string(bank), "{door}", strconv.Itoa(m.C), "{number}", m.Number, "{until}", until)
	return Text{Subject: fill.Replace(f.subject), Short: fill.Replace(short)}
}
