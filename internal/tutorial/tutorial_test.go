package tutorial

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// block is a fenced block of the page.
type block struct {
	kind string // go, sh, text
	file string // go: where it goes, behind the blocks before it
	text string
	line int
}

var root, _ = filepath.Abs("../..")

// blocks reads the page.
func blocks(t *testing.T) (list []block) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	var at *block
	for n, line := range strings.SplitAfter(string(page), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && at == nil:
			kind, file, _ := strings.Cut(strings.TrimSpace(info), " ")
			at = &block{kind: kind, file: file, line: n + 1}
		case fence:
			list = append(list, *at)
			at = nil
		case at != nil:
			at.text += line
		}
	}
	if at != nil || len(list) < 10 {
		t.Fatalf("%d blocks, the last one open: %v", len(list), at != nil)
	}
	return list
}

// files are those that the page's blocks make, by name.
func files(list []block) map[string]string {
	all := map[string]string{}
	for _, b := range list {
		if b.kind == "go" {
			all[b.file] += b.text
		}
	}
	return all
}

// TestTutorialIsTheExample: the page has the example, all of it.
func TestTutorialIsTheExample(t *testing.T) {
	example := filepath.Join(root, "examples", "reservations")
	made := files(blocks(t))
	for name, text := range made {
		if b, err := os.ReadFile(filepath.Join(example, name)); err != nil || string(b) != text {
			t.Errorf("docs/tutorial.md has another %s than examples/reservations (%v)", name, err)
		}
	}
	err := filepath.WalkDir(example, func(name string, _ os.DirEntry, err error) error {
		relative, _ := filepath.Rel(example, name)
		if err == nil && filepath.Ext(name) == ".go" && made[relative] == "" {
			t.Errorf("docs/tutorial.md does not make %s", relative)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestExampleIsWhole: the committed module builds as it stands, and passes its own tests.
func TestExampleIsWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = filepath.Join(root, "examples", "reservations")
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v (go get lockstep/command there takes in what the module's go.mod has new)\n%s", args[0], err, out)
		}
	}
}

// TestTutorialRuns goes through the page in an empty folder.
func TestTutorialRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program and runs a cluster of it")
	}
	list := blocks(t)
	dir := t.TempDir()
	lab, err := os.MkdirTemp("", "tutorial") // short: it has sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(lab) })
	env := append(os.Environ(), "LOCKSTEP="+root, "LOCKSTEP_LAB="+lab, "GOPROXY=off", "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	t.Cleanup(func() { // what a failure leaves behind
		cmd := exec.Command("./reservations", "lab", "down")
		cmd.Dir, cmd.Env = filepath.Join(dir, "reservations"), env
		_ = cmd.Run()
	})
	home := dir
	written := map[string]bool{}
	for i, b := range list {
		switch b.kind {
		case "go":
			write(t, filepath.Join(dir, "reservations", b.file), b.text, written)
		case "sh":
			out := run(t, home, env, &b)
			if home = filepath.Join(dir, "reservations"); i+1 < len(list) && list[i+1].kind == "text" {
				compare(t, out, &list[i+1])
			}
		}
	}
}

// write puts a block into its file: behind what is there, if this page has written that.
func write(t *testing.T, name, text string, written map[string]bool) {
	t.Helper()
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if written[name] {
		flags = os.O_WRONLY | os.O_APPEND
	}
	written[name] = true
	f, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// run has a shell run a block, and returns what it prints.
func run(t *testing.T, dir string, env []string, b *block) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", b.text)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("docs/tutorial.md, line %d: %v\n%s\n%s", b.line, err, b.text, out)
	}
	return string(out)
}

// compare wants each line of a block in what was printed, in that order; "..." stands for anything.
func compare(t *testing.T, out string, b *block) {
	t.Helper()
	left := out
	for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
		want := strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, ".*")
		at := regexp.MustCompile(want).FindStringIndex(left)
		if at == nil {
			t.Fatalf("docs/tutorial.md, line %d: %q is not printed, or not in that order:\n%s", b.line, line, out)
		}
		left = left[at[1]:]
	}
}
