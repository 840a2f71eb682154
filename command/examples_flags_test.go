package command

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// calls takes a shell line apart as far as it takes to find the calls of lockstep in it, without running anything.
func calls(line string) (list [][]string) {
	var words []string
	end := func() {
		for i, word := range words {
			if word == "lockstep" {
				list = append(list, words[i+1:])
				break
			}
		}
		words = nil
	}
	for _, m := range regexp.MustCompile(`'[^']*'|"[^"]*"|[|;&()<>]+|[^\s|;&()<>'"]+`).FindAllString(line, -1) {
		switch {
		case m == "#" || strings.HasPrefix(m, "#"):
			end()
			return list
		case strings.ContainsAny(m[:1], "|;&()<>"):
			end()
		default:
			words = append(words, variable.ReplaceAllString(strings.Trim(m, `'"`), "1"))
		}
	}
	end()
	return list
}

// variable is one of the shell's; a number does for any value.
var variable = regexp.MustCompile(`\$\w+`)

// takes says what is wrong with a call: no such command, or no such flag.
func takes(root *cobra.Command, args []string) error {
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	return c.ParseFlags(rest)
}

// TestExamplesAreCommandsAndFlags holds every call of lockstep that --help, the documents and the units show to the commands
// and flags that there are.
func TestExamplesAreCommandsAndFlags(t *testing.T) {
	checked := 0
	check := func(where, text string) {
		for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
			for _, args := range calls(line) {
				if len(args) == 0 || strings.HasPrefix(args[0], "[") {
					continue
				}
				checked++
				if err := takes(rootCommand(), args); err != nil {
					t.Errorf("%s: lockstep %s: %v", where, strings.Join(args, " "), err)
				}
			}
		}
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		check(c.CommandPath()+" --help", c.Example)
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	visit(rootCommand())

	names, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, filepath.Join("..", "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		check(filepath.Base(name), code(string(text)))
	}
	units, err := filepath.Glob(filepath.Join("..", "deploy", "systemd", "*.service"))
	if err != nil || len(units) == 0 {
		t.Fatalf("%d units: %v", len(units), err)
	}
	for _, name := range units {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^Exec\w+=/usr/local/bin/(lockstep .*)$`).FindAllStringSubmatch(string(text), -1) {
			check(filepath.Base(name), m[1])
		}
	}
	if checked < 100 {
		t.Errorf("only %d calls were found", checked)
	}
}

// code is what a document shows as code and begins with lockstep: indented, or between fences; prompts are left out.
func code(text string) string {
	var b strings.Builder
	fenced, goes := false, false
	prompt := regexp.MustCompile(`^\s*(?:host\w*# |\$ )?(lockstep .*)`)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		if !fenced && !strings.HasPrefix(line, "    ") {
			goes = false
			continue
		}
		if m := prompt.FindStringSubmatch(line); m != nil {
			b.WriteString(m[1] + "\n")
		} else if goes {
			b.WriteString(line)
		} else {
			continue
		}
		goes = strings.HasSuffix(line, "\\\n")
	}
	return b.String()
}
