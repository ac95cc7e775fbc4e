package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// fileSuffix is added to a secret's key to name the file that holds it.
const fileSuffix = "_file"

// key is one leaf of a configuration.
type key struct {
	name   string // "mail.smtp.password"
	flag   string // long flag of its own, or empty
	help   string
	index  []int // of the field, for reflect
	secret bool
}

// env returns the variable that sets the key.
func (k key) env(prefix string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// keysOf lists the leaves of a configuration struct in written order.
func keysOf(of reflect.Type) []key {
	var keys []key
	walk(of, "", nil, &keys)
	return keys
}

func walk(of reflect.Type, prefix string, index []int, keys *[]key) {
	for i := range of.NumField() {
		field := of.Field(i)
		name := prefix + field.Tag.Get("key")
		at := append(append([]int(nil), index...), i)
		if field.Type.Kind() == reflect.Struct {
			walk(field.Type, name+".", at, keys)
			continue
		}
		*keys = append(*keys, key{
			name: name, flag: field.Tag.Get("flag"), help: field.Tag.Get("help"), index: at,
			secret: field.Type == reflect.TypeFor[Secret]() || field.Type == reflect.TypeFor[URL](),
		})
	}
}

// parseInto reads text into a leaf.
func parseInto(leaf reflect.Value, text string) error {
	switch leaf.Interface().(type) {
	case time.Duration:
		d, err := parseDuration(text)
		leaf.SetInt(int64(d))
		return err
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		leaf.SetInt(int64(n))
		return nil
	default:
		leaf.SetString(text)
		return nil
	}
}

// show returns a leaf as it may be printed and, when it is not a secret, read again.
func show(leaf reflect.Value) string {
	return fmt.Sprint(leaf.Interface())
}

// isText reports whether a leaf takes any text, so that the type YAML gives a
// plain scalar must not change it.
func isText(of reflect.Type) bool { return of.Kind() == reflect.String }

// nearest returns the known word closest to a mistyped one, or nothing when
// none is close enough to be meant.
func nearest(word string, known []string) string {
	best, least := "", len(word)/3+2
	for _, k := range known {
		if d := distance(strings.ToLower(word), k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, change or swap with their neighbour.
func distance(a, b string) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, older
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
