package notify

import (
	"fmt"
	"maps"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"
)

// wording is one letter. No letter holds a link, and no subject holds a code: subjects are
// shown on locked screens.
type wording struct {
	subject, text string
}

// words are the letters in English.
var words = map[Template]wording{
	CourierReserved: {
		"Compartment {{.No}} is reserved at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

a compartment is reserved for your delivery{{with .Ref}} {{.}}{{end}}.

{{template "place" .}}  Code:         {{.Code}}
  Valid until:  {{.Until}}

At the panel, enter the compartment number and then the code. Put the goods
in and close the door; the delivery counts when the door is closed.
{{template "ticket" .}}{{template "end"}}`},
	ParcelStored: {
		"Your parcel is ready at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

your parcel is ready to be collected.

{{template "place" .}}  Number:       {{.Code}}
  Collect by:   {{.Until}}

At the panel, enter the compartment number and then the number above. Close
the door when you have taken everything out. Whoever has this number can
collect the parcel: pass it on only to someone who shall.
{{template "ticket" .}}{{template "end"}}`},
	ParcelOverdue: {
		"Your parcel is still waiting at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

the time to collect your parcel ended on {{.Until}}. It is still there.
Please collect it soon, or it may go back to the sender.

{{template "place" .}}  Number:       {{.Code}}
{{template "end"}}`},
	ParcelCollected: {
		"Your parcel was collected at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

your parcel was taken out on {{.At}}.

{{template "place" .}}
If neither you nor someone you asked has collected it, tell the sender.
{{template "end"}}`},
}

const shared = `{{define "place"}}  Place:        {{.Where}}
{{with .Address}}  Address:      {{.}}
{{end}}  Compartment:  {{.No}}
{{end}}{{define "ticket"}}{{if .Ticket}}
Or hold the attached picture before the scanner, if the panel has one. It
opens the door once, also when the bank has no network.
{{end}}{{end}}{{define "end"}}
We never ask you for this number by mail or telephone.
{{end}}`

// fields fill a letter.
type fields struct {
	Name, Where, Address, Ref, Code, Until, At string
	No                                         int
	Ticket                                     bool // a picture of it is attached
}

// letterTexts are the parsed letters.
type letterTexts map[Template]struct{ subject, text *template.Template }

// parseLetters panics on a letter of ours that does not parse: it cannot at run time.
func parseLetters() letterTexts {
	all := letterTexts{}
	every := maps.Clone(words)
	maps.Copy(every, ownWords)
	for name, w := range every {
		all[name] = struct{ subject, text *template.Template }{
			template.Must(template.New(string(name)).Parse(w.subject)),
			template.Must(template.Must(template.New(string(name)).Parse(shared)).Parse(w.text)),
		}
	}
	return all
}

func (t letterTexts) write(name Template, f fields) (subject, text string, err error) {
	w, ok := t[name]
	if !ok {
		return "", "", &Failure{Permanent: true, Err: fmt.Errorf("there is no letter %q", name)}
	}
	var s, b strings.Builder
	if err := w.subject.Execute(&s, f); err != nil {
		return "", "", fmt.Errorf("write subject of %s: %w", name, err)
	}
	if err := w.text.Execute(&b, f); err != nil {
		return "", "", fmt.Errorf("write letter %s: %w", name, err)
	}
	return oneLine(s.String()), b.String(), nil
}

// where names a place in one line.
func (p Place) where() string {
	site, bank := oneLine(p.Site), oneLine(p.Bank)
	switch {
	case site == "":
		return bank
	case bank == "" || bank == site:
		return site
	}
	return site + ", " + bank
}

// dateIn writes an instant for people, with the zone, since letters travel.
func dateIn(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("Mon 2 Jan 2006 15:04 MST")
}

// Mask shortens a name to what greets its owner and tells a stranger little: the first word and
// the initial of the last one, at most 40 bytes.
func Mask(name string) string {
	parts := strings.Fields(oneLine(name))
	if len(parts) == 0 {
		return ""
	}
	masked := cut(parts[0], 32)
	if len(parts) > 1 {
		initial, _ := utf8.DecodeRuneInString(parts[len(parts)-1])
		masked += " " + string(unicode.ToUpper(initial)) + "."
	}
	return masked
}

// MaskAddress keeps the first letter and the host of an address, for lists.
func MaskAddress(address string) string {
	local, host, ok := strings.Cut(address, "@")
	if !ok || local == "" {
		return address
	}
	first, _ := utf8.DecodeRuneInString(local)
	return string(first) + "...@" + host
}

// oneLine puts a space for whatever would break a line or a header.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r)
	}), " ")
}

// cut keeps at most n bytes and no half character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
