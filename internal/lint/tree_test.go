package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// modulePrefix is how imports of the module's own packages begin.
const modulePrefix = "lockstep/"

// source is one file of the tree.
type source struct {
	path string // from the module's root, with slashes
	text []byte

	// Of Go files only.
	syntax    *ast.File
	positions *token.FileSet
	generated bool
}

func (s *source) isGo() bool   { return s.syntax != nil }
func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// folder is the package's path in the module.
func (s *source) folder() string { return path.Dir(s.path) }

// lines counts the lines of the file.
func (s *source) lines() int { return bytes.Count(s.text, []byte("\n")) }

// line says where a position is.
func (s *source) line(at token.Pos) int { return s.positions.Position(at).Line }

// imports lists what the file imports, unquoted.
func (s *source) imports() []string {
	var list []string
	for _, i := range s.syntax.Imports {
		list = append(list, strings.Trim(i.Path.Value, `"`))
	}
	return list
}

// newSource parses a file's text if it is Go.
func newSource(name, text string) (*source, error) {
	s := &source{path: name, text: []byte(text)}
	if path.Ext(name) != ".go" {
		return s, nil
	}
	s.positions = token.NewFileSet()
	var err error
	s.syntax, err = parser.ParseFile(s.positions, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	s.generated = ast.IsGenerated(s.syntax)
	return s, nil
}

// readTree reads the module, once for all tests.
func readTree(t *testing.T) []*source {
	t.Helper()
	tree, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

var readOnce = sync.OnceValues(readModule)

// readModule reads every file that a rule looks at. What is built (bin, out) and hidden folders are none of the source.
func readModule() (tree []*source, err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return nil, fmt.Errorf("the module's root is not where it was: %w", err)
	}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != root && (base == "bin" || base == "out" || strings.HasPrefix(base, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".c", ".h", ".fbs", ".md"}, path.Ext(base)) && base != "Makefile" {
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := newSource(filepath.ToSlash(relative), string(text))
		if err != nil {
			return err
		}
		tree = append(tree, s)
		return nil
	})
	return tree, err
}

// rule looks at one file and says what is wrong with it.
type rule func(s *source) []string

// hold fails the test for everything that a rule says about the tree.
func hold(t *testing.T, r rule) {
	t.Helper()
	for _, s := range readTree(t) {
		for _, problem := range r(s) {
			t.Error(problem)
		}
	}
}
