package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
)

// source is the package's own code, without tests.
type source struct {
	fset  *token.FileSet
	files map[string]*ast.File
	texts map[string]ast.Expr // constants, by name
}

func readSource(t *testing.T) source {
	t.Helper()
	src := source{fset: token.NewFileSet(), files: map[string]*ast.File{}, texts: map[string]ast.Expr{}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(src.fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		src.files[name] = f
		ast.Inspect(f, src.collect)
	}
	return src
}

func (s source) collect(n ast.Node) bool {
	decl, ok := n.(*ast.GenDecl)
	if !ok || decl.Tok != token.CONST {
		return true
	}
	for _, spec := range decl.Specs {
		value := spec.(*ast.ValueSpec)
		for i, name := range value.Names {
			if i < len(value.Values) {
				s.texts[name.Name] = value.Values[i]
			}
		}
	}
	return true
}

// text is the value of a constant joined from literals and other constants.
func (s source) text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		other, ok := s.texts[e.Name]
		if !ok {
			return "", false
		}
		return s.text(other)
	case *ast.BinaryExpr:
		left, lok := s.text(e.X)
		right, rok := s.text(e.Y)
		return left + right, lok && rok && e.Op == token.ADD
	case *ast.ParenExpr:
		return s.text(e.X)
	}
	return "", false
}

func TestEverySQLTextPrepares(t *testing.T) {
	t.Parallel()
	src := readSource(t)
	var names []string
	for name := range src.texts {
		if strings.HasPrefix(name, "sql") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) < 10 {
		t.Fatalf("found %d SQL texts, want those of the whole package", len(names))
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, name := range names {
			text, ok := src.text(src.texts[name])
			if !ok {
				t.Errorf("%s is not made of string constants", name)
				continue
			}
			if strings.HasPrefix(name, "sqlPostgres") && db.Dialect() != store.PostgreSQL {
				continue
			}
			if err := db.Prepare(t.Context(), text); err != nil {
				t.Errorf("%s on %v: %v", name, db.Dialect(), err)
			}
		}
	})
}

// SQLite looks at the value of a bare parameter in LIMIT when it prepares a statement, and prepares
// the statement anew each time another one is bound. A cast keeps it prepared.
func TestLimitsKeepStatementsPrepared(t *testing.T) {
	t.Parallel()
	src := readSource(t)
	for name := range src.texts {
		if text, _ := src.text(src.texts[name]); strings.Contains(text, "LIMIT $") {
			t.Errorf("%s: write LIMIT CAST($n AS BIGINT)", name)
		}
	}
}

// textArgument says which argument of a call is its SQL text, or -1.
func textArgument(call *ast.CallExpr) int {
	switch fun := call.Fun.(type) {
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		if ok && x.Name == "tx" && slices.Contains([]string{"Exec", "Put", "Query", "QueryRow", "Many", "lookUp"}, fun.Sel.Name) {
			return 0
		}
	case *ast.Ident:
		if fun.Name == "One" || fun.Name == "All" {
			return 2
		}
	case *ast.IndexExpr:
		return textArgument(&ast.CallExpr{Fun: fun.X, Args: call.Args})
	}
	return -1
}

// Only constants can be prepared by the test above, so nothing else may reach
// a statement. tx.go and scan.go are the way there.
func TestStatementsRunConstantTextsOnly(t *testing.T) {
	t.Parallel()
	src := readSource(t)
	calls := 0
	for name, file := range src.files {
		if name == "tx.go" || name == "scan.go" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			at := textArgument(call)
			if at < 0 || at >= len(call.Args) {
				return true
			}
			calls++
			id, ok := call.Args[at].(*ast.Ident)
			if !ok || !(id.Name == "sqlText" || strings.HasPrefix(id.Name, "sql") && src.texts[id.Name] != nil) {
				t.Errorf("%v: SQL text is not a constant named sql...", src.fset.Position(call.Pos()))
			}
			return true
		})
	}
	if calls < 10 {
		t.Errorf("saw %d statements, want those of the whole package", calls)
	}
}
