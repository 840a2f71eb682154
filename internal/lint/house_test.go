package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines     = 800
	maxFunctionLines = 70
)

func TestEveryPackageHasItsDoc(t *testing.T) {
	documented, generated := map[string]bool{}, map[string]bool{}
	for _, s := range readTree(t) {
		if !s.isGo() || s.isTest() {
			continue
		}
		folder := s.folder()
		documented[folder] = documented[folder] || isDoc(s)
		all, seen := generated[folder]
		generated[folder] = s.generated && (all || !seen)
	}
	for folder, done := range documented {
		// The package comment of commands and examples stands beside main.
		main := strings.HasPrefix(folder, "cmd/") || strings.HasPrefix(folder, "examples/")
		if !done && !generated[folder] && !main {
			t.Errorf("%s has no doc.go with a package comment", folder)
		}
	}
}

func isDoc(s *source) bool { return path.Base(s.path) == "doc.go" && s.syntax.Doc != nil }

func TestUnsafeStandsApart(t *testing.T) { hold(t, strayUnsafe) }

func strayUnsafe(s *source) []string {
	stem := strings.TrimSuffix(strings.TrimSuffix(s.path, ".go"), "_test")
	if !s.isGo() || s.generated || !slices.Contains(s.imports(), "unsafe") || strings.HasSuffix(stem, "_unsafe") {
		return nil
	}
	return []string{s.path + ": imports unsafe, which only files named *_unsafe.go (and *_unsafe_test.go) may"}
}

func TestFilesAndFunctionsAreShort(t *testing.T) { hold(t, tooLong) }

func tooLong(s *source) []string {
	if !s.isGo() || s.isTest() || s.generated {
		return nil
	}
	var problems []string
	if n := s.lines(); n > maxFileLines {
		problems = append(problems, fmt.Sprintf("%s: %d lines, at most %d", s.path, n, maxFileLines))
	}
	for _, d := range s.syntax.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if first, last := s.line(f.Pos()), s.line(f.End()); last-first+1 > maxFunctionLines {
			problems = append(problems, fmt.Sprintf("%s:%d: %s is %d lines long, at most %d",
				s.path, first, f.Name.Name, last-first+1, maxFunctionLines))
		}
	}
	return problems
}

// unfinished finds marks of unfinished work. The words are put together here, so that this file has none.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK|TB` + `D|WI` + `P)\b` +
	`|(?i)\b(not (yet )?implem` + `ented|un` + `implemented|place` + `holder)\b`)

func TestNothingIsMarkedUnfinished(t *testing.T) { hold(t, unfinishedMarks) }

func unfinishedMarks(s *source) []string {
	var problems []string
	for i, line := range strings.Split(string(s.text), "\n") {
		if mark := unfinished.FindString(line); mark != "" {
			problems = append(problems, fmt.Sprintf("%s:%d: %q marks unfinished work", s.path, i+1, mark))
		}
	}
	return problems
}

// empty are package names that say nothing.
var empty = []string{"util", "utils", "common", "helper", "helpers", "types"}

func TestPackageNamesSaySomething(t *testing.T) { hold(t, emptyName) }

func emptyName(s *source) []string {
	if !s.isGo() || !slices.Contains(empty, strings.TrimSuffix(s.syntax.Name.Name, "_test")) {
		return nil
	}
	return []string{fmt.Sprintf("%s: package %s: the name says nothing", s.path, s.syntax.Name.Name)}
}

func TestEverythingIsFormatted(t *testing.T) { hold(t, unformatted) }

func unformatted(s *source) []string {
	if !s.isGo() {
		return nil
	}
	if formatted, err := format.Source(s.text); err != nil || !bytes.Equal(formatted, s.text) {
		return []string{s.path + ": gofmt would change it"}
	}
	return nil
}
