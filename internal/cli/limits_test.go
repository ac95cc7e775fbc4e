package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/internal/config"
)

// A key that is checked and then read by nobody lets an operator believe in a bound that is not
// there: each limit must change what a part is given.
func TestEveryLimitReachesAPart(t *testing.T) {
	t.Parallel()
	given := func(l config.Limits) [2]any { return [2]any{limits(l), brokerLimits(l)} }
	before := given(config.Default().Limits)
	for f := range reflect.TypeFor[config.Limits]().Fields() {
		l := config.Default().Limits
		leaf := reflect.ValueOf(&l).Elem().FieldByIndex(f.Index)
		leaf.SetInt(leaf.Int() + 1)
		if cmp.Equal(given(l), before) {
			t.Errorf("limits.%s is handed to no part", f.Tag.Get("key"))
		}
	}
}

func TestEveryKeyIsReadByTheProgram(t *testing.T) {
	t.Parallel()
	read := selected(t)
	var leaves func(of reflect.Type, prefix string)
	leaves = func(of reflect.Type, prefix string) {
		for f := range of.Fields() {
			name := prefix + f.Tag.Get("key")
			if f.Type.Kind() == reflect.Struct {
				leaves(f.Type, name+".")
			} else if !read[f.Name] {
				t.Errorf("%s (%s) is read nowhere in this package", name, f.Name)
			}
		}
	}
	leaves(reflect.TypeFor[config.Config](), "")
}

// selected are the names that the program's own files take of something.
func selected(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, is := n.(*ast.SelectorExpr); is {
				names[s.Sel.Name] = true
			}
			return true
		})
	}
	return names
}
