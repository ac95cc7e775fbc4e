package notify

// ownWords are the letters about what banks keep by themselves.
var ownWords = map[Template]wording{
	OwnOffer: {
		"A compartment is free for you at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

a compartment has come free and is kept for you.

{{template "place" .}}  Number:       {{.Code}}
  Come by:      {{.Until}}

At the panel, enter the compartment number and then the number above, and put
your goods in. After that time it goes to the next person who waits.
{{template "end"}}`},
	OwnMissed: {
		"Your place at {{.Where}} went to the next person",
		`Hello{{with .Name}} {{.}}{{end}},

the compartment kept for you until {{.Until}} was not used and went to the
next person. If you still need one, join the waitlist again.

{{template "place" .}}`},
	OwnLapsed: {
		"No compartment came free at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

for a week no compartment came free for your goods, so your place in the
waitlist has ended. You can join it again at any time.
`},
	OwnNumber: {
		"Goods are kept for you at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

goods were put into a compartment for you.

{{template "place" .}}  Number:       {{.Code}}
  Collect by:   {{.Until}}

At the panel, enter the compartment number and then the number above. Whoever
has this number can take the goods: pass it on only to someone who shall.
{{template "end"}}`},
	OwnReminder: {
		"Your goods wait at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

your goods are still in their compartment. They may stay until {{.Until}}.

{{template "place" .}}  Number:       {{.Code}}
{{template "end"}}`},
	OwnDue: {
		"Your goods are overdue at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

the time for your goods ended on {{.Until}}. Please take them out now: the
operator will decide what becomes of them.

{{template "place" .}}  Number:       {{.Code}}
{{template "end"}}`},
	OwnExtended: {
		"Your goods may stay longer at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

your goods may now stay until {{.Until}}.

{{template "place" .}}  Number:       {{.Code}}
{{template "end"}}`},
	OwnTaken: {
		"Your goods were taken out at {{.Where}}",
		`Hello{{with .Name}} {{.}}{{end}},

your goods were taken out on {{.At}}.

{{template "place" .}}
If neither you nor someone you asked has done so, tell the operator.
`},
}
