// Package web is the face over HTTP: the REST interface below /api/v1, described by an OpenAPI
// document it makes from its own types; event streams that resume where they broke; and one live
// page that shows the fleet and needs nothing from outside.
//
// # Who may do what
//
// A request carries "Authorization: Bearer lfk-..." or the session cookie of the page. What the
// role allows is the table of the room people; whether an object is the caller's own is checked
// where the object is read, and an object that is not answers like one that does not exist. Four
// things need no credential: trying a code at a door, following the command it led to (with the
// token the try was answered with), exchanging a claim code, and the login page.
//
// # Bounds
//
// A body has at most MaxBody bytes, a page of a list MaxPage rows, a stream a place among
// Options.Streams, any other request Options.Timeout to be done; requests of one credential and of
// one address are limited by Limits.
package web
