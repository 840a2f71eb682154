package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// script is something that a document, or the help of a command, says one can run.
type script struct {
	name string // where it stands
	text string
	exit int  // the exit code that it has to end with
	long bool // not for CI
}

var root, _ = filepath.Abs(filepath.Join("..", ".."))

// marker stands in the line above a block that is to be run. Behind a colon it says more, with commas between: each, every
// command of the block is a script of its own; long, make examples runs it and make system does not; exit N, the exit
// code to end with.
var marker = regexp.MustCompile(`^<!-- run(?:: (.*))? -->$`)

// option reads what a marker says more.
func (x *script) option(name string) (each bool, err error) {
	code, isCode := strings.CutPrefix(name, "exit ")
	switch {
	case name == "each":
		return true, nil
	case name == "long":
		x.long = true
	case isCode:
		x.exit, err = strconv.Atoi(code)
	default:
		err = fmt.Errorf("%q is none of each, long, exit N", name)
	}
	return false, err
}

// documented are the marked blocks of the documents.
func documented() ([]script, error) {
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	var list []script
	for _, name := range append([]string{filepath.Join(root, "README.md")}, names...) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		blocks, err := marked(filepath.Base(name), string(text))
		if err != nil {
			return nil, err
		}
		list = append(list, blocks...)
	}
	return list, nil
}

// marked finds the marked blocks of one document.
func marked(name, text string) (list []script, err error) {
	var at *script
	open, each := false, false
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(line, "```")
		m := marker.FindStringSubmatch(line)
		switch {
		case m != nil && !open:
			at, each = &script{name: fmt.Sprintf("%s:%d", name, i+1)}, false
			for _, option := range strings.Split(m[1], ", ") {
				if option == "" {
					continue
				}
				one, err := at.option(option)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", at.name, err)
				}
				each = each || one
			}
		case strings.HasPrefix(line, "<!-- run"):
			return nil, fmt.Errorf("%s:%d: %q: want <!-- run --> above a block", name, i+1, line)
		case fence && !open && at != nil:
			open = true
		case fence && open:
			list = append(list, at.scripts(each)...)
			at, open = nil, false
		case open:
			at.text += line + "\n"
		case at != nil:
			return nil, fmt.Errorf("%s: no fenced block (```) in the next line", at.name)
		}
	}
	if at != nil {
		return nil, fmt.Errorf("%s: the marked block has no end", at.name)
	}
	return list, nil
}

// scripts are those that a block is: itself, or one for each command.
func (x *script) scripts(each bool) (list []script) {
	if !each {
		return []script{*x}
	}
	one := *x
	one.text = ""
	for line := range strings.Lines(x.text) {
		one.text += line
		if !strings.HasSuffix(line, "\\\n") {
			one.name = fmt.Sprintf("%s,%d", x.name, len(list)+1)
			list = append(list, one)
			one.text = ""
		}
	}
	return list
}

// helped are the examples that --help of a command, and of all below it, shows: a script a line.
func helped(binary string, command ...string) (list []script, err error) {
	out, err := exec.Command(binary, append(command, "--help")...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w", strings.Join(command, " "), err)
	}
	sections := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(out)) {
		switch body, indented := strings.CutPrefix(line, "  "); {
		case indented:
			sections[section] = append(sections[section], strings.TrimRight(body, "\n"))
		case strings.TrimSpace(line) != "":
			section = strings.TrimSpace(line)
		}
	}
	for i, line := range sections["Examples:"] {
		list = append(list, script{name: fmt.Sprintf("%s %d", strings.Join(command, " "), i+1), text: line + "\n"})
	}
	for _, line := range sections["Available Commands:"] {
		below, err := helped(binary, append(command[:len(command):len(command)], strings.Fields(line)[0])...)
		if err != nil {
			return nil, err
		}
		list = append(list, below...)
	}
	return list, nil
}
