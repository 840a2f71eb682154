package lint

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	testName     = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)(\\*?)`")
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)\(`)
)

// TestDocumentsNameTestsThatAreThere holds documents to tests, so that a claim that something is tested stays true when
// a test gets another name. A name that ends in * is the beginning of names.
func TestDocumentsNameTestsThatAreThere(t *testing.T) {
	there := map[string]bool{}
	tree := readTree(t)
	for _, s := range tree {
		if s.isTest() {
			for _, f := range testFunction.FindAllSubmatch(s.text, -1) {
				there[string(f[1])] = true
			}
		}
	}
	named := 0
	for _, s := range tree {
		if path.Ext(s.path) != ".md" {
			continue
		}
		for _, m := range testName.FindAllSubmatch(s.text, -1) {
			named++
			if name := string(m[1]); !there[name] && (len(m[2]) == 0 || !anyBegins(there, name)) {
				t.Errorf("%s names %s, which is not there", s.path, name)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d names of tests in documents", named)
	}
}

func anyBegins(names map[string]bool, with string) bool {
	for name := range names {
		if strings.HasPrefix(name, with) {
			return true
		}
	}
	return false
}
